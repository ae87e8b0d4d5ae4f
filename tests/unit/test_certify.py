"""The stage certify, what the table of cells makes of it, and what contradicts it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from epsigma.cell import Cell, Level
from epsigma.checks.evidence import Evidence
from epsigma.checks.proofs import proofs_hold
from epsigma.filters.none import Identity
from epsigma.proofs.network import fold
from epsigma.proofs.prove import prove
from epsigma.stages.certify import certify, count_refuted
from epsigma.storage.files import read_json
from epsigma.storage.ledgers import read_ledger, write_ledger
from epsigma.storage.provenance import record
from epsigma.tables.cells import COLUMNS, tabulate_cells
from epsigma.tables.proofs import tabulate_proofs
from epsigma.tables.scores import Attack, Scored, Scores, defence_of, read_scores
from test_tables import row

CELL = {"dataset": "digits", "model": "mlp", "seed": "0"}
AT = {"budget": "eps~0.05", "filter": "none", "strength": "fixed"}
NONE = {"implementation": "epsigma.filters.none:Identity", "parameters": {}}
MEDIAN = {"implementation": "epsigma.filters.median:Median", "parameters": {"size": 3}}


@pytest.fixture
def attacked(tmp_path, trained):
    """The ledgers of two attacks, of which the second is on ten examples only, in another order."""
    paths = []
    for attack, index in (("one", range(len(trained.labels))), ("other", range(19, 9, -1))):
        index = np.array(index, dtype=np.int32)
        # The first attack fools the images from 300 on, the second the odd ones of its own.
        correct = index < 300 if attack == "one" else index % 2 == 0
        cell = {**CELL, "threat": "blind", "attack": attack, **AT}
        path = tmp_path / f"{attack}.parquet"
        write_ledger(path, {"index": index, "correct": correct}, record(cell, {}, "0"))
        paths.append(str(path))
    return paths


def run(make_job, trained, files, tmp_path, how, at=AT):
    proofs = {"exact_examples": 20, "seconds": 20.0}
    settings = {"model": trained.settings, "filter": how, "proofs": proofs}
    out = {"metrics": str(tmp_path / "proofs.json"), "ledger": str(tmp_path / "proofs.parquet")}
    certify(make_job(settings, **CELL, **at), **files, **out)
    return read_json(out["metrics"]), read_ledger(out["ledger"])


@pytest.fixture
def files(clean_file, checkpoint, attacked):
    return {"test": str(clean_file), "checkpoint": str(checkpoint), "attacked": attacked}


def test_the_ledger_is_what_is_proved_given_what_attacks_fool(make_job, trained, files, tmp_path):
    figures, ledger = run(make_job, trained, files, tmp_path, NONE)
    fooled = np.arange(len(trained.labels)) >= 300
    fooled[11:20:2] = True
    assert (ledger["status"][fooled] == "unsafe").all()
    images = (trained.images * 255).round() / 255
    network = fold(Identity(), trained.model, (1, 8, 8))
    alone = prove(network, trained.model, images, trained.labels, eps=0.05, exact_examples=20)
    for name in ("index", "label", "lower", "certified"):
        assert np.array_equal(ledger[name], alone.columns[name])
    assert (ledger["status"] == alone.columns["status"])[~fooled].all()
    status = list(ledger["status"])
    assert figures["n_proofs"] == len(status) == len(trained.labels)
    assert figures["n_certified"] == status.count("safe")
    assert figures["n_attacked"] == len(status)
    assert figures["n_unfooled"] == len(status) - status.count("unsafe")
    # These attacks are made up: they fool what is proved safe.
    assert (ledger["certified"] & fooled).any()
    assert figures["n_refuted"] == 0
    assert [cell["attack"] for cell in figures["cells"]] == ["one", "other"]
    assert figures["refused"] is None


def test_of_what_proofs_do_not_know_only_attacks_are_known(make_job, trained, files, tmp_path):
    figures, ledger = run(make_job, trained, files, tmp_path, MEDIAN)
    assert figures["refused"] == "the filter Median is not linear"
    assert figures["n_certified"] == 0
    assert figures["n_unfooled"] == 295
    assert set(ledger["status"]) == {"unsafe", "unsettled"}
    assert not ledger["certified"].any()
    assert (ledger["lower"] == -np.inf).all()


@pytest.mark.parametrize("how", [NONE, MEDIAN])
def test_what_no_attack_was_run_on_is_not_unfooled(make_job, trained, files, tmp_path, how):
    few = {**files, "attacked": files["attacked"][1:]}
    figures, ledger = run(make_job, trained, few, tmp_path, how)
    assert (figures["n_proofs"], figures["n_attacked"]) == (len(trained.labels), 10)
    # The second attack fools five of its ten; of the others a proof may.
    left = (ledger["status"][10:20] != "unsafe").sum()
    assert figures["n_unfooled"] == left <= 5


def test_a_counterexample_is_in_its_ball_and_misclassified():
    # Takes what is brighter than 0.5 for class 1.
    def model(images):
        mean = images.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], 1)

    images = torch.full((5, 1, 2, 2), 0.45)
    images[4] = 0.95
    made = images + 0.1
    made[1] = 0.46  # not misclassified
    made[2, 0, 0, 0] = 0.56  # farther than ε
    labels = torch.tensor([0, 0, 0, 1, 0])
    # Of those left one is of the class that it is taken for, and one leaves [0, 1].
    eps = 0.1 + 1e-6
    for at, refuted in ((0, 0), (1, 1), (2, 1), (3, 1), (4, 1)):
        one = slice(at, at + 1)
        assert count_refuted(model, made[one], images[one], labels[one], eps) == refuted
    assert count_refuted(model, made, images, labels, eps) == 4
    assert count_refuted(model, made[:0], images[:0], labels[:0], eps) == 0


def test_cells_that_proofs_hold_for_get_the_bracket():
    rows = [row(attack=name) for name in ("fgsm", "pgd", "pgd_l2")]
    of_pgd = {key: rows[1][key] for key in rows[1] if key in COLUMNS}
    counts = {"n_proofs": 50, "n_attacked": 50, "n_refuted": 0, "n_certified": 20}
    open_ = {"cells": [of_pgd], **counts, "n_unfooled": 30}
    table = tabulate_cells(rows, [open_])
    assert list(table["certified"].isna()) == [True, False, True]
    assert table.loc[1, ["certified", "attacked", "n_certified", "n_unfooled"]].to_list() == [
        *(0.4, 0.6),
        *(20, 30),
    ]
    assert table["exact"].isna().all()
    assert table["certified_low"][1] < 0.4 < table["certified_high"][1]
    closed = {"cells": [of_pgd], **counts, "n_unfooled": 20}
    assert tabulate_cells(rows, [closed])["exact"][1] == 0.4
    # The share of those that were attacked; of fewer than are proved, no answer is exact.
    part = tabulate_cells(rows, [{**closed, "n_attacked": 25}])
    assert part["attacked"][1] == 0.8
    assert part["exact"].isna().all()
    # Nothing else of the table changes.
    pd.testing.assert_frame_equal(table[COLUMNS], tabulate_cells(rows))


# --- What is proved, held against all attacks

ATTACKS = {
    "pgd": Attack("iterative", "linf"),
    "pgd_l2": Attack("iterative", "l2"),
    "fmn": Attack("iterative", None, minimises="linf"),
    "evolution": Attack("fooling", None),
}
# Of five images three are safe, by a bound or an exact answer.
KNOWN = {
    "index": np.arange(5, dtype=np.int32),
    "certified": np.array([True, False, True, False, False]),
    "status": np.array(["safe", "safe", "safe", "unsafe", "unsettled"], dtype=object),
}


def cell_of(threat="aware", attack="pgd", eps=0.1, **other):
    level = Level("sigma", 1.0)
    cell = Cell("digits", "mlp", 0, threat, attack, Level("eps", eps), "gaussian", level)
    return replace(cell, **other)


def example_of(index, linf, is_fooled=True):
    """A ledger of which the image fools; others do not, nor do they move."""
    return {
        "index": np.arange(5, dtype=np.int32),
        "label": np.zeros(5, np.int16),
        "correct": np.arange(5) != index if is_fooled else np.ones(5, bool),
        "margin": np.ones(5, np.float32),
        "linf": np.where(np.arange(5) == index, linf, 0).astype(np.float32),
    }


def hold(ledgers, known=KNOWN, eps=0.1):
    cells = {cell: Scored.of(columns) for cell, columns in ledgers.items()}
    proofs = {(defence_of(cell_of()), Level("eps", eps)): known}
    return tabulate_proofs(Scores(cells, {}, ATTACKS, ledgers=ledgers, proofs=proofs))


@pytest.mark.parametrize(
    ("cell", "linf"),
    [
        pytest.param(cell_of(), 0.1, id="at this budget"),
        pytest.param(cell_of(eps=0.05), 0.05, id="at a smaller budget"),
        pytest.param(cell_of(eps=0.2), 0.1, id="not as far as its budget"),
        pytest.param(cell_of("blind"), 0.1, id="blind"),
        pytest.param(cell_of(attack="pgd_l2", eps=2.0), 0.09, id="in l2"),
        pytest.param(cell_of(attack="fmn", budget=Level(None, None)), 0.02, id="minimum norm"),
        pytest.param(cell_of(eps=0.0), 0, id="clean"),
    ],
)
@pytest.mark.parametrize("index", [0, 1])
def test_what_is_safe_and_fooled_within_the_ball_is_a_fault(cell, linf, index):
    """Whether a bound says that it is safe (image 0) or an exact answer (image 1)."""
    table = hold({cell_of(eps=0.3): example_of(2, 0.3), cell: example_of(index, linf)})
    (row,) = table.to_dict("records")
    assert (row["filter"], row["strength"], row["budget"]) == ("gaussian", 1, 0.1)
    assert (row["n"], row["n_proved"], row["n_fooled"], row["n_contradicted"]) == (5, 3, 1, 1)
    (found,) = proofs_hold(Evidence({"proofs": table}, {}, {}))
    assert (found.verdict, found.figure) == ("fail", 1)
    assert found.subject["filter"] == "gaussian"


@pytest.mark.parametrize(
    ("cell", "ledger"),
    [
        pytest.param(cell_of(eps=0.2), example_of(1, 0.101), id="farther"),
        pytest.param(cell_of(), example_of(1, 0.1, is_fooled=False), id="not fooled"),
        pytest.param(cell_of(), example_of(3, 0.1), id="known to be unsafe"),
        pytest.param(cell_of(), example_of(4, 0.1), id="unsettled"),
        pytest.param(cell_of(filter="none"), example_of(1, 0.1), id="another filter"),
        pytest.param(cell_of(seed=1), example_of(1, 0.1), id="another model"),
        pytest.param(cell_of(attack="evolution"), example_of(1, 0), id="an image of no class"),
    ],
)
def test_what_is_not_both_contradicts_no_proof(cell, ledger):
    table = hold({cell: ledger})
    assert table["n_contradicted"].to_list() == [0]
    (found,) = proofs_hold(Evidence({"proofs": table}, {}, {}))
    assert found.verdict == "pass"


def test_without_proofs_nothing_is_held_against_them():
    table = tabulate_proofs(Scores({cell_of(): Scored.of(example_of(1, 0.1))}, {}, ATTACKS))
    assert table.empty
    assert not list(proofs_hold(Evidence({"proofs": table}, {}, {})))


def test_an_exact_answer_of_the_stage_is_held_against_a_blind_attack(
    make_job, trained, files, tmp_path
):
    """Through the files: the stage is not told of the attack, which is of another budget."""
    run(make_job, trained, files, tmp_path, NONE, {**AT, "budget": "eps~0.1"})
    ledger = read_ledger(tmp_path / "proofs.parquet")
    exact = np.flatnonzero((ledger["status"] == "safe") & ~ledger["certified"])
    place = Cell.from_wildcards({**CELL, "threat": "blind", "attack": "pgd", **AT})
    place = replace(place, budget=Level("eps", 0.02))
    n = len(trained.labels)
    correct, zero = np.arange(n) != exact[0], np.zeros(n, np.float32)
    columns = {**{name: ledger[name] for name in ("index", "label")}, "correct": correct}
    columns |= {"margin": zero, "linf": zero + np.float32(0.02)}
    write_ledger(tmp_path / "other.parquet", columns, record(place.wildcards, {}, "0"))
    pd.DataFrame([place.columns]).to_csv(tmp_path / "cells.csv", index=False)
    about = {"attacks": {"pgd": vars(ATTACKS["pgd"])}, "filters": {}, "defends": {}}
    scores = read_scores(
        {**about, "requantise": False},
        cells=str(tmp_path / "cells.csv"),
        ledgers=[str(tmp_path / "other.parquet")],
        clean=[],
        proofs=[str(tmp_path / "proofs.parquet")],
    )
    table = tabulate_proofs(scores)
    assert table["n_contradicted"].to_list() == [1]
    assert table["budget"].to_list() == [0.1]
