"""A filter whose own gradient is masked: the check says so, and what it says to do answers it."""

from typing import Any

import pandas as pd
from running import SMALL, Workdir

# Black and white, whose exact gradient is zero: what it lets through is hidden.
OWN = """
from epsigma.filters.filter import Filter
from epsigma.kinds import FilterKind, Hyperparameters

class Nothing(Hyperparameters):
    pass

class Masked(Filter):
    def forward(self, images):
        return images.round()

    def formula(self, images):
        return images.round()

MASKED = FilterKind("masked:Masked", Nothing, swept=None, gradient="exact")
"""
PGD: dict[str, Any] = {"kind": "pgd", "eps": [0.3], "steps": 10, "loss": "margin"}
TWIN: dict[str, Any] = {**PGD, "name": "twin", "gradient": "identity", "threats": ["aware"]}
STUDY: dict[str, Any] = {
    **SMALL,
    "attacks": [PGD],
    "filters": [{"kind": "masked:MASKED", "name": "masked"}],
    "checks": ["surrogate"],
    "figures": {"kinds": []},
    "strict": False,
}


def verdict(workdir: Workdir) -> tuple[str, str]:
    table = pd.read_csv(workdir.directory / "results" / "tables" / "checks.csv")
    (row,) = table[table["check"] == "surrogate"].to_dict("records")
    return row["verdict"], row["sentence"]


def test_the_same_attack_by_the_gradient_of_the_identity_answers_the_check(
    workdir: Workdir,
) -> None:
    (workdir.directory / "masked.py").write_text(OWN)
    workdir.configure(STUDY)
    workdir.run()
    said = verdict(workdir)
    assert said[0] == "fail"
    assert "Add the attack once more, with gradient: identity and threats: [aware]" in said[1]

    workdir.configure({**STUDY, "attacks": [PGD, TWIN]})
    made = {job.wildcards["attack"] for job in workdir.scheduled() if "attack" in job.rule}
    assert made == {"twin"}
    workdir.run()
    assert verdict(workdir)[0] == "pass"
    cells = pd.read_csv(workdir.cells).set_index(["threat", "attack", "filter"])["accuracy"]
    assert cells["aware", "twin", "masked"] < cells["aware", "pgd", "masked"] - 0.1
    assert ("blind", "twin", "masked") not in cells
    worst = pd.read_csv(workdir.directory / "results" / "tables" / "worst_case.csv")
    (left,) = worst[(worst["threat"] == "aware") & (worst["filter"] == "masked")]["accuracy"]
    assert left <= cells["aware", "twin", "masked"]
