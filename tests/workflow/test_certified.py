"""Proofs through the whole workflow: asked for, they are made, and stand in the table of cells."""

import copy
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
    "checks": ["proofs_hold"],
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
    # A row for each that is proved, held against pgd_l2 and blind attacks, too.
    proofs = pd.read_csv(workdir.directory / "results/tables/proofs.csv")
    assert len(proofs) == 8
    assert (proofs["n_contradicted"] == 0).all()
    assert (proofs["n_proved"] > 0).equals(proofs["filter"] != "median")
    # Most of what is unsafe attacks fool; counterexamples of proofs are none of these.
    fooled = proofs.set_index(["filter", "strength_name", "strength", "budget"])["n_fooled"]
    left = proved.groupby(list(fooled.index.names), dropna=False)["n_unfooled"].first()
    assert (fooled >= 0.5 * (360 - left.reindex(fooled.index))).all()
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


SMOOTHED: dict[str, Any] = {
    **SMALL,
    "attacks": [
        {"kind": "pgd_l2", "eps": [0, 0.5], "steps": 5},
        {"kind": "fgsm", "eps": [0.1]},
    ],
    "filters": [
        {"kind": "noise", "std": [0.1, 0.25]},
        {
            "kind": "noise",
            "name": "rounded",
            "std": [0.25],
            "then": [{"kind": "bitdepth", "bits": 3}],
        },
        {"kind": "gaussian", "sigma": [0.5], "then": [{"kind": "noise", "std": 0.1}]},
    ],
    "proofs": {"smoothing": {"samples": 500, "examples": 200}},
    "checks": ["smoothing_holds"],
}


def test_the_vote_over_noise_is_certified_and_attacks_are_held_to_it(workdir: Workdir) -> None:
    workdir.configure({**SMOOTHED, "proofs": {}})
    assert "smooth" not in {job.rule for job in workdir.scheduled()}
    workdir.configure(SMOOTHED)
    workdir.run()
    assert workdir.scheduled() == []

    tables = workdir.directory / "results/tables"
    smoothed = pd.read_csv(tables / "smoothed.csv")
    attacked = smoothed[smoothed["attack"].notna()]
    # Blind and aware at two ε, and four defences.
    assert len(attacked) == len(smoothed) == 16
    assert set(attacked["attack"]) == {"pgd_l2"}
    assert (attacked["n"] == 200).all()
    assert (attacked["n_attacked"] == 200).all()
    # Of one draw, what is certified of it is not more than what is left, but for chance.
    assert (attacked["certified_draw"] <= attacked["accuracy_high"]).all()
    clean = attacked[attacked["radius"] == 0].groupby(["filter", "strength"])["certified"].first()
    assert clean["noise", 0.1] > 0.85
    assert clean["gaussian", 0.5] == 0
    farther = attacked[attacked["radius"] == 0.5]
    assert (farther["certified"] < 0.5).all()
    assert (
        farther[(farther["strength"] == 0.25) & (farther["filter"] == "noise")][
            "certified_draw"
        ].min()
        > 0.1
    )
    folder = workdir.directory / "results/digits/mlp/seed~0/proofs/smoothing"
    assert json.loads((folder / "noise/std~0.1.json").read_text())["refused"] is None
    refused = json.loads((folder / "gaussian/sigma~0.5.json").read_text())
    assert refused["refused"].startswith("the filter starts with Gaussian")
    checks = pd.read_csv(tables / "checks.csv")
    assert set(checks[checks["check"] == "smoothing_holds"]["verdict"]) == {"pass"}
    assert (workdir.directory / "results/figures/digits/mlp/smoothed.svg").is_file()

    # One ε more: nothing is certified again.
    study = copy.deepcopy(SMOOTHED)
    study["attacks"][0]["eps"].append(1)
    workdir.configure(study)
    rules = {job.rule for job in workdir.scheduled()}
    assert {"attack_aware", "tabulate"} <= rules
    assert rules.isdisjoint({"train", "certify", "smooth"})

    # A vote that is counted without the noise: attacks find out.
    workdir.configure(SMOOTHED)
    path = workdir.project / "workflow/epsigma/proofs/smoothing.py"
    noisy = "model = nn.Sequential(module, classifier)"
    assert noisy in path.read_text()
    path.write_text(path.read_text().replace(noisy, "model = classifier"))
    workdir.run("results/tables/checks.csv")
    checks = pd.read_csv(tables / "checks.csv")
    failed = checks[checks["verdict"] == "fail"]
    assert set(failed["check"]) == {"smoothing_holds"}
    assert {"noise", "rounded"} == set(failed["filter"])
