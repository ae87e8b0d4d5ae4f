"""Whole runs: their outputs, and what becomes of them when they are killed or fed bad files."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from epsigma.tables.cells import COLUMNS
from running import ROOT, SMALL, Workdir, new_workdir
from safetensors.numpy import load_file

CELLS = "results/tables/cells.csv"


def test_a_run_writes_what_the_design_says(finished: Workdir) -> None:
    results = finished.directory / "results"
    seed = results / "digits" / "mlp" / "seed~0"
    for path in (
        results / "data/digits/train.safetensors",
        seed / "checkpoint.ckpt",
        seed / "training.csv",
        seed / "adversarial/blind/fgsm/eps~0.1.safetensors",
        seed / "adversarial/aware/fgsm/eps~0.1/gaussian/sigma~0.5.safetensors",
        seed / "filtered/blind/fgsm/eps~0.1/gaussian/sigma~0.5.safetensors",
        seed / "filtered/aware/fgsm/eps~0.1/gaussian/sigma~0.5.safetensors",
        seed / "metrics/aware/fgsm/eps~0.1/highpass/cutoff~0.1.json",
        seed / "ledger/clean/gaussian/sigma~0.5.parquet",
        *(
            results / f"tables/{name}.csv"
            for name in ("checks", "classes", "fallen", "headline", "paired", "worst_case")
        ),
        results / "tables/verdict.txt",
        results / "figures/digits/mlp/worst_case.svg",
        results / "figures/digits/mlp/attacks.png",
        seed / "metrics/blind/fgsm/eps~0.1/gaussian/sigma~0.5.json",
        seed / "ledger/blind/fgsm/eps~0.1/none/fixed.parquet",
        *(
            results / "figures/digits/mlp/fgsm" / f"{name}.{suffix}"
            for name in (
                *("accuracy", "success", "spectrum", "threats", "smallest"),
                *("gaussian/accuracy", "gaussian/gallery"),
            )
            for suffix in ("svg", "png")
        ),
    ):
        assert path.stat().st_size > 0, path
    cells = pd.read_csv(finished.cells)
    assert list(cells.columns) == COLUMNS
    assert len(cells) == 14
    assert not list(results.rglob(".*")), "a temporary file is left"


def test_adversarial_sets_stay_in_their_ball_in_the_test_sets_order(finished: Workdir) -> None:
    results = finished.directory / "results"
    clean = load_file(results / "data/digits/test.safetensors")
    images = clean["images"].astype(np.float32) / 255
    sets = sorted((results / "digits/mlp/seed~0/adversarial").rglob("eps~*.safetensors"))
    sets += sorted((results / "digits/mlp/seed~0/adversarial/aware").rglob("*.safetensors"))
    assert len(sets) == 2 + 6
    for path in sets:
        eps = float(re.search(r"eps~([\d.]*\d)", str(path))[1])
        made = load_file(path)
        assert made["images"].dtype == np.float32
        assert np.abs(made["images"] - images).max() <= eps + 1e-6
        assert made["images"].min() >= 0
        assert made["images"].max() <= 1
        assert (made["labels"] == clean["labels"]).all()
        if eps == 0:
            assert (made["images"] == images).all()


def test_metrics_agree_with_their_ledger_and_say_what_made_them(finished: Workdir) -> None:
    seed = finished.directory / "results/digits/mlp/seed~0"
    clean = pd.read_parquet(seed / "ledger/clean/none/fixed.parquet")
    metrics = list((seed / "metrics").rglob("*.json"))
    assert len(metrics) == 14
    for path in metrics:
        figures = json.loads(path.read_text())
        relative = path.relative_to(seed / "metrics").with_suffix(".parquet")
        ledger = pd.read_parquet(seed / "ledger" / relative)
        assert figures["n"] == len(ledger) == 360
        assert figures["accuracy"] == pytest.approx(ledger["correct"].mean())
        right = ledger[ledger["correct_clean"]]
        assert figures["attack_success"] == pytest.approx(1 - right["correct"].mean())
        assert (ledger["correct_clean"] == clean["correct"]).all()
        made_by = figures["made_by"]
        assert json.loads(made_by["cell"])["filter"] == figures["filter"]
        assert json.loads(made_by["versions"])["torch"]
        assert len(made_by["code"]) == 16


@pytest.mark.slow
def test_without_the_profile_the_results_are_the_same(workdir: Workdir, finished: Workdir) -> None:
    study = {**SMALL, "filters": [{"kind": "gaussian", "sigma": [0.5]}], "keep_filtered": False}
    workdir.configure({**study, "attacks": [{"kind": "fgsm", "eps": [0.1]}]})
    workdir.run(CELLS, "--workflow-profile", "none", "--quiet")
    mine, other = pd.read_csv(workdir.cells), pd.read_csv(finished.cells)
    kept = other[(other["budget"] == 0.1) & other["filter"].isin(["none", "gaussian"])]
    kept = kept[(kept["filter"] == "none") | (kept["strength"] == 0.5)]
    pd.testing.assert_frame_equal(mine, kept.reset_index(drop=True))
    assert not list((workdir.directory / "results").rglob("filtered/**/*.safetensors"))


@pytest.mark.slow
def test_a_killed_run_continues_and_ends_with_the_same_tables(
    workdir: Workdir, finished: Workdir
) -> None:
    run = subprocess.Popen(
        workdir.command(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    ledgers = workdir.directory / "results/digits/mlp/seed~0/ledger/blind"
    deadline = time.monotonic() + 300
    while not list(ledgers.rglob("*.parquet")):
        assert run.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)

    # It must not come to its end meanwhile.
    os.killpg(run.pid, signal.SIGSTOP)
    refused = workdir.unlock()
    assert refused.returncode != 0
    assert str(run.pid) in refused.stderr

    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not workdir.cells.exists()
    assert "--unlock" in workdir.snakemake().stderr

    assert workdir.unlock().returncode == 0
    done = {path: path.stat().st_mtime_ns for path in ledgers.rglob("[!.]*.parquet")}
    workdir.run(CELLS)
    assert workdir.cells.read_bytes() == finished.cells.read_bytes()
    assert sum(path.stat().st_mtime_ns == before for path, before in done.items()) >= len(done) - 2


def test_a_damaged_file_is_named_and_leaves_other_cells_running(finished: Workdir) -> None:
    before = finished.cells.read_bytes()
    damaged = "results/digits/mlp/seed~0/adversarial/blind/fgsm/eps~0.1.safetensors"
    path = finished.directory / damaged
    path.write_bytes(path.read_bytes()[:1000])
    finished.configure({**SMALL, "filters": [{"kind": "gaussian", "sigma": [0.5, 1, 2]}]})
    run = finished.snakemake(CELLS)
    assert run.returncode != 0
    output = " ".join((run.stdout + run.stderr).split())
    assert f"{damaged} cannot be read" in output
    assert "delete it and run again" in output
    metrics = finished.directory / "results/digits/mlp/seed~0/metrics/blind/fgsm"
    assert (metrics / "eps~0/gaussian/sigma~2.json").exists()
    assert not (metrics / "eps~0.1/gaussian/sigma~2.json").exists()

    path.unlink()
    finished.configure(SMALL)
    finished.run(CELLS)
    assert finished.cells.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "device=gpu"], "device: 'gpu' is not allowed; allowed: auto, cpu, cuda"),
        (["--config", "sigma=1"], "unknown key sigma; allowed: datasets"),
    ],
)
def test_a_bad_configuration_stops_before_any_job(
    workdir: Workdir, arguments: list[str], message: str
) -> None:
    run = workdir.snakemake(*arguments)
    assert run.returncode != 0
    assert message in " ".join(run.stderr.split())
    assert not (workdir.directory / "results").exists()


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_only_a_named_gpu_is_requested_and_by_the_rules_that_use_it(
    workdir: Workdir, device: str
) -> None:
    run = workdir.snakemake("-n", "--workflow-profile", "none", "--config", f"device={device}")
    assert run.returncode == 0, run.stderr
    requests: dict[str, set[str]] = {}
    for block in (run.stdout + run.stderr).split("\n["):
        rule = re.search(r"^(?:local)?rule (\w+):$", block, re.MULTILINE)
        if rule:
            gpu = re.search(r"^    resources:.*\bgpu=(\d+)", block, re.MULTILINE)
            requests.setdefault(rule[1], set()).add(gpu[1] if gpu else "0")
    gpu_rules = ("train", "differentiate", "attack", "attack_aware", "filter")
    asked = "1" if device == "cuda" else "0"
    for rule, gpus in requests.items():
        assert gpus == {asked if rule in gpu_rules else "0"}, rule


@pytest.mark.parametrize(
    "view", [["--dry-run"], ["--dag"], ["--rulegraph"], ["--summary"], ["--lint"]]
)
def test_looking_at_the_dag_imports_nothing_heavy(finished: Workdir, view: list[str]) -> None:
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    run = finished.snakemake(*view, env=environment)
    assert run.returncode == 0, run.stderr
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in run.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "epsigma" in imported
    heavy = {"torch", "torchvision", "kornia", "pytorch_lightning", "matplotlib", "seaborn"}
    assert not imported & heavy
    assert view != ["--dag"] or run.stdout.startswith("digraph")


def test_the_report_is_one_file_with_every_figure(finished: Workdir) -> None:
    finished.run("--report", "results/report.html")
    report = (finished.directory / "results" / "report.html").read_text()
    for name in ("accuracy.svg", "gallery.svg", "spectrum.svg", "cells.csv"):
        assert name in report


def test_the_papers_study_on_a_part_of_mnist(tmp_path: Path, mnist_dir: Path) -> None:
    study = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    study["datasets"] = [{"kind": "mnist", "train_size": 12000, "test_size": 2000}]
    workdir = new_workdir(tmp_path / "epsigma", study)
    workdir.run("--config", f"data_dir={mnist_dir}")
    cells = pd.read_csv(workdir.cells)
    assert len(cells) == 10 * (1 + 2 * (9 + 15))
    blind, aware = (cells[cells["threat"] == threat] for threat in ("blind", "aware"))
    unfiltered = cells[cells["filter"] == "none"].set_index("budget")["accuracy"]
    assert unfiltered[0] > 0.88
    assert unfiltered.is_monotonic_decreasing
    assert unfiltered[0.3] < 0.05
    blurred = blind[blind["filter"] == "gaussian"].set_index(["budget", "strength"])["accuracy"]
    # The paper's figure 3: a little smoothing helps at a small ε, a lot of it never does.
    assert blurred[0.05].max() > unfiltered[0.05]
    assert blurred[0][3] < unfiltered[0] - 0.2
    # The attacker who knows the filter leaves less.
    keys = ["budget", "filter", "strength"]
    gap = blind.set_index(keys)["accuracy"].sub(aware.set_index(keys)["accuracy"]).dropna()
    assert len(gap) == 240
    assert gap.min() > -0.005
    assert gap[0.1].max() > 0.05
    verdicts = pd.read_csv(workdir.directory / "results/tables/checks.csv")["verdict"]
    assert "fail" not in set(verdicts)
    clean = load_file(workdir.directory / "results/data/mnist/test.safetensors")
    images = clean["images"].astype(np.float32) / 255
    for path in (workdir.directory / "results").rglob("adversarial/**/*.safetensors"):
        eps = float(path.stem.partition("~")[2])
        made = load_file(path)
        assert np.abs(made["images"] - images).max() <= eps + 1e-6
        assert (made["labels"] == clean["labels"]).all()
    assert not list((workdir.directory / "results").rglob("filtered/**/*.safetensors"))


def rule_graph(workdir: Workdir, *arguments: str) -> set[tuple[str, str]]:
    """Which rule reads what another one makes."""
    graph = workdir.snakemake("--rulegraph", "mermaid-js", *arguments).stdout
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", graph))
    # Where attacks meet other filters, or have other figures, several rules draw them.
    drawing = re.compile(r"^(draw_(?:attack|filters|galleries|model))_\d+$")
    return {
        (drawing.sub(r"\1", names[a]), drawing.sub(r"\1", names[b]))
        for a, b in re.findall(r"(id\d+) --> (id\d+)", graph)
    }


def test_the_docs_show_the_rule_graph_and_what_defences_add(
    finished: Workdir, workdir: Workdir
) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    shown, added = (
        set(re.findall(r"^    (\w+) --> (\w+)$", graph, re.MULTILINE))
        for graph in re.findall(
            r"^```mermaid\nflowchart LR\n    %% rules\n(.*?)^```", text, re.MULTILINE | re.DOTALL
        )
    )
    edges = rule_graph(finished)
    assert len(edges) > 20
    assert shown == edges
    # Of what is added the page leaves out what all of its kind have in common.
    workdir.configure(yaml.safe_load((ROOT / "config" / "defences.yaml").read_text()))
    new = rule_graph(workdir) - edges
    assert added <= new
    known = {rule for edge in edges for rule in edge}
    assert {rule for edge in new for rule in edge} - known <= {r for edge in added for r in edge}
