"""The stage certify, and what the table of cells makes of it."""

import numpy as np
import pandas as pd
import pytest
import torch
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


def run(make_job, trained, files, tmp_path, how):
    proofs = {"exact_examples": 20, "seconds": 20.0}
    settings = {"model": trained.settings, "filter": how, "proofs": proofs}
    out = {"metrics": str(tmp_path / "proofs.json"), "ledger": str(tmp_path / "proofs.parquet")}
    certify(make_job(settings, **CELL, **AT), **files, **out)
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
    assert figures["n_unfooled"] == len(status) - status.count("unsafe")
    # These attacks are made up: they fool what is proved safe, which is noticed.
    assert figures["n_contradicted"] == (ledger["certified"] & fooled).sum() > 0
    assert figures["n_refuted"] == 0
    assert [cell["attack"] for cell in figures["cells"]] == ["one", "other"]
    assert figures["refused"] is None


def test_of_what_proofs_do_not_know_only_attacks_are_known(make_job, trained, files, tmp_path):
    figures, ledger = run(make_job, trained, files, tmp_path, MEDIAN)
    assert figures["refused"] == "the filter Median is not linear"
    assert figures["n_certified"] == figures["n_contradicted"] == 0
    assert figures["n_unfooled"] == 295
    assert set(ledger["status"]) == {"unsafe", "unsettled"}
    assert not ledger["certified"].any()
    assert (ledger["lower"] == -np.inf).all()


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
    counts = {"n_proofs": 50, "n_contradicted": 0, "n_refuted": 0, "n_certified": 20}
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
    # Nothing else of the table changes.
    pd.testing.assert_frame_equal(table[COLUMNS], tabulate_cells(rows))


@pytest.mark.parametrize(("contradicted", "verdict"), [(0, "pass"), (1, "fail")])
def test_an_image_that_is_proved_safe_and_fooled_is_a_fault(contradicted, verdict):
    rows = [row(attack=name, budget=eps) for name in ("fgsm", "pgd_l2") for eps in (0.1, 0.2)]
    counts = {"n_proofs": 50, "n_refuted": 0, "n_certified": 20, "n_unfooled": 30}
    known = [
        {
            "cells": [{key: one[key] for key in one if key in COLUMNS}],
            **counts,
            "n_contradicted": contradicted * (one["budget"] == 0.2),
        }
        for one in rows[:2]
    ]
    (found,) = proofs_hold(Evidence({"cells": tabulate_cells(rows, known)}, {}, {}))
    assert (found.verdict, found.figure) == (verdict, contradicted)
    assert (found.subject["attack"], found.subject["filter"]) == ("fgsm", "none")
    assert not list(proofs_hold(Evidence({"cells": tabulate_cells(rows)}, {}, {})))
