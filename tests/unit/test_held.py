"""Sets that are scored in the job that makes them, and that nobody keeps."""

import copy
from itertools import product

import numpy as np
import pytest
import torch
from epsigma.job import Job
from epsigma.plan.columns import list_twins
from epsigma.plan.plan import Plan
from epsigma.stages.attack import attack
from epsigma.stages.evaluate import evaluate, evaluate_clean
from epsigma.storage import stored
from epsigma.storage.files import read_json
from epsigma.storage.held import HeldSet
from epsigma.storage.images import ImageSet, measure
from epsigma.storage.ledgers import read_ledger
from epsigma.study import validate
from running import SMALL

CELL = {
    **{"dataset": "digits", "model": "mlp", "seed": "0", "threat": "aware", "attack": "mine"},
    **{"budget": "eps~0.1", "filter": "noise", "strength": "std~0.1"},
}
FGSM = {"implementation": "epsigma.attacks.fgsm:fgsm", "parameters": {"eps": 0.1}}
NOISE = {
    **{"implementation": "epsigma.filters.noise:GaussianNoise", "parameters": {"std": 0.1}},
    **{"random": True, "gradient": "exact"},
}
NONE = {"implementation": "epsigma.filters.none:Identity", "parameters": {}}
NEITHER = {"keep_aware": False, "keep_filtered": False}


@pytest.fixture(params=[0, 10**9], ids=["in a file", "in memory"])
def room(request, monkeypatch):
    monkeypatch.setattr(stored, "KEPT", request.param)


def parts_of(whole, size):
    for start in range(0, len(whole.images), size):
        at = slice(start, start + size)
        columns = ({k: v[at] for k, v in of.items()} for of in (whole.measures, whole.rows))
        yield ImageSet(whole.images[at], whole.labels[at], *columns)


def some_set(generator):
    images = torch.rand((7, 2, 3, 3), generator=generator)
    index = torch.arange(7)
    rows = {"index": index, "target": index.flip(0)}
    return ImageSet(images, index % 3, measure(images, images.flip(0)), rows)


def test_what_is_held_is_what_was_written_and_is_gone_at_the_end(room, tmp_path):
    whole = some_set(torch.Generator().manual_seed(0))
    with HeldSet(tmp_path / "a.parquet") as held:
        with held.writing(whole.images.shape[1:], 7, {}) as writer:
            for part in parts_of(whole, 3):
                writer.write(part)
        found = held.open()
        assert torch.equal(found.images[0:7], whole.images)
        assert torch.equal(found.labels, whole.labels)
        for one, other in ((found.measures, whole.measures), (found.rows, whole.rows)):
            assert one.keys() == other.keys()
            assert list(one) == sorted(one), "the order of a ledger's columns"
            assert all(torch.equal(one[name], other[name]) for name in one)
        # Products are rounded alike if their factors lie alike.
        assert found.images[0:7].data_ptr() % 64 == 0
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_lacks_rows_is_refused(room, tmp_path):
    whole = some_set(torch.Generator().manual_seed(0))

    def hold():
        with HeldSet(tmp_path / "a") as held, held.writing(whole.images.shape[1:], 8, {}) as writer:
            writer.write(whole)

    with pytest.raises(ValueError, match="7 rows of 8"):
        hold()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scored", ["images", "adversarial"])
def test_a_cell_scores_alike_whether_its_set_was_a_file(
    room, scored, tmp_path, trained, clean_file, checkpoint, make_job
):
    model = {"model": trained.settings}
    clean = str(tmp_path / "clean.parquet")
    of_clean = make_job({**model, "filter": NONE}, dataset="digits")
    evaluate_clean(of_clean, test=str(clean_file), checkpoint=str(checkpoint), ledger=clean)
    attacker = make_job({**model, "attack": FGSM, "filter": NOISE, "eot_samples": 2}, **CELL)
    scorer = make_job({**model, **({"filter": NOISE} if scored == "adversarial" else {})}, **CELL)
    made = {"images": "filtered", "adversarial": "adversarial"}[scored]

    def run(given, name):
        attack(attacker, test=str(clean_file), checkpoint=str(checkpoint), **{made: given})
        files = {"metrics": f"{tmp_path}/{name}.json", "ledger": f"{tmp_path}/{name}.parquet"}
        evaluate(scorer, checkpoint=str(checkpoint), clean=clean, **files, **{scored: given})
        return read_json(files["metrics"]), read_ledger(files["ledger"])

    metrics, ledger = run(str(tmp_path / "set.safetensors"), "kept")
    with HeldSet(tmp_path / "held.parquet") as held:
        others, other = run(held, "held")
    assert metrics == others
    assert list(ledger) == list(other)
    assert all(np.array_equal(ledger[name], other[name]) for name in ledger)


class At(dict[str, str]):
    """Wildcards, as Snakemake hands them over: by attribute, too."""

    def __getattr__(self, name: str) -> str:
        return self[name]


def plan_of(**keys):
    return Plan(validate({**copy.deepcopy(SMALL), **keys}))


def wildcards_of(**changed):
    cell = {**CELL, "attack": "fgsm", "filter": "gaussian", "strength": "sigma~1", **changed}
    return At({name: value for name, value in cell.items() if value})


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(("aware", "filtered"), list(product([True, False], repeat=2)))
def test_an_aware_cell_is_attacked_where_it_is_scored_if_neither_set_is_kept(raw, aware, filtered):
    plan = plan_of(keep_aware=aware, keep_filtered=filtered, requantise=raw)
    inputs, at = plan.inputs, wildcards_of()
    is_here = not (aware or filtered)
    test, root = "results/data/digits/test.safetensors", "results/digits/mlp/seed~0"
    assert inputs.attacked_images(at) == (test if is_here else [])
    assert inputs.attacked_source(at) == (f"{root}/checkpoint.ckpt" if is_here else [])
    direction = f"{root}/direction/aware/fgsm/gaussian/sigma~1.safetensors"
    assert inputs.scored_direction(at) == (direction if is_here else [])
    sets = [inputs.filtered_set(at), inputs.unfiltered_set(at)]
    part = "adversarial" if raw else "filtered"
    kept = f"{root}/{part}/aware/fgsm/eps~0.1/gaussian/sigma~1.safetensors"
    assert [one for one in sets if one] == ([] if is_here else [kept])
    # The blind one as ever: its set serves all filters.
    blind = wildcards_of(threat="blind")
    assert inputs.attacked_images(blind) == inputs.attacked_source(blind) == []
    assert inputs.filtered_set(blind) or inputs.unfiltered_set(blind)


def test_it_asks_for_the_gpu_that_its_attack_asks_for():
    for keys, gpus in (({}, 0), (NEITHER, 1)):
        assert plan_of(device="cuda", **keys).resources.gpu_to_score(wildcards_of()) == gpus


def test_fooling_images_have_a_job_of_their_own():
    fooling = {"kind": "fooling", "confidence": [0.9], "images": 1}
    inputs = plan_of(attacks=[fooling], **NEITHER).inputs
    at = wildcards_of(attack="fooling", budget="confidence~0.9")
    assert inputs.attacked_images(at) == []
    assert "/filtered/aware/fooling/" in inputs.filtered_set(at)


def test_keeping_sets_or_not_changes_no_recipe_of_a_score():
    for threat in ("blind", "aware"):
        at = wildcards_of(threat=threat)
        told = [
            (plan.recipes.evaluate(at), plan.recipes.attack_when_scored(at))
            for plan in (plan_of(), plan_of(**NEITHER))
        ]
        assert told[0] == told[1]
        # What the attack is told is watched of the aware one only.
        assert bool(told[0][1]) == (threat == "aware")


def test_a_column_reads_the_test_images_once_for_all_its_cells():
    plan = plan_of(columns="filter", **NEITHER)
    assert any(twin.stage == "evaluate" for twin in list_twins(plan.study))
    column = wildcards_of(strength=None)
    assert plan.inputs.attacked_images(column) == "results/data/digits/test.safetensors"
    assert plan.inputs.filtered_set(column) == plan.inputs.unfiltered_set(column) == []


def test_a_job_attacks_before_it_scores_in_one_log(tmp_path):
    plan, seen = plan_of(**NEITHER), []

    def note(name):
        def stage(job: Job, **files):
            seen.append((name, job, files))

        return stage

    at = wildcards_of()
    cell = dict(at.items())
    ledger = f"{tmp_path}/results/a.parquet"
    named = {"test": ["t"], "source": ["s"], "checkpoint": ["c"], "images": [], "clean": ["k"]}

    class Output(dict):
        def __getitem__(self, key):
            return ledger

        def __iter__(self):
            return iter([ledger])

        def items(self):
            return [("ledger", [ledger])]

    class Params:
        recipe = plan.recipes.evaluate(at)
        attack = plan.recipes.attack_when_scored(at)

    stages = [note(name) for name in ("attack", "differentiate", "score")]
    plan.jobs.score_each(*stages, cell, named, Output(), Params, "a.log")
    (first, attacker, made), (second, scorer, scored) = seen
    assert (first, second) == ("attack", "score")
    # The wildcards of the rule `attack_aware`, from which its random numbers follow.
    assert attacker.cell == {name: value for name, value in cell.items() if name != "threat"}
    assert scorer.cell == cell
    assert attacker.settings["attack"]["parameters"]["eps"] == 0.1
    assert (made["test"], made["checkpoint"], made["filtered"]) == ("t", "s", scored["images"])
    assert (scored["checkpoint"], scored["ledger"]) == ("c", ledger)
    assert (attacker.log, attacker.continues, scorer.log, scorer.continues) == (
        *("a.log", False),
        *("a.log", True),
    )
