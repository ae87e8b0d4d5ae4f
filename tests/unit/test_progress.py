"""Slow attacks that are killed: what they have done is kept, and the result is the same."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from epsigma.attacks.craft import make_set, rows_of
from epsigma.detectors.detector import Detector
from epsigma.detectors.rejection import ClassifierWithDetectors
from epsigma.plan.jobs import Jobs
from epsigma.stages.attack import attack
from epsigma.storage import progress
from epsigma.storage.files import progress_path, tidy, write_text
from epsigma.storage.progress import ProgressFile, digest_inputs
from epsigma.study import validate
from safetensors import safe_open

CPU = torch.device("cpu")
NOISE = {
    "implementation": "epsigma.filters.noise:GaussianNoise",
    "parameters": {"std": 0.1},
    "random": True,
    "gradient": "exact",
}
AWARE = {"filter": NOISE, "eot_samples": 2}


class Killed(BaseException):
    """What no code catches."""


def contents(path):
    """The tensors of a file, and its metadata, whose order safetensors chooses anew each time."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata()


def settings(*, queries=20, **parameters):
    parameters = {"eps": 0.05, "steps": 4, "target_classes": 2, "queries": queries, **parameters}
    implementation = "epsigma.attacks.autoattack:autoattack"
    how = {"implementation": implementation, "parameters": parameters}
    return {**how, "random": True, "ensemble": True}


@pytest.fixture
def often(monkeypatch):
    """All that is done is kept at once, in small batches."""
    monkeypatch.setattr(progress, "INTERVAL", 0)
    monkeypatch.setattr("epsigma.storage.batches.BATCH", 100)


@pytest.fixture
def make(make_job, clean_file, checkpoint, tmp_path):
    """Run the stage; return what is in the set, and the log."""

    def run(how=None, name="set", **more):
        model = {"implementation": "epsigma.models.mlp:MLP", "parameters": {"hidden": 32}}
        job = make_job({"model": model, "attack": how or settings(), **more}, dataset="digits")
        path = tmp_path / f"{name}.safetensors"
        files = {"test": str(clean_file), "checkpoint": str(checkpoint), "adversarial": str(path)}
        attack(job, **files)
        return contents(path), Path(job.log).read_text(encoding="utf-8")

    return run


def kill(monkeypatch, run, *, after=0):
    """Whether an attempt comes as far as to be killed."""
    with monkeypatch.context() as context:
        write, left = progress.write_tensors, iter(range(after))

        def write_and_die(*given):
            write(*given)
            if next(left, None) is None:
                raise Killed

        context.setattr(progress, "write_tensors", write_and_die)
        try:
            run()
        except Killed:
            return True
    return False


@pytest.mark.parametrize(
    ("how", "more"),
    [(settings(), {}), (settings(version="rand"), AWARE)],
    ids=["standard", "rand, through noise"],
)
def test_killed_after_each_batch_it_comes_to_the_same_set(monkeypatch, often, make, how, more):
    expected, said = make(how, "undisturbed", **more)
    assert "goes on" not in said
    attempts = 0
    while kill(monkeypatch, lambda: make(how, "killed", **more)):
        attempts += 1
        assert attempts < 50
    found, said = make(how, "killed", **more)
    assert found == expected
    # Each part has a batch at least.
    assert attempts > (4 if how == settings() else 2)
    last = "square" if how == settings() else "apgd_dlr"
    assert f"goes on after {last}, " in said


def test_the_log_says_where_it_goes_on(monkeypatch, often, make, trained):
    assert kill(monkeypatch, make)
    count = len(trained.labels)
    said = make()[1]
    assert "goes on within apgd_ce, " in said
    assert f" of {count} left" in said


def test_a_part_that_is_done_is_not_run_again(monkeypatch, make):
    monkeypatch.setattr(progress, "INTERVAL", 0)
    expected, _ = make(name="undisturbed")

    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as context:
        context.setattr("epsigma.attacks.autoattack.fab", die)
        with pytest.raises(Killed):
            make()
    with monkeypatch.context() as context:
        context.setattr("epsigma.attacks.autoattack.apgd", die)
        found, said = make()
    assert found == expected
    assert "goes on after apgd_t, " in said


def of_other_settings(make, tmp_path, **_):
    return lambda: make(settings(eps=0.06))


def of_another_model(make, checkpoint, **_):
    loaded = torch.load(checkpoint, weights_only=True)
    loaded["state_dict"]["model.layers.1.bias"] += 0.1
    torch.save(loaded, checkpoint)
    return make


def damaged(make, tmp_path, **_):
    kept = progress_path(tmp_path / "set.safetensors")
    kept.write_bytes(kept.read_bytes()[:-5])
    return make


@pytest.mark.parametrize("spoil", [of_other_settings, of_another_model, damaged])
def test_what_is_not_its_own_is_removed(monkeypatch, often, make, tmp_path, checkpoint, spoil):
    assert kill(monkeypatch, make, after=2)
    kept = progress_path(tmp_path / "set.safetensors")
    assert kept.exists()
    run = spoil(make, tmp_path=tmp_path, checkpoint=checkpoint)
    monkeypatch.setattr(progress, "INTERVAL", 1000)
    found, said = run()
    assert "removed what an attempt before this one kept" in said
    assert "goes on" not in said
    assert not kept.exists()
    assert found == run()[0]


def test_what_is_done_soon_keeps_nothing(make, tmp_path):
    make()
    assert not progress_path(tmp_path / "set.safetensors").exists()


class Pale(Detector):
    """Rejects half of the images: those of less ink than the median of a batch."""

    def forward(self, images, logits, model):
        ink = images.flatten(1).mean(1)
        return torch.sigmoid(20 * (0.3 - ink)) * 2


def test_with_detectors_both_runs_go_on(monkeypatch, often, trained, tmp_path):
    model = ClassifierWithDetectors(trained.model, trained.model, [Pale()], [1.0])
    rows, said = rows_of(settings(), trained.labels, 10), []

    def run(name="set"):
        kept = ProgressFile(tmp_path / name, lambda: {"job": "this"}, said.append)
        generator = torch.Generator().manual_seed(0)
        return make_set(settings(), generator, model, trained.images, rows, kept=kept)

    images, measures = run("undisturbed")
    assert not said
    while kill(monkeypatch, run):
        pass
    found, again = run()
    assert torch.equal(found, images)
    assert measures.keys() == again.keys()
    assert all(torch.equal(again[name], value) for name, value in measures.items())
    # At last both runs were done before: of all, and of what the first one left.
    ends = [sentence for sentence in said[-2:] if sentence.startswith("goes on after square, ")]
    counts = [int(sentence.split()[-2]) for sentence in ends]
    assert counts[0] == len(trained.labels) > counts[1] > 0


def test_the_files_that_settings_name_tell_jobs_apart(tmp_path):
    threshold, test = tmp_path / "threshold.json", tmp_path / "test"
    write_text(test, "images")
    told = {"detectors": [{"name": "no file", "threshold": str(threshold)}]}
    found = []
    for text in ("1", "2", "1"):
        write_text(threshold, text)
        found.append(digest_inputs([str(test)], told))
    assert found[0] == found[2] != found[1]


class Files(list):
    """The files of a rule, as Snakemake hands them over."""

    def items(self):
        return {"adversarial": self}.items()


def test_a_job_s_last_cell_ends_what_was_kept(tmp_path):
    study = validate(
        {
            "datasets": [{"kind": "digits"}],
            "models": [{"kind": "mlp"}],
            "attacks": [{"kind": "autoattack", "eps": [0.1, 0.2]}],
            "filters": [{"kind": "gaussian", "sigma": [1]}],
            "columns": "attack",
        }
    )
    sets = [str(tmp_path / f"results/eps~{eps}.safetensors") for eps in (0.1, 0.2)]
    output = Files(sets)
    made = Jobs(study).each(
        {
            "dataset": "digits",
            "model": "mlp",
            "seed": "0",
            "attack": "autoattack",
        },
        {},
        output,
        SimpleNamespace(recipe={"settings": {}, "code": "0" * 16}),
        ["one.log", "other.log"],
    )
    kept = [progress_path(path) for path in sets]
    for file in kept:
        write_text(file, "")
    for _, files in made:
        # A cell that is done is not forgotten before the others are.
        assert all(file.exists() for file in kept)
        assert files["adversarial"] in sets
    assert not any(file.exists() for file in kept)


def test_what_is_kept_is_not_tidied_away(tmp_path):
    kept = progress_path(tmp_path / "eps~0.1.safetensors")
    write_text(kept, "")
    assert list(tidy(tmp_path)) == []
    assert kept.exists()
