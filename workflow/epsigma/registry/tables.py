"""The registry of tables: what each is made by, and how the report calls it.

A table is named after its file, `results/tables/<name>.csv`. The order is that of the report.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TableKind:
    """A table that is made of the ledgers, once a study.

    Args:
        implementation: the function of `epsigma.tables.scores.Scores` that returns it, as
            `package.module:name`.
        label: how the report calls it, with `workflow/report/<name>.rst` as its caption; None if
            the report does not show it.
    """

    implementation: str
    label: str | None = None

    @property
    def module(self) -> str:
        """The module of the implementation."""
        return self.implementation.partition(":")[0]


TABLES: dict[str, TableKind] = {
    "paired": TableKind("epsigma.tables.paired:compare_cells"),
    "rivals": TableKind("epsigma.tables.rivals:tabulate_rivals"),
    "classes": TableKind("epsigma.tables.classes:score_classes"),
    "worst_case": TableKind(
        "epsigma.tables.worst_case:score_worst_cases", "worst case over attacks"
    ),
    "attacks": TableKind("epsigma.tables.attacks:score_attacks"),
    "smallest": TableKind("epsigma.tables.smallest:tabulate_minimum_budgets", "smallest budgets"),
    "optimality": TableKind("epsigma.tables.optimality:tabulate_optimality"),
    "fallen": TableKind("epsigma.tables.smallest:tabulate_fooled_shares"),
    "distortion": TableKind(
        "epsigma.tables.distortion:tabulate_distortion", "attacks that aim, or perturb little"
    ),
    "proofs": TableKind("epsigma.tables.proofs:tabulate_proofs"),
    "smoothed": TableKind(
        "epsigma.tables.smoothed:tabulate_smoothed", "certified radii of the vote over noise"
    ),
    "fooling": TableKind("epsigma.tables.fooling:tabulate_acceptance", "fooling images"),
    "detection": TableKind("epsigma.tables.detection:tabulate_detection", "detected and corrected"),
    "detectors": TableKind("epsigma.tables.detectors:tabulate_detectors", "detectors"),
    "roc": TableKind("epsigma.tables.detectors:tabulate_roc"),
    "robust": TableKind("epsigma.tables.robust:score_defences"),
    "clean": TableKind("epsigma.tables.classes:score_clean"),
    "seeds": TableKind("epsigma.tables.over_seeds:tabulate_seeds", "rates over seeds"),
    "headline": TableKind("epsigma.tables.headline:tabulate_headline", "what each filter is worth"),
}
