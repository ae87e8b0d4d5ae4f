"""Runs on a real SLURM: the tables of a local run come out, whatever becomes of the jobs."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from cluster import output, wait
from conftest import (
    CELLS,
    MODEL,
    STUDY,
    Accounted,
    accounted,
    adversarial,
    prepare,
    run,
    submit,
    unfiltered,
)
from running import ROOT, Workdir, new_workdir

# Where python and snakemake are those of this environment, as the scripts expect.
BIN = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def attack_job(eps: float) -> str | None:
    """The number of the SLURM job, queued or running, that makes the adversarial set of an ε."""
    jobs = dict(
        line.split(" ", 1)[::-1]
        for line in output("squeue", "--noheader", "--format=%A %k").splitlines()
    )
    return jobs.get(f"rule_attack_wildcards_digits_mlp_0_push_eps~{eps:g}")


def halted_job(workdir: Workdir, eps: float) -> str:
    """Wait until the attack with an ε has halted, and return its job."""
    mark = workdir.directory / "strikes" / f"{eps:g} halted"
    wait(f"the attack of {eps:g} to halt", mark.exists, seconds=240)
    job = attack_job(eps)
    assert job
    return job


def strike(workdir: Workdir, eps: float, what: str) -> Path:
    path = workdir.directory / "strikes" / f"{eps:g}"
    path.write_text(what)
    return path


def state(job: str) -> str:
    return output("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").strip()


def log_of(workdir: Workdir) -> str:
    logs = (workdir.directory / ".snakemake" / "log").iterdir()
    return max(logs, key=os.path.getmtime).read_text()


def finish(workdir: Workdir, local: Workdir, *made: float) -> None:
    """Make the tables without SLURM: an undisturbed run's, and no attack that was made, again."""
    jobs = workdir.scheduled(CELLS)
    again = {f"eps~{eps:g}" for eps in made}
    assert not [job for job in jobs if job.rule == "attack" and job.wildcards["budget"] in again]
    workdir.run(CELLS)
    assert workdir.cells.read_bytes() == local.cells.read_bytes()


@dataclass(frozen=True)
class Struck:
    """A run whose jobs were struck, each in another way."""

    workdir: Workdir
    code: int
    said: str
    jobs: list[Accounted]

    def attacks(self, eps: float) -> list[Accounted]:
        return [job for job in self.jobs if job.comment.endswith(f"_push_eps~{eps:g}")]


@pytest.fixture(scope="module")
def struck(trained_once: Workdir, tmp_path_factory: pytest.TempPathFactory) -> Struck:
    workdir = trained_once.copy(tmp_path_factory.mktemp("struck") / "epsigma")
    cancelled, requeued, late = (strike(workdir, eps, "halt") for eps in (0.1, 0.2, 0.3))
    strike(workdir, 0.4, "eat")
    running = submit(
        workdir,
        *unfiltered(0, 0.1, 0.2, 0.3, 0.4),
        # What one of them gets is too little, by far.
        "--set-resources",
        "attack:runtime=attempt if wildcards.budget == 'eps~0.3' else 10",
        "attack:mem_mb=1300 * attempt ** 2",
    )
    try:
        first = halted_job(workdir, 0.1)
        subprocess.run(["scancel", first], check=True)
        wait("the cancelled job to end", lambda: state(first) == "CANCELLED")
        cancelled.unlink()

        second = halted_job(workdir, 0.2)
        subprocess.run(["scontrol", "requeue", second], check=True)
        wait("the requeued job to be queued", lambda: state(second) == "PENDING")
        requeued.unlink()

        third = halted_job(workdir, 0.3)
        wait("the time limit", lambda: state(third) == "TIMEOUT", seconds=150)
        late.unlink()
        said = running.communicate(timeout=240)[0]
    finally:
        if running.poll() is None:
            running.kill()
            print(running.communicate()[0])
    return Struck(workdir, running.returncode, said, accounted(said))


@pytest.mark.parametrize(
    ("eps", "states"),
    [
        pytest.param(0, ["COMPLETED"], id="let alone"),
        pytest.param(0.1, ["CANCELLED by 0", "COMPLETED"], id="cancelled"),
        pytest.param(0.2, ["REQUEUED", "COMPLETED"], id="requeued"),
        pytest.param(0.3, ["TIMEOUT", "COMPLETED"], id="out of time"),
        # Without cgroups SLURM calls it so.
        pytest.param(0.4, ["FAILED", "COMPLETED"], id="out of memory"),
    ],
)
def test_a_job_that_is_struck_is_run_again(struck: Struck, eps: float, states: list[str]) -> None:
    assert [job.state for job in struck.attacks(eps)] == states


def test_what_was_too_little_is_more_the_second_time(struck: Struck) -> None:
    assert [job.limit for job in struck.attacks(0.3)] == ["00:01:00", "00:02:00"]
    assert [job.memory for job in struck.attacks(0.4)] == ["1300M", "5200M"]


def test_struck_jobs_end_with_the_same_tables_and_cost_nothing_else(
    struck: Struck, local: Workdir
) -> None:
    assert struck.code == 0, struck.said
    for reason in ("CANCELLED", "TIMEOUT", "FAILED"):
        assert f"SLURM status is: '{reason}'" in struck.said
    assert Counter(job.rule for job in struck.jobs) == {"attack": 5 + 4, "evaluate": 5}
    finish(struck.workdir, local, 0, 0.1, 0.2, 0.3, 0.4)


def test_a_job_that_fails_says_why_and_leaves_the_others(finished: Workdir, local: Workdir) -> None:
    damaged = finished.directory / adversarial(0.1)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    for cell in unfiltered(0, 0.1):
        (finished.directory / cell).unlink()
    code, said = run(finished, *unfiltered(0, 0.1), "--retries", "0")
    assert code != 0
    assert f"{adversarial(0.1)} cannot be read" in said
    assert "delete it and run again" in said
    assert sorted(job.state for job in accounted(said)) == ["COMPLETED", "FAILED"]
    made, missing = (finished.directory / cell for cell in unfiltered(0, 0.1))
    assert made.exists()
    assert not missing.exists()

    damaged.unlink()
    finish(finished, local, 0, 0.2, 0.3, 0.4)


def test_when_snakemake_is_killed_its_jobs_are_cancelled_and_the_run_goes_on(
    trained: Workdir, local: Workdir
) -> None:
    sets = [adversarial(0), adversarial(0.1)]
    halt = strike(trained, 0.1, "halt")
    running = submit(trained, *sets)
    job = halted_job(trained, 0.1)
    wait("the other set", lambda: re.search(r"Finished .*attack", log_of(trained)), seconds=240)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert state(job) == "RUNNING"
    done = trained.directory / adversarial(0)
    made = done.stat().st_mtime_ns

    script = trained.project / "profiles" / "slurm" / "recover.sh"
    recovered = subprocess.run([script, trained.directory], env=BIN, capture_output=True, text=True)
    assert recovered.returncode == 0, recovered.stderr
    assert state(job) == "CANCELLED"
    halt.unlink()

    code, said = run(trained, *sets)
    assert code == 0, said
    assert [job.comment for job in accounted(said)] == [
        "rule_attack_wildcards_digits_mlp_0_push_eps~0.1"
    ]
    assert done.stat().st_mtime_ns == made
    finish(trained, local, 0, 0.1)


# Two attacks, so that a study can be run in two parts.
IN_PARTS = {
    **STUDY,
    "attacks": [
        {"kind": "struck:PUSH", "eps": [0, 0.1]},
        # It is tried at the largest, which nothing halts.
        {"kind": "struck:PUSH", "name": "shove", "eps": [0, 0.2, 0.3]},
    ],
}


def test_a_study_in_parts_loses_nothing_when_the_controller_of_one_is_killed(
    trained: Workdir, tmp_path: Path
) -> None:
    trained.configure(IN_PARTS)
    first, second = (
        ("--config", f"only={json.dumps({'attacks': [name]})}") for name in ("push", "shove")
    )
    code, said = run(trained, CELLS, *first)
    assert code == 0, said
    before = written(trained)

    halt = strike(trained, 0.2, "halt")
    running = submit(trained, CELLS, *second)
    wait("an attack to halt", (halt.parent / "0.2 halted").exists, seconds=240)
    done = trained.directory / adversarial(0).replace("push", "shove")
    finished = r"Finished .*Rule: attack\)"
    wait("the others", lambda: len(re.findall(finished, log_of(trained))) == 2, seconds=240)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    script = trained.project / "profiles" / "slurm" / "recover.sh"
    subprocess.run([script, trained.directory], env=BIN, check=True)
    halt.unlink()
    made = done.stat().st_mtime_ns

    code, said = run(trained, CELLS, *second)
    assert code == 0, said
    assert done.stat().st_mtime_ns == made
    assert before.items() <= written(trained).items()
    # The whole makes a table of what is there, and no more.
    assert {job.rule for job in trained.scheduled(CELLS)} <= {"collect"}
    trained.run(CELLS)
    whole = prepare(tmp_path / "whole", IN_PARTS)
    whole.run(CELLS)
    assert trained.cells.read_bytes() == whole.cells.read_bytes()


def written(workdir: Workdir) -> dict[Path, int]:
    """When each set and each ledger was written."""
    folder = workdir.directory / MODEL
    found = [*folder.rglob("*.safetensors"), *folder.rglob("*.parquet")]
    return {path: path.stat().st_mtime_ns for path in found}


LOGS = {
    "train": "logs/digits/mlp/seed~1/train.log",
    "attack": "logs/digits/mlp/seed~0/adversarial/blind/push/eps~0.1.log",
    "attack_aware": "logs/digits/mlp/seed~0/adversarial/aware/push/eps~0/gaussian/sigma~1.log",
    "filter": "logs/digits/mlp/seed~0/filtered/blind/push/eps~0/gaussian/sigma~1.log",
}


def test_jobs_that_use_the_gpu_and_no_others_are_given_one(
    finished: Workdir, tmp_path: Path
) -> None:
    partitions = tmp_path / "partitions.yaml"
    partitions.write_text("partitions: {cpu: {max_gpu: 0}, gpu: {max_gpu: 4}}")
    (finished.directory / adversarial(0.1)).unlink()
    filtered = f"{MODEL}/filtered/blind/push/eps~0/gaussian/sigma~1.safetensors"
    clean = f"{MODEL}/ledger/clean/none/fixed.parquet"
    for path in (filtered, clean):
        (finished.directory / path).unlink()
    code, said = run(
        finished,
        *(adversarial(0.1), filtered, clean, "results/digits/mlp/seed~1/checkpoint.ckpt"),
        f"{MODEL}/adversarial/aware/push/eps~0/gaussian/sigma~1.safetensors",
        *("--config", "device=cuda"),
        *("--retries", "0", "--slurm-partition-config", str(partitions)),
    )
    # This torch has no CUDA: the jobs get their GPU, and say that they cannot use it.
    assert code != 0
    jobs = {job.rule: job for job in accounted(said)}
    assert set(jobs) == {*LOGS, "evaluate_clean"}
    for rule, job in jobs.items():
        uses_gpu = rule != "evaluate_clean"
        assert ("gres/gpu=1" in job.allocated) == uses_gpu, job
        assert job.partition == ("gpu" if uses_gpu else "cpu")
        assert job.state == ("FAILED" if uses_gpu else "COMPLETED")
        if uses_gpu:
            log = (finished.directory / LOGS[rule]).read_text()
            assert re.search(r"torch sees no GPU here; .* \(CUDA_VISIBLE_DEVICES is [0-3]\)", log)


def test_one_allocation_makes_the_same_tables(tmp_path: Path, local: Workdir) -> None:
    workdir = prepare(tmp_path / "epsigma", STUDY)
    submitted = subprocess.run(
        [
            *("sbatch", "--parsable", "--cpus-per-task=2", "--mem=4000", "--time=30"),
            *(str(workdir.project / "profiles/slurm/sbatch.sh"), CELLS),
            *("--directory", str(workdir.directory)),
        ],
        cwd=workdir.project,
        env=BIN,
        capture_output=True,
        text=True,
        check=True,
    )
    job = submitted.stdout.strip()
    wait("the allocation to end", lambda: state(job) not in ("PENDING", "RUNNING"), seconds=200)
    said = "".join(path.read_text() for path in workdir.project.glob("epsigma-*.log"))
    assert state(job) == "COMPLETED", said
    assert workdir.cells.read_bytes() == local.cells.read_bytes()


def test_the_papers_study_is_tens_of_jobs(tmp_path: Path) -> None:
    study = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    workdir = new_workdir(tmp_path / "epsigma", study)
    code, said = run(workdir, "--dry-run", "--config", "columns=attack")
    assert code == 0, said
    planned = Counter(re.findall(r"^rule (\w+):$", said, re.MULTILINE))
    files = [ROOT / "workflow" / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    rules = [re.split(r"^rule (\w+):$", path.read_text(), flags=re.MULTILINE) for path in files]
    local = {
        name
        for found in rules
        for name, text in zip(found[1::2], found[2::2], strict=True)
        if "localrule: True" in text
    }
    assert {"all", "collect", "gate"} <= local
    local.add("epsigma")  # `all`, in the Snakefile at the root
    assert sum(count for rule, count in planned.items() if rule not in local) == 38
