"""The registry of figures: of what each is, and where it is drawn.

A figure is a function from an `epsigma.figures.data.FigureData` to a matplotlib `Figure`. One job
draws the figures of a scope: all those of an attack on a model, for example. A figure lies under
`results/figures/`, in the folder of what it is of, and has its entry's name; its caption is
`workflow/report/{scope}_{name}.rst`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# What a figure may need. Of an attack on a model, or of all attacks on it: filters that an attack
# meets, that a blind one meets, and that one meets of which distances are known, as a norm bounds
# it or it minimises one; a norm that bounds an attack, and filters that one meets in the norm of
# most attacks; a loss that is followed. Of a model: detectors, and a vote over noise that is
# certified.
FILTERS, BLIND_FILTERS, DISTANCES = "filters", "blind_filters", "distances"
BOUNDED, BOUNDED_FILTERS, TRACED = "bounded", "bounded_filters", "traced"
DETECTORS, SMOOTHING = "detectors", "smoothing"


@dataclass(frozen=True)
class FigureKind:
    """A figure.

    Args:
        implementation: the function that draws it, as `package.module:function`. It is imported
            only by the job that draws.
        label: what it shows, for the report.
        filter: the filters that it shows, for the report: `all` or `none`.
        needs: what there has to be for it to show something, one of those below; None if it
            always does. It is drawn where there is.
        is_early: whether it shows images or spectra and no rate, which a check may doubt: it is
            drawn when these are there, before the tables are.
    """

    implementation: str
    label: str
    filter: str = "all"
    needs: str | None = None
    is_early: bool = False

    @property
    def module(self) -> str:
        """The module of the implementation."""
        return self.implementation.partition(":")[0]


# By scope and name. The scopes: an attack on a model; a filter against an attack; a model; a data
# set, if the cost of the defences is measured.
FIGURES: Mapping[str, Mapping[str, FigureKind]] = {
    "attack": {
        "accuracy": FigureKind(
            "epsigma.figures.budgets:accuracy_by_budget", "accuracy over budget", filter="none"
        ),
        "success": FigureKind(
            "epsigma.figures.budgets:success_by_budget",
            "attack success over budget",
            needs=BLIND_FILTERS,
        ),
        "spectrum": FigureKind(
            "epsigma.figures.spectrum:spectra_and_responses",
            "spectra and responses",
            is_early=True,
        ),
        "threats": FigureKind(
            "epsigma.figures.threats:blind_and_aware", "blind against aware", needs=FILTERS
        ),
        "smallest": FigureKind(
            "epsigma.figures.budgets:minimum_budgets", "smallest budgets", needs=DISTANCES
        ),
        "convergence": FigureKind(
            "epsigma.figures.convergence:loss_by_step", "convergence", needs=TRACED
        ),
    },
    "filter": {
        "accuracy": FigureKind(
            "epsigma.figures.strengths:accuracy_by_strength", "accuracy over strength"
        ),
        "gallery": FigureKind(
            "epsigma.figures.gallery:images_by_strength", "gallery", is_early=True
        ),
    },
    "model": {
        "attacks": FigureKind(
            "epsigma.figures.attacks:accuracy_by_attack",
            "accuracy over budget",
            filter="none",
            needs=BOUNDED,
        ),
        "worst_case": FigureKind(
            "epsigma.figures.worst_case:worst_case_by_strength",
            "worst case over strength",
            needs=BOUNDED_FILTERS,
        ),
        "detectors": FigureKind(
            "epsigma.figures.detectors:operating_characteristics",
            "ROC of the detectors",
            needs=DETECTORS,
        ),
        "smoothed": FigureKind(
            "epsigma.figures.smoothed:certified_by_radius",
            "certified radii of the vote over noise",
            needs=SMOOTHING,
        ),
    },
    "dataset": {
        "defences": FigureKind(
            "epsigma.figures.defences:accuracy_against_cost", "accuracy against cost"
        ),
        "atlas": FigureKind(
            "epsigma.figures.atlas:aware_against_clean", "atlas: what filters keep, and cost"
        ),
    },
}

# What a configuration calls them: `attack_accuracy`, as their captions.
NAMES = tuple(f"{scope}_{name}" for scope, kinds in FIGURES.items() for name in kinds)
ALL = "all"
