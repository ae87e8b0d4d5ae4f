import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from epsigma.filters.gaussian import Gaussian
from epsigma.models.classifier import build_model, predict
from epsigma.scoring import add_rows, by_example, score, summarise
from epsigma.stages.evaluate import evaluate, evaluate_clean
from epsigma.stages.filter import filter_set
from epsigma.stages.fooling.evaluate import evaluate_fooling
from epsigma.storage.files import read_json
from epsigma.storage.images import ImageSet, measure, read_clean, write_image_set
from epsigma.storage.ledgers import read_cell, read_ledger
from torch import nn

CPU = torch.device("cpu")
CELL = {
    "dataset": "digits",
    "model": "mlp",
    "seed": "3",
    "threat": "blind",
    "attack": "fgsm",
    "budget": "eps~0.25",
    "filter": "none",
    "strength": "fixed",
}


class Given(nn.Module):
    """A model whose logits are its images."""

    def forward(self, images):
        return images.flatten(1)


def scored(logits, labels):
    logits = torch.tensor(logits)
    return score(Given(), logits[:, None, None], torch.tensor(labels))


def test_scores_of_hand_computed_logits():
    columns = scored([[2.0, 0.0, 1.0], [2.0, 0.0, 1.0], [0.0, 0.0, math.log(2)]], [0, 2, 2])
    assert columns["index"].tolist() == [0, 1, 2]
    assert columns["label"].tolist() == [0, 2, 2]
    assert columns["prediction"].tolist() == [0, 0, 2]
    assert columns["correct"].tolist() == [True, False, True]
    assert columns["margin"].tolist() == pytest.approx([1, -1, math.log(2)])
    share = math.exp(2) / (math.exp(2) + 1 + math.exp(1))
    assert columns["probability"].tolist() == pytest.approx([share, share, 0.5])


def test_scores_have_the_ledger_s_types():
    columns = scored([[1.0, 0.0]], [0])
    assert {name: column.dtype for name, column in columns.items()} == {
        "index": np.int32,
        "label": np.int16,
        "prediction": np.int16,
        "probability": np.float32,
        "margin": np.float32,
        "correct": np.bool_,
    }


@pytest.mark.parametrize("difference", [1e-9, 1e-3, 1])
def test_the_margin_is_positive_exactly_when_the_prediction_is_right(difference):
    # Softmax rounds small differences of logits away.
    columns = scored([[0.0, difference], [0.0, difference]], [0, 1])
    assert (columns["margin"] > 0).tolist() == [False, True]
    assert columns["correct"].tolist() == [False, True]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="logits are not finite"):
        scored([[0.0, bad], [0.0, 1.0]], [0, 1])


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_predictions_do_not_depend_on_the_batch(monkeypatch, trained, batch):
    together = trained.model(trained.images)
    monkeypatch.setattr("epsigma.storage.batches.BATCH", batch)
    torch.testing.assert_close(predict(trained.model, trained.images), together)


def test_an_implementation_that_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"made a slice, not an nn\.Module"):
        build_model("builtins:slice", (1, 8, 8), 10, {})


def test_a_target_is_reached_by_what_is_accepted_and_taken_for_it():
    rows = {"index": torch.tensor([4, 4, 7, 7]), "target": torch.tensor([1, 2, 1, 2])}
    images = torch.zeros(4, 1, 2, 2)
    columns = {
        "prediction": np.array([1, 2, 1, 0]),
        "rejected": np.array([False, True, False, False]),
    }
    add_rows(columns, ImageSet(images, torch.zeros(4, dtype=torch.int64), {}, rows))
    assert columns["index"].tolist() == [4, 4, 7, 7]
    assert columns["reached"].tolist() == [True, False, True, False]


def ledger(correct, correct_clean, **measures):
    n = len(correct)
    zeros = dict.fromkeys(ImageSet.MEASURES, [0.0] * n)
    return {
        "index": np.arange(n),
        "probability": np.full(n, 0.75, np.float32),
        "correct": np.array(correct, bool),
        "correct_clean": np.array(correct_clean, bool),
        **{name: np.array(value, np.float32) for name, value in (zeros | measures).items()},
    }


@pytest.mark.parametrize(
    ("correct", "correct_clean", "expected"),
    [
        # Two of the three that are right when clean are fooled; one that was wrong is right now.
        (
            [1, 0, 0, 1],
            [1, 1, 1, 0],
            {"n_correct": 2, "accuracy": 0.5, "n_correct_clean": 3, "n_fooled": 2, "rate": 2 / 3},
        ),
        # Wrong when clean and wrong now is no success.
        (
            [1, 1, 0, 0],
            [1, 1, 0, 0],
            {"n_correct": 2, "accuracy": 0.5, "n_correct_clean": 2, "n_fooled": 0, "rate": 0},
        ),
        (
            [0, 0, 0, 0],
            [1, 1, 1, 1],
            {"n_correct": 0, "accuracy": 0, "n_correct_clean": 4, "n_fooled": 4, "rate": 1},
        ),
        # Nothing was right when clean: of no trials there is no rate.
        (
            [1, 0, 0, 0],
            [0, 0, 0, 0],
            {"n_correct": 1, "accuracy": 0.25, "n_correct_clean": 0, "n_fooled": 0, "rate": None},
        ),
    ],
)
def test_attack_success_counts_only_what_is_right_when_clean(correct, correct_clean, expected):
    found = summarise(ledger(correct, correct_clean))
    expected = {**expected, "n": 4, "attack_success": expected["rate"]}
    assert {name: found[name] for name in expected if name != "rate"} == {
        name: value for name, value in expected.items() if name != "rate"
    }


def test_norms_are_averaged_over_all_examples_and_the_largest_are_kept():
    found = summarise(
        ledger(
            [1, 0, 0, 1],
            [1, 1, 0, 0],
            linf=[0.1, 0.1, 0.2, 0.1],
            l2=[0, 1, 2, 3],
            l0=[3, 3, 3, 4],
            outside=[0, 0, 0.5, 0],
        )
    )
    assert {name: found[name] for name in ("linf", "l2", "l0")} == pytest.approx(
        {"linf": 0.125, "l2": 1.5, "l0": 3.25}
    )
    assert {name: found[name] for name in ("linf_max", "l2_max", "outside_max")} == pytest.approx(
        {"linf_max": 0.2, "l2_max": 3, "outside_max": 0.5}
    )


def test_a_summary_can_be_written_as_json():
    found = summarise(ledger([1, 0], [0, 0]))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found) == [
        "n",
        "n_correct",
        "accuracy",
        "n_correct_clean",
        "n_fooled",
        "attack_success",
        "linf",
        "l2",
        "l0",
        "linf_max",
        "l2_max",
        "outside_max",
        "changed_max",
        "confidence",
    ]


# --- The stages


NONE = {"implementation": "epsigma.filters.none:Identity", "parameters": {}}
GAUSSIAN = {"implementation": "epsigma.filters.gaussian:Gaussian", "parameters": {"sigma": 1.0}}
NOISE = {
    "implementation": "epsigma.filters.noise:GaussianNoise",
    "parameters": {"std": 0.3},
    "random": True,
}


@pytest.fixture
def files(tmp_path, trained, clean_file, checkpoint, make_job):
    """What evaluate reads (as arguments), made of an attack by noise."""
    clean = str(tmp_path / "clean.parquet")
    evaluate_clean(
        make_job({"model": trained.settings, "filter": NONE}, dataset="digits"),
        test=str(clean_file),
        checkpoint=str(checkpoint),
        ledger=clean,
    )
    given = read_clean(clean_file, CPU)
    noise = torch.randn(given.images.shape, generator=torch.Generator().manual_seed(0)) * 0.3
    noisy = (given.images + noise).clamp(0, 1)
    norms = measure(noisy, given.images)
    images = tmp_path / "adversarial.safetensors"
    write_image_set(images, ImageSet(noisy, given.labels, norms), {})
    return {"images": str(images), "checkpoint": str(checkpoint), "clean": clean}


def run(make_job, trained, tmp_path, files):
    job = make_job({"model": trained.settings}, **CELL)
    outputs = {"metrics": str(tmp_path / "a.json"), "ledger": str(tmp_path / "a.parquet")}
    evaluate(job, **files, **outputs)
    return job, read_json(outputs["metrics"]), outputs["ledger"]


def test_the_clean_ledger_scores_the_test_images_in_their_order(files, trained):
    columns = read_ledger(files["clean"])
    assert columns["label"].tolist() == trained.labels.tolist()
    right = trained.model(trained.images).argmax(1) == trained.labels
    assert columns["correct"].tolist() == right.tolist()
    assert columns["correct"].mean() > 0.9


def test_the_clean_images_are_scored_through_a_filter(
    files, trained, clean_file, tmp_path, make_job
):
    path = str(tmp_path / "filtered.parquet")
    job = make_job({"model": trained.settings, "filter": GAUSSIAN}, filter="gaussian")
    checkpoint = files["checkpoint"]
    evaluate_clean(job, test=str(clean_file), checkpoint=checkpoint, ledger=path)
    columns = read_ledger(path)
    logits = trained.model(Gaussian(sigma=1.0)(trained.images))
    assert columns["prediction"].tolist() == logits.argmax(1).tolist()
    assert 0.2 < columns["correct"].mean() < read_ledger(files["clean"])["correct"].mean()
    assert read_cell(path) == {"filter": "gaussian"}


def test_what_a_random_filter_draws_is_the_cell_s(trained, clean_file, checkpoint, make_job):
    def margins(**cell):
        job = make_job({"model": trained.settings, "filter": NOISE}, **cell)
        path = f"{job.log}.parquet"
        evaluate_clean(job, test=str(clean_file), checkpoint=str(checkpoint), ledger=path)
        return read_ledger(path, ["margin"])["margin"].tolist()

    assert margins(seed="0") == margins(seed="0")
    assert margins(seed="0") != margins(seed="1")


def test_a_cell_s_ledger_has_a_row_an_example_and_its_columns(files, trained, tmp_path, make_job):
    job, _, path = run(make_job, trained, tmp_path, files)
    columns = read_ledger(path)
    assert {name: column.dtype for name, column in columns.items()} == {
        "index": np.int32,
        "label": np.int16,
        "prediction": np.int16,
        "probability": np.float32,
        "margin": np.float32,
        "correct": np.bool_,
        "correct_clean": np.bool_,
        "linf": np.float32,
        "l2": np.float32,
        "l0": np.float32,
        "changed": np.float32,
        "outside": np.float32,
    }
    assert columns["index"].tolist() == list(range(360))
    assert columns["correct_clean"].tolist() == read_ledger(files["clean"])["correct"].tolist()
    metadata = pq.read_schema(path).metadata
    assert {key.decode(): value.decode() for key, value in metadata.items()} == job.metadata


def test_a_cell_s_metrics_are_its_identity_its_ledger_s_summary_and_provenance(
    files, trained, tmp_path, make_job
):
    job, metrics, path = run(make_job, trained, tmp_path, files)
    assert metrics == {
        "dataset": "digits",
        "model": "mlp",
        "seed": 3,
        "threat": "blind",
        "attack": "fgsm",
        "budget_name": "eps",
        "budget": 0.25,
        "filter": "none",
        "strength_name": None,
        "strength": None,
        **summarise(read_ledger(path)),
        "made_by": job.metadata,
    }
    assert 0 < metrics["attack_success"] < 1


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(torch.arange(359, -1, -1), id="in another order"),
        pytest.param(torch.arange(359), id="one short"),
    ],
)
def test_a_set_whose_labels_are_not_the_test_set_s_is_refused(
    files, trained, tmp_path, make_job, order
):
    norms = {name: torch.zeros(len(order)) for name in ImageSet.MEASURES}
    shuffled = ImageSet(trained.images[order], trained.labels[order], norms)
    write_image_set(files["images"], shuffled, {})
    with pytest.raises(ValueError, match="are not the test set's in its order") as raised:
        run(make_job, trained, tmp_path, files)
    assert files["images"] in str(raised.value)
    assert not (tmp_path / "a.json").exists()
    assert not (tmp_path / "a.parquet").exists()


# --- Sets of rows


@pytest.mark.parametrize(
    ("index", "correct", "expected"),
    [
        # The worst over an example's rows.
        ([0, 0, 1, 1, 2, 2], [1, 1, 1, 0, 0, 0], [1, 0, 0]),
        # Examples that are left out are none, and one may have more rows than another.
        ([2, 5, 5, 5, 9], [1, 1, 1, 0, 1], [1, 0, 1]),
        ([0, 1, 2], [1, 0, 1], [1, 0, 1]),
        ([4, 4], [1, 1], [1]),
    ],
)
def test_an_example_is_right_if_all_of_its_rows_are(index, correct, expected):
    columns = {"index": np.array(index), "correct": np.array(correct, bool)}
    assert by_example(columns).tolist() == [bool(value) for value in expected]


def test_rates_are_over_examples_and_means_over_rows():
    columns = ledger([1, 0, 1, 1, 0, 0], [1, 1, 1, 1, 0, 0], l2=[1, 1, 1, 1, 4, 4])
    columns["index"] = np.array([0, 0, 1, 1, 3, 3])
    found = summarise(columns)
    assert (found["n"], found["n_correct"], found["accuracy"]) == (3, 1, 1 / 3)
    assert (found["n_correct_clean"], found["n_fooled"], found["attack_success"]) == (2, 1, 0.5)
    assert (found["l2"], found["l2_max"]) == (2, 4)


def test_what_has_no_clean_counterpart_has_no_norm_and_can_be_written():
    nothing = [math.nan] * 2
    measures = dict.fromkeys(("linf", "l2", "l0", "changed"), nothing)
    found = summarise(ledger([1, 0], [1, 1], **measures, outside=[0, 0.5]))
    assert {name for name, value in found.items() if value is None} == {
        *("linf", "l2", "l0", "linf_max", "l2_max", "changed_max")
    }
    assert found["outside_max"] == 0.5
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def write_rows(files, trained, index, target, images=None, labels=None):
    """Write a set of rows: of an example each, aimed at a class, or none (-1)."""
    index, target = torch.tensor(index), torch.tensor(target)
    images = trained.images[index] if images is None else images
    labels = trained.labels[index] if labels is None else labels
    measures = {name: torch.zeros(len(index)) for name in ImageSet.MEASURES}
    rows = {"index": index, "target": target}
    write_image_set(files["images"], ImageSet(images, labels, measures, rows), {})


def test_a_row_is_judged_by_the_example_that_it_is_of_and_reached_if_its_target_is_named(
    files, trained, tmp_path, make_job
):
    named = trained.model(trained.images).argmax(1)
    right = (named == trained.labels).tolist()
    first, second = right.index(True), right.index(False)
    # Other images than their own: of the first example one row that is still right, one that is
    # taken for a third example; of the second, which is wrong when clean, one that is wrong again.
    other = next(i for i in range(360) if named[i] != trained.labels[first])
    index = sorted([first, first, second])
    shown = {first: [first, other], second: [second]}
    sources = [shown[i].pop(0) for i in index]
    target = [int(named[source]) for source in sources]
    # What is aimed at and what is named differ in one row.
    target[-1] = (target[-1] + 1) % 10
    write_rows(files, trained, index, target, trained.images[sources])
    _, metrics, path = run(make_job, trained, tmp_path, files)
    columns = read_ledger(path)
    assert columns["index"].tolist() == index
    assert columns["target"].tolist() == target
    assert columns["reached"].tolist() == [True, True, False]
    assert columns["label"].tolist() == trained.labels[index].tolist()
    assert columns["correct_clean"].tolist() == [i == first for i in index]
    # Worst over the rows: neither example is right, and one of them was.
    assert (metrics["n"], metrics["n_correct"]) == (2, 0)
    assert (metrics["n_correct_clean"], metrics["attack_success"]) == (1, 1)
    assert (columns["index"].dtype, columns["target"].dtype) == (np.int32, np.int16)


def test_the_first_examples_alone_are_scored_without_targets(files, trained, tmp_path, make_job):
    write_rows(files, trained, list(range(25)), [-1] * 25)
    _, metrics, path = run(make_job, trained, tmp_path, files)
    columns = read_ledger(path)
    assert not {"target", "reached"} & set(columns)
    assert metrics["n"] == 25
    expected = read_ledger(files["clean"])["correct"][:25]
    assert columns["correct_clean"].tolist() == columns["correct"].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("index", "labels"),
    [
        pytest.param([1, 2, 3], slice(0, 3), id="labels of others"),
        pytest.param([0, 1, 360], [0, 1, 2], id="an example that there is not"),
    ],
)
def test_rows_whose_labels_are_not_their_examples_are_refused(
    files, trained, tmp_path, make_job, index, labels
):
    wrong = trained.labels[labels]
    write_rows(files, trained, index, [-1] * 3, trained.images[:3], wrong)
    with pytest.raises(ValueError, match="are not the test set's in its order"):
        run(make_job, trained, tmp_path, files)
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("how", [NONE, GAUSSIAN, NOISE])
def test_a_set_that_is_filtered_when_scored_scores_as_one_that_was_kept(
    files, trained, tmp_path, make_job, how
):
    cell = {**CELL, "filter": "mine", "strength": "std~0.3"}
    outputs = {"metrics": str(tmp_path / "a.json"), "ledger": str(tmp_path / "a.parquet")}
    adversarial = files.pop("images")
    # The stage that filters has no threat among its wildcards.
    filtering = make_job({"filter": how}, **{k: v for k, v in cell.items() if k != "threat"})
    kept = str(tmp_path / "kept.safetensors")
    filter_set(filtering, adversarial=adversarial, filtered=kept)
    found = []
    for given in ({"images": kept}, {"adversarial": adversarial}):
        job = make_job({"model": trained.settings, "filter": how}, **cell)
        evaluate(job, **given, **files, **outputs)
        found.append((read_json(outputs["metrics"]), read_ledger(outputs["ledger"])))
    (metrics, ledger), (others, other) = found
    assert metrics == others
    assert all(np.array_equal(ledger[name], other[name]) for name in ledger)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_a_fooling_image_counts_from_the_confidence_on_that_was_asked_for(
    files, trained, tmp_path, make_job, confidence
):
    probabilities, named = trained.model(trained.images[:60]).softmax(1).max(1)
    # Every third is named otherwise than it was made for.
    target = (named + (torch.arange(60) % 3 == 0)) % 10
    write_rows(files, trained, list(range(60)), target.tolist(), trained.images[:60], target)
    cell = {**CELL, "budget": f"confidence~{confidence}"}
    job = make_job({"model": trained.settings}, **cell)
    outputs = {"metrics": str(tmp_path / "a.json"), "ledger": str(tmp_path / "a.parquet")}
    files.pop("clean")
    evaluate_fooling(job, **files, **outputs)
    columns, metrics = read_ledger(outputs["ledger"]), read_json(outputs["metrics"])
    accepted = (named == target) & (probabilities >= confidence)
    assert columns["reached"].tolist() == (named == target).tolist()
    assert columns["correct"].tolist() == (~accepted).tolist()
    # There is no clean image that could be wrong: of all of them.
    assert columns["correct_clean"].all()
    assert metrics["attack_success"] == pytest.approx(accepted.float().mean().item())
    assert 0 < metrics["attack_success"] <= 2 / 3
