"""What is recomputed when something changes: exactly what depends on it."""

import ast
import copy
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import SMALL, ScheduledJob, Workdir

# 2 ε; 3 filters at a strength each, and none, which only the blind attacker meets.
BUDGETS, STRENGTHS = 2, 3
FILTERED = BUDGETS * STRENGTHS
CELLS = FILTERED + BUDGETS + FILTERED
JUDGED = {"check": 1, "explore": 1, "gate": 1}
# FGSM has no steps whose loss is followed: nothing draws them, and its card shows none.
FIGURES = {"draw_attack": 1, "draw_filters": 1, "draw_model": 1}
DRAWINGS = {**FIGURES, "card": 1}
# Drawn before there are tables.
GALLERY = {"gallery": 1, "draw_galleries": 1}
SPECTRUM = {"spectrum": 1, "draw_spectrum": 1}
EARLY = {"draw_galleries": 1, "draw_spectrum": 1}
TABLED = {"tabulate": 1, "unpack": 1, "reference": 1, "pages": 1}
TABLES = {"collect": 1, **TABLED, **JUDGED, **DRAWINGS}
PROBES = {"probe_attack": 1 + STRENGTHS}
ALL_PROBES = {**PROBES, "probe_model": 1, "probe_filter": 1 + STRENGTHS}
AFTER_CELLS = {**GALLERY, "gallery": 2, **SPECTRUM, **TABLES}
AFTER_ATTACK = {"filter": FILTERED, "evaluate": CELLS, **AFTER_CELLS}
DIRECTIONS = {"differentiate": 1 + STRENGTHS}
ATTACKS = {**DIRECTIONS, "attack": BUDGETS, "attack_aware": FILTERED, **AFTER_ATTACK}
CLEAN = {"evaluate_clean": 1 + STRENGTHS}
AFTER_TRAINING = {**CLEAN, **PROBES, "probe_model": 1, **ATTACKS}
AFTER_DATA = {"probe_filter": 1 + STRENGTHS, "train": 1, **AFTER_TRAINING}
# What depends on how a filter of two strengths is made.
AFTER_GAUSSIAN = {
    "differentiate": 2,
    "filter": 4,
    "attack_aware": 4,
    "evaluate": 8,
    "evaluate_clean": 2,
    "probe_filter": 2,
    "probe_attack": 2,
    **GALLERY,
    **SPECTRUM,
    **TABLES,
}


def count(jobs: list[ScheduledJob]) -> dict[str, int]:
    """Count the jobs by rule, without the one that writes any new configuration down.

    Where attacks have other figures, several rules draw them: `draw_attack_1`.
    """
    rules = (re.sub(r"_\d+$", "", job.rule) for job in jobs if job.rule != "configuration")
    return dict(Counter(rules))


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    study = copy.deepcopy(SMALL)
    change(study)
    return study


def test_a_rerun_does_nothing(finished: Workdir) -> None:
    assert finished.scheduled() == []


def test_another_configuration_is_written_down(finished: Workdir) -> None:
    finished.configure(changed(lambda study: study.update(device="cpu")))
    assert [job.rule for job in finished.scheduled()] == ["configuration"]


def test_a_cold_run_makes_every_cell_once(workdir: Workdir) -> None:
    assert count(workdir.scheduled()) == {"dataset": 1, **AFTER_DATA}


def test_another_sigma_runs_its_cells_only(finished: Workdir) -> None:
    finished.configure(changed(lambda study: study["filters"][0]["sigma"].append(2)))
    jobs = finished.scheduled()
    assert count(jobs) == {
        "filter": BUDGETS,
        "differentiate": 1,
        "attack_aware": BUDGETS,
        "evaluate": 2 * BUDGETS,
        "evaluate_clean": 1,
        "probe_filter": 1,
        "probe_attack": 1,
        **GALLERY,
        **SPECTRUM,
        **TABLES,
    }
    cells = [job.wildcards for job in jobs if job.rule in ("filter", "attack_aware", "evaluate")]
    assert {cell["strength"] for cell in cells} == {"sigma~2"}
    assert {job.wildcards["filter"] for job in jobs if job.rule == "gallery"} == {"gaussian"}


def test_another_eps_runs_its_cells_only(finished: Workdir) -> None:
    finished.configure(changed(lambda study: study["attacks"][0]["eps"].append(0.3)))
    jobs = finished.scheduled()
    assert count(jobs) == {
        "attack": 1,
        "attack_aware": STRENGTHS,
        "filter": STRENGTHS,
        "evaluate": CELLS // BUDGETS,
        **AFTER_CELLS,
    }
    rules = ("attack", "attack_aware", "filter", "evaluate")
    cells = [job.wildcards for job in jobs if job.rule in rules]
    assert {cell["budget"] for cell in cells} == {"eps~0.3"}


def test_one_sigma_less_runs_no_cell(finished: Workdir) -> None:
    finished.configure(changed(lambda study: study["filters"][0]["sigma"].remove(0.5)))
    assert count(finished.scheduled()) == {**GALLERY, **SPECTRUM, **TABLES}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            lambda study: study["attacks"][0].update(loss="margin"),
            {**ATTACKS, **PROBES},
            id="the attack's loss redoes the attack and what follows, but no training",
        ),
        pytest.param(
            lambda study: study["models"][0]["training"].update(epochs=4),
            {"train": 1, **AFTER_TRAINING},
            id="the number of epochs redoes everything but the data",
        ),
        pytest.param(
            lambda study: study["filters"][0].update(border="circular"),
            AFTER_GAUSSIAN,
            id="a filter's border redoes that filter",
        ),
        pytest.param(
            lambda study: study["datasets"][0].update(split_seed=1),
            {"dataset": 1, **AFTER_DATA},
            id="another split redoes everything",
        ),
        pytest.param(
            lambda study: study["seeds"].append(1),
            {
                "train": 1,
                **CLEAN,
                **PROBES,
                "probe_model": 1,
                **DIRECTIONS,
                "attack": BUDGETS,
                "attack_aware": FILTERED,
                "filter": FILTERED,
                "evaluate": CELLS,
                **TABLES,
            },
            id="another seed trains one more model",
        ),
        pytest.param(
            lambda study: study["attacks"][0].update(threats=["blind"]),
            TABLES,
            id="asking for less redoes no cell",
        ),
        pytest.param(
            lambda study: study["attacks"].append(
                {"kind": "pgd", "eps": [0.1], "steps": 3, "threats": ["aware"]}
            ),
            {
                "attack": 1,
                "attack_aware": STRENGTHS,
                "evaluate": 1 + STRENGTHS,
                # There is no blind cell through a filter to draw. Figures know all attacks by name.
                **SPECTRUM,
                **PROBES,
                **TABLES,
                "draw_galleries": 1,
                "draw_spectrum": 2,
                "draw_attack": 2,
                "draw_convergence": 1,
                "card": 2,
            },
            id="another attack runs its cells only",
        ),
        pytest.param(
            lambda study: study["attacks"][0].update(eot_samples=3),
            {"card": 1, "gate": 1},
            id="draws of a random filter are none of the others' business, but are on the card",
        ),
        pytest.param(
            lambda study: study.update(checks="cheap"),
            # Figures mark what a check doubts, and cards have the verdicts.
            {**JUDGED, **DRAWINGS},
            id="fewer checks judge again what there is, and measure nothing",
        ),
        pytest.param(
            lambda study: study.update(figures={"font_size": 8}),
            {**FIGURES, **EARLY, "gate": 1},
            id="another look of figures redraws them and makes nothing else",
        ),
        pytest.param(
            lambda study: study.update(figures={"kinds": ["attack_threats"]}),
            {"gate": 1},
            id="fewer figures redraw none",
        ),
        pytest.param(
            lambda study: study.update(strict=False),
            {"gate": 1},
            id="not being strict asks the gate again",
        ),
        pytest.param(
            lambda study: study.update(keep_filtered=False),
            {},
            id="not keeping the filtered sets redoes nothing",
        ),
        pytest.param(
            lambda study: study.update(keep_directions=False),
            {},
            id="not keeping the directions redoes nothing",
        ),
        pytest.param(
            lambda study: study.update(keep_filtered=False, keep_aware=False),
            # It shows the sets that are kept.
            {"explore": 1, "gate": 1},
            id="keeping no sets redoes no cell",
        ),
        pytest.param(
            lambda study: study.update(device="cpu"), {}, id="naming the device redoes nothing"
        ),
        pytest.param(
            lambda study: study.update(data_dir="elsewhere"),
            {},
            id="another folder of the same data redoes nothing",
        ),
    ],
)
def test_a_changed_key_redoes_what_depends_on_it(
    finished: Workdir, change: Callable[[dict[str, Any]], object], expected: dict[str, int]
) -> None:
    finished.configure(changed(change))
    assert count(finished.scheduled()) == expected


@pytest.mark.parametrize(
    ("module", "old", "new", "expected"),
    [
        (
            "attacks/fgsm.py",
            "gradient.sign_()",
            "gradient.neg_().sign_()",
            {**ATTACKS, **PROBES},
        ),
        (
            "attacks/losses.py",
            'reduction="none")',
            'reduction="none") * 2',
            # A score's margin is one of them.
            {**ATTACKS, **ALL_PROBES, **CLEAN},
        ),
        (
            "filters/gaussian.py",
            "math.ceil(",
            "math.floor(",
            AFTER_GAUSSIAN,
        ),
        ("models/mlp.py", "nn.ReLU()", "nn.GELU()", {"train": 1, **AFTER_TRAINING}),
        (
            "scoring.py",
            "int(correct.sum())",
            "int(correct[1:].sum())",
            {**CLEAN, "evaluate": CELLS, **GALLERY, "gallery": 2, **TABLES},
        ),
        (
            "datasets/digits.py",
            "255 / 16",
            "254 / 16",
            {"dataset": 1, **AFTER_DATA},
        ),
        # Of which figures have bars.
        (
            "tables/intervals.py",
            "CONFIDENCE = 0.95",
            "CONFIDENCE = 0.9",
            {**TABLES, **EARLY},
        ),
        (
            "tables/smallest.py",
            "np.logical_or.accumulate",
            "np.logical_and.accumulate",
            {**TABLED, **JUDGED, **DRAWINGS},
        ),
        (
            "registry/tables.py",
            '    "headline": ',
            '    "again": TableKind("epsigma.tables.classes:score_classes"),\n    "headline": ',
            {**TABLED, **JUDGED, **DRAWINGS},
        ),
        ("checks/strength.py", "CONVERGED = 0.01", "CONVERGED = 0.02", {**JUDGED, **DRAWINGS}),
        ("stages/probe.py", "IMAGES = 500", "IMAGES = 400", {**ALL_PROBES, **JUDGED, **DRAWINGS}),
        # What all figures share; and one of an attack, of a filter, of a model.
        ("figures/rates.py", '"alpha": 0.2', '"alpha": 0.3', {**FIGURES, "gate": 1}),
        (
            "figures/budgets.py",
            "figsize=(5.2, 3.4)",
            "figsize=(5, 3.4)",
            {"draw_attack": 1, "gate": 1},
        ),
        (
            "figures/strengths.py",
            "figsize=(6.4, 4)",
            "figsize=(6, 4)",
            {"draw_filters": 1, "gate": 1},
        ),
        (
            "figures/worst_case.py",
            "figsize=(10.4,",
            "figsize=(10,",
            {"draw_model": 1, "gate": 1},
        ),
        ("explorer/sprites.py", "SIDE = 64", "SIDE = 32", {"explore": 1, "gate": 1}),
        ("pages/explorer.css", "1.3rem", "1.4rem", {"explore": 1, "gate": 1}),
        # A label in the registry is in the report only.
        ("registry/figures.py", "smallest budgets", "minimum budgets", {}),
        ("stages/gate.py", "{n} checks", "{n} verdicts", {"gate": 1}),
    ],
)
def test_an_edited_function_redoes_its_stage_and_what_follows(
    finished: Workdir, module: str, old: str, new: str, expected: dict[str, int]
) -> None:
    path = finished.project / "workflow" / "epsigma" / module
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new))
    assert count(finished.scheduled()) == expected


def _comment(source: str) -> str:
    return f"# A comment.\n{source}\n# Another.\n"


def _reformat(source: str) -> str:
    return ast.unparse(ast.parse(source))


@pytest.mark.parametrize("edit", [_comment, _reformat, str], ids=["comment", "reformat", "touch"])
def test_an_edit_that_changes_no_code_redoes_nothing(
    finished: Workdir, edit: Callable[[str], str]
) -> None:
    sources = [
        path
        for folder in ("epsigma", "scripts")
        for path in (finished.project / "workflow" / folder).rglob("*.py")
    ]
    assert len(sources) > 30
    for path in sources:
        path.write_text(edit(path.read_text()))
    assert finished.scheduled() == []


def test_a_deleted_table_is_remade_from_the_cells_that_are_there(finished: Workdir) -> None:
    before = finished.cells.read_bytes()
    finished.cells.unlink()
    assert count(finished.scheduled()) == TABLES
    finished.run()
    assert finished.cells.read_bytes() == before


def test_tables_are_made_anew_where_a_job_that_failed_took_their_file_away(
    finished: Workdir,
) -> None:
    (finished.directory / "results" / "tables" / "tables.zip").unlink()
    rules = {job.rule for job in finished.scheduled()}
    assert {*TABLED} <= rules
    assert "evaluate" not in rules


def test_a_deleted_figure_is_redrawn_and_nothing_else(finished: Workdir) -> None:
    figure = finished.directory / "results/figures/digits/mlp/fgsm/gaussian/accuracy.svg"
    before = figure.read_bytes()
    figure.unlink()
    assert count(finished.scheduled()) == {"draw_filters": 1, "gate": 1}
    finished.run()
    assert figure.read_bytes() == before


def test_deleted_filtered_sets_are_not_missed(finished: Workdir) -> None:
    shutil.rmtree(finished.directory / "results/digits/mlp/seed~0/filtered")
    shutil.rmtree(finished.directory / "results/digits/mlp/seed~0/adversarial/aware")
    assert finished.scheduled() == []


@pytest.mark.parametrize("budget", ["eps~0.10", "eps~.1", "eps~1e-1", "sigma~0.1"])
def test_a_value_has_one_spelling(finished: Workdir, budget: str) -> None:
    target = f"results/digits/mlp/seed~0/adversarial/blind/fgsm/{budget}.safetensors"
    assert finished.snakemake("--dry-run", target).returncode != 0


def test_a_cell_outside_the_configuration_can_be_asked_for_by_its_path(finished: Workdir) -> None:
    target = "results/digits/mlp/seed~0/metrics/blind/fgsm/eps~0.25/gaussian/sigma~0.8.json"
    assert count(finished.scheduled(target)) == {"attack": 1, "filter": 1, "evaluate": 1}
    aware = target.replace("blind", "aware")
    # A strength that has no direction yet.
    expected = {"differentiate": 1, "attack_aware": 1, "evaluate": 1}
    assert count(finished.scheduled(aware)) == expected


def test_another_model_leaves_the_first_alone(finished: Workdir) -> None:
    wide = {"kind": "mlp", "name": "wide", "hidden": 24, "training": {"epochs": 1}}
    finished.configure(changed(lambda study: study["models"].append(wide)))
    cells = ("train", "evaluate_clean", "attack", "attack_aware", "filter", "evaluate")
    jobs = [job for job in finished.scheduled() if job.rule in cells]
    assert len(jobs) == 1 + (1 + STRENGTHS) + BUDGETS + FILTERED + FILTERED + CELLS
    assert {job.wildcards["model"] for job in jobs} == {"wide"}


def test_another_source_of_a_transfer_makes_its_sets_again(workdir: Workdir) -> None:
    def transfer(source_seed: int) -> dict[str, Any]:
        moved = {"kind": "transfer", "attack": "fgsm", "eps": [0.1], "source_seed": source_seed}
        attacks = [SMALL["attacks"][0], moved]
        return changed(lambda study: study.update(attacks=attacks, seeds=[0, 1, 2]))

    target = "results/digits/mlp/seed~0/metrics/blind/transfer/eps~0.1/none/fixed.json"
    # Both sources are there, and older than the sets: no timestamp tells that they changed places.
    checkpoints = [f"results/digits/mlp/seed~{seed}/checkpoint.ckpt" for seed in (1, 2)]
    workdir.configure(transfer(1))
    workdir.run(*checkpoints)
    workdir.run(target)
    assert workdir.scheduled(target) == []
    workdir.configure(transfer(2))
    assert count(workdir.scheduled(target)) == {"differentiate": 1, "attack": 1, "evaluate": 1}


NETS = """
from torch import nn

from layers import WIDTH


def small(shape, classes, *, bias):
    pixels = shape[0] * shape[1] * shape[2]
    hidden = nn.Linear(pixels, WIDTH, bias=bias)
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(WIDTH, classes))
"""
OWN = {
    "kind": "factory",
    "name": "own",
    "factory": "nets:small",
    "parameters": {"bias": True},
    "training": {"epochs": 3, "batch_size": 32, "learning_rate": 0.01},
}
METRICS = "results/digits/own/seed~0/metrics/blind/fgsm/eps~0.1/gaussian/sigma~1.json"
OF_A_CELL = {
    **{"train": 1, "evaluate_clean": 1, "differentiate": 1},
    **{"attack": 1, "filter": 1, "evaluate": 1},
}


def test_a_model_of_the_user_s_own_runs_and_reruns_when_its_code_changes(workdir: Workdir) -> None:
    workdir.configure(changed(lambda study: study.update(models=[OWN])))
    (workdir.directory / "nets.py").write_text(NETS)
    layers = workdir.directory / "layers.py"
    layers.write_text("WIDTH = 24\n")
    workdir.run(METRICS)
    assert workdir.scheduled(METRICS) == []
    layers.write_text("# A comment.\nWIDTH = 24\n")
    assert workdir.scheduled(METRICS) == []
    layers.write_text("WIDTH = 16\n")
    assert count(workdir.scheduled(METRICS)) == OF_A_CELL
    # The DAG reads the module and does not import it.
    layers.write_text("WIDTH = 24\nraise ImportError\n")
    assert count(workdir.scheduled(METRICS)) == OF_A_CELL
    layers.unlink()
    (workdir.directory / "nets.py").unlink()
    refused = workdir.snakemake("--dry-run", METRICS)
    assert refused.returncode != 0
    assert "models[0] (own).factory: there is no source of nets" in refused.stderr


def test_weights_of_the_user_s_own_are_not_trained_and_rerun_when_replaced(
    finished: Workdir,
) -> None:
    mlp = finished.directory / "results/digits/mlp/seed~0/checkpoint.ckpt"
    own = {"kind": "mlp", "name": "own", "hidden": 16, "checkpoint": "w.ckpt"}
    finished.configure(changed(lambda study: study.update(models=[own])))
    refused = finished.snakemake("--dry-run", METRICS)
    assert refused.returncode != 0
    assert "models[0] (own).checkpoint: w.ckpt does not exist" in refused.stderr
    weights = finished.directory / "w.ckpt"
    shutil.copyfile(mlp, weights)
    finished.run(METRICS)
    trained = finished.directory / METRICS.replace("/own/", "/mlp/")
    figures = [
        json.loads((finished.directory / METRICS).read_text()),
        json.loads(trained.read_text()),
    ]
    assert figures[0]["accuracy"] == figures[1]["accuracy"] > 0.3
    own["training"] = {"epochs": 7}
    finished.configure(changed(lambda study: study.update(models=[own])))
    assert finished.scheduled(METRICS) == []
    weights.write_bytes(weights.read_bytes() + b"\n")
    assert count(finished.scheduled(METRICS)) == OF_A_CELL


def test_the_copied_project_is_the_one_that_runs(finished: Workdir, tmp_path: Path) -> None:
    (finished.project / "workflow" / "epsigma" / "cell.py").write_text("raise ImportError('mine')")
    assert "mine" in finished.snakemake("--dry-run").stderr
