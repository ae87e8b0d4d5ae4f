import pytest
import torch
from epsigma.attacks.craft import make_set, rows_of
from epsigma.attacks.fooling_set import NORMS, fooling_rows, make_fooling_set
from epsigma.filters.gaussian import Gaussian
from epsigma.plan.settings import attack_settings
from epsigma.registry.attacks import ATTACKS
from epsigma.stages.attack import attack
from epsigma.stages.fooling.attack import fool
from epsigma.storage.images import ImageSet, measure, read_image_set
from epsigma.study import validate

CPU = torch.device("cpu")
CLASSES = 10


def settings(level, **block):
    """How to make an attack, as the workflow says it."""
    swept, _, value = level.partition("~")
    study = validate(
        {
            "datasets": [{"kind": "digits"}],
            "models": [{"kind": "mlp"}],
            "attacks": [{swept: [float(value)], **block}],
            "filters": [{"kind": "gaussian", "sigma": [1]}],
        }
    )
    return attack_settings(study, block["kind"], level)


JSMA = settings("gamma~0.2", kind="jsma", examples=12)
JSMA_LIST = settings("gamma~0.2", kind="jsma", examples=12, targets=[4, 1])
QUICK = {
    "kind": "carlini_wagner",
    "steps": 40,
    "search_steps": 4,
    "initial_c": 1,
    "learning_rate": 0.1,
}
CW = settings("kappa~0", examples=8, **QUICK)
CW_ALL = settings("kappa~0", examples=4, targets="all", **QUICK)
CW_LIST = settings("kappa~0", examples=8, targets=[3], **QUICK)
FGSM = settings("eps~0.1", kind="fgsm", examples=7)
FOOLING = settings("confidence~0.9", kind="fooling", images=3)
EVOLUTION = settings("confidence~0.5", kind="fooling_evolution", images=2, generations=300)

AIMED = {"jsma": JSMA, "jsma list": JSMA_LIST, "cw": CW, "cw all": CW_ALL, "cw list": CW_LIST}
MADE = {"fooling": FOOLING, "evolution": EVOLUTION}


def rows_made(trained, how):
    """The rows of an attack, or of fooling images, which alone are told how many."""
    if "images" in how:
        return fooling_rows(CLASSES, how["images"], CPU)
    return rows_of(how, trained.labels, CLASSES)


def made(trained, how, **changed):
    """What an attack makes of the test images: rows, images, measures."""
    rows, make = rows_made(trained, how), make_fooling_set if "images" in how else make_set
    generator = torch.Generator().manual_seed(0)
    return rows, *make(how, generator, trained.model, trained.images, rows, **changed)


def success(trained, rows, images):
    prediction = trained.model(images).argmax(1)
    return prediction != rows.labels if rows.targets is None else prediction == rows.targets


@pytest.mark.parametrize("how", AIMED.values(), ids=AIMED)
def test_a_set_has_an_image_a_row_that_is_aimed_at_the_row_s_class(trained, how):
    rows, images, measures = made(trained, how)
    assert images.shape == (len(rows.index), 1, 8, 8)
    # Were the rows' targets or images mixed up, few would be reached.
    assert success(trained, rows, images).float().mean() > 0.8
    clean = trained.images[rows.index]
    for name, value in measure(images, clean).items():
        torch.testing.assert_close(measures[name], value)
    # Less is changed than between any two images.
    assert measures["l2"].median() < measure(clean.flip(0), clean)["l2"].median()


@pytest.mark.parametrize("how", [JSMA, CW, CW_ALL, FGSM], ids=["jsma", "cw", "cw all", "fgsm"])
@pytest.mark.parametrize("batch", [1, 5])
def test_a_set_does_not_depend_on_the_batch(monkeypatch, trained, how, batch):
    rows, together, measures = made(trained, how)
    assert len(rows.index) > batch
    monkeypatch.setattr("epsigma.storage.batches.BATCH", batch)
    _, images, again = made(trained, how)
    torch.testing.assert_close(images, together, atol=1e-3, rtol=0)
    torch.testing.assert_close(again["l2"], measures["l2"], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("batch", [4, 1000])
@pytest.mark.parametrize("how", MADE.values(), ids=MADE)
def test_fooling_images_have_no_norm_and_are_of_their_class_in_any_batch(
    monkeypatch, trained, how, batch
):
    monkeypatch.setattr("epsigma.storage.batches.BATCH", batch)
    rows, images, measures = made(trained, how)
    assert rows.labels.tolist() == [k for k in range(CLASSES) for _ in range(how["images"])]
    confidence = trained.model(images).softmax(1).gather(1, rows.labels[:, None])
    assert (confidence >= how["parameters"]["confidence"]).float().mean() > 0.9
    # Rows of a class differ, also across batches.
    assert len(images.flatten(1).unique(dim=0)) == len(images)
    assert set(measures) == set(ImageSet.MEASURES)
    for name in NORMS:
        assert measures[name].isnan().all()
    assert measures["outside"].tolist() == [0] * len(images)


def test_how_far_fooling_images_leave_the_pixel_range_is_measured(monkeypatch, trained):
    def bright(model, images, labels, **_):
        return torch.full((len(labels), *images.shape[1:]), 1.25)

    monkeypatch.setattr("epsigma.attacks.craft.load", lambda implementation: bright)
    _, _, measures = made(trained, FOOLING)
    assert measures["outside"].tolist() == [0.25] * 30


def test_hyper_parameters_can_be_other_than_those_of_the_settings(trained):
    _, nothing, _ = made(trained, FGSM, eps=0)
    assert torch.equal(nothing, trained.images[:7])


def test_classes_that_the_data_set_does_not_have_are_refused(trained):
    with pytest.raises(ValueError, match=r"targets = \[10\]: the classes are 0 to 9"):
        rows_of({**CW, "targets": [10]}, trained.labels, CLASSES)


# --- The files


GAUSSIAN = {
    "implementation": "epsigma.filters.gaussian:Gaussian",
    "parameters": {"sigma": 1.0},
    "gradient": "exact",
}


def run(tmp_path, make_job, trained, files, how, names=("adversarial",), **more):
    test, checkpoint = files
    outputs = {name: str(tmp_path / f"{name}.safetensors") for name in names}
    job = make_job({"model": trained.settings, "attack": how, **more}, dataset="digits")
    stage = fool if "images" in how else attack
    stage(job, test=str(test), checkpoint=str(checkpoint), **outputs)
    return [read_image_set(path, CPU) for path in outputs.values()]


@pytest.mark.parametrize("how", [CW, CW_ALL, FOOLING], ids=["cw", "cw all", "fooling"])
def test_the_file_says_of_each_row_which_example_it_is_and_what_was_aimed_at(
    tmp_path, make_job, trained, clean_file, checkpoint, how
):
    (found,) = run(tmp_path, make_job, trained, (clean_file, checkpoint), how)
    rows = rows_made(trained, how)
    assert found.rows["index"].tolist() == rows.index.tolist()
    aims = [-1] * len(rows.index) if rows.targets is None else rows.targets.tolist()
    assert found.rows["target"].tolist() == aims
    assert found.labels.tolist() == rows.labels.tolist()
    assert len(found.images) == len(found.measures["l2"]) == len(rows.index)


def test_a_set_of_the_whole_test_set_says_nothing_of_rows(
    tmp_path, make_job, trained, clean_file, checkpoint
):
    how = {key: value for key, value in FGSM.items() if key != "examples"}
    (found,) = run(tmp_path, make_job, trained, (clean_file, checkpoint), how)
    assert found.rows is None
    assert len(found.images) == len(trained.images)


@pytest.mark.parametrize("how", [CW_ALL, JSMA_LIST, FOOLING], ids=["cw", "jsma", "fooling"])
def test_an_aware_set_is_aimed_through_the_filter_and_both_files_have_its_rows(
    tmp_path, make_job, trained, clean_file, checkpoint, how
):
    images, filtered = run(
        *(tmp_path, make_job, trained, (clean_file, checkpoint), how),
        names=("adversarial", "filtered"),
        filter=GAUSSIAN,
    )
    torch.testing.assert_close(filtered.images, Gaussian(sigma=1.0)(images.images))
    for name in ("index", "target"):
        assert torch.equal(filtered.rows[name], images.rows[name])
    assert torch.equal(filtered.labels, images.labels)
    # Of the unfiltered perturbation, in both.
    torch.testing.assert_close(filtered.measures, images.measures, equal_nan=True)
    rows = rows_made(trained, how)
    known = success(trained, rows, filtered.images).float().mean()
    (blind,) = run(tmp_path, make_job, trained, (clean_file, checkpoint), how)
    unknown = success(trained, rows, Gaussian(sigma=1.0)(blind.images)).float().mean()
    assert known > unknown + 0.2


@pytest.mark.parametrize("names", [("adversarial",), ("filtered",)])
def test_only_the_set_that_is_wanted_is_written(
    tmp_path, make_job, trained, clean_file, checkpoint, names
):
    files = clean_file, checkpoint
    run(tmp_path, make_job, trained, files, FGSM, names=names, filter=GAUSSIAN)
    written = {path.stem for path in tmp_path.glob("*.safetensors")} - {clean_file.stem}
    assert written == set(names)


class Silent(torch.nn.Module):
    """A model that nobody is to ask."""

    def forward(self, images):
        raise AssertionError("it was asked")


@pytest.mark.parametrize("kind", [name for name, one in ATTACKS.items() if one.swept == "eps"])
def test_with_a_budget_of_0_nothing_is_attacked_and_the_set_is_the_clean_one(kind, trained):
    if kind == "transfer" or ATTACKS[kind].ensemble:
        pytest.skip("what it takes over, and each of its attacks, is not attacked")
    how = settings("eps~0", kind=kind)
    rows = rows_of(how, trained.labels[:5], CLASSES)
    images, measures = make_set(how, torch.Generator(), Silent(), trained.images, rows)
    assert torch.equal(images, trained.images[:5])
    assert set(measures) == set(ImageSet.MEASURES)
    assert not any(value.any() for value in measures.values())
    if ATTACKS[kind].family == "noise":
        return
    # At another budget the model is asked.
    with pytest.raises(AssertionError):
        make_set(how, torch.Generator(), Silent(), trained.images, rows, eps=0.1)


def test_a_search_without_a_ball_is_run_at_0():
    assert "bounded_by" not in settings("kappa~0", **QUICK)
    assert settings("gamma~0", kind="jsma")["bounded_by"] == "gamma"
