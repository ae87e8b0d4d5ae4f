"""Proofs through the whole workflow: asked for, they are made, and stand in the table of cells."""

import json
from typing import Any

import pandas as pd
from running import SMALL, Workdir

PROVED: dict[str, Any] = {
    **SMALL,
    "attacks": [
        {"kind": "fgsm", "eps": [0, 0.1]},
        {"kind": "pgd", "eps": [0.1], "steps": 10},
        {"kind": "pgd_l2", "eps": [0.1], "steps": 2},
    ],
    "filters": [
        {"kind": "gaussian", "sigma": [0.5, 1]},
        {"kind": "median", "size": [3]},
    ],
    "proofs": {"exact_examples": 100, "seconds": 5},
}


def test_proofs_bracket_what_attacks_leave(workdir: Workdir) -> None:
    workdir.configure({**PROVED, "proofs": None})
    assert "certify" not in {job.rule for job in workdir.scheduled()}
    workdir.configure(PROVED)
    workdir.run()
    assert workdir.scheduled() == []

    cells = pd.read_csv(workdir.cells)
    white = (cells["threat"] == "aware") | (cells["filter"] == "none")
    expected = white & (cells["attack"] != "pgd_l2")
    assert (cells["certified"].notna() == expected).all()
    proved = cells[expected]
    assert (proved["n_proofs"] == 360).all()
    assert (proved["n_contradicted"] == 0).all()
    # What an attack leaves is at least what all attacks and counterexamples leave.
    assert (proved["certified"] <= proved["attacked"]).all()
    assert (proved["attacked"] <= proved["accuracy"] + 1e-12).all()
    met = proved["n_certified"] == proved["n_unfooled"]
    assert (proved["exact"].notna() == met).all()
    assert (proved["exact"][met] == proved["certified"][met]).all()
    # At no budget all is settled but for rounding, and more at 0.1 than the bound alone does.
    linear = proved["filter"] != "median"
    assert (proved["attacked"] - proved["certified"])[linear & (proved["budget"] == 0)].max() < 0.02
    assert (proved["certified"][linear & (proved["budget"] == 0.1)] > 0.2).all()
    assert (proved["certified"][~linear] == 0).all()
    checks = pd.read_csv(workdir.directory / "results/tables/checks.csv")
    assert set(checks[checks["check"] == "proofs_hold"]["verdict"]) == {"pass"}
    # One file holds for both attacks, and says why nothing is proved.
    folder = workdir.directory / "results/digits/mlp/seed~0/proofs/linf/eps~0.1"
    bare = json.loads((folder / "none/fixed.json").read_text())
    assert [cell["attack"] for cell in bare["cells"]] == ["fgsm", "pgd"]
    assert bare["refused"] is None
    refused = json.loads((folder / "median/size~3.json").read_text())
    assert refused["refused"] == "the filter Median is not linear"

    # More exact answers change proofs and their tables, and nothing that is attacked.
    workdir.configure({**PROVED, "proofs": {"exact_examples": 200, "seconds": 5}})
    rules = [job.rule for job in workdir.scheduled()]
    assert rules.count("certify") == 8
    assert {"train", "attack", "attack_aware", "evaluate"}.isdisjoint(rules)
