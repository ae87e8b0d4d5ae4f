"""The report: where in it each figure, table and card stands, and under which names.

Snakemake sorts its categories, so that they are numbered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from snakemake.io import report

from epsigma.plan.figures import FOLDERS
from epsigma.plan.names import names_of
from epsigma.registry.figures import FIGURES, FigureKind
from epsigma.study.schema import Study
from epsigma.vocabulary import FOOLING

SUMMARY, DRAWINGS, CARDS, TABLES = "1 Summary", "2 Figures", "3 Attack cards", "4 Tables"
# Models whose figures the summary has room for, of all data sets together.
FEW = 2
# Tables that a summary shows: the others are for who looks further.
MAIN = ("headline", "worst_case", "checks", "reference", "defences", "atlas")

Wildcards = Mapping[str, str]


class Report:
    """Flags what rules write for the report."""

    def __init__(self, study: Study) -> None:
        self._names = names_of(study)
        self._formats = study.figures.formats
        self._is_small = len(study.datasets) * len(study.models) <= FEW
        self._empty = {name for name, has_rows in _list_optional(study).items() if not has_rows}

    def figures(self, scope: str, names: Iterable[str]) -> list[Any]:
        """List the SVG files of a scope's figures, each with its place in the report.

        Of filters `names` has the folder, too: `gaussian/accuracy`.
        """
        return [self._show_figure(scope, name) for name in names]

    def others(self, scope: str, names: Iterable[str]) -> list[str]:
        """List the files of these figures in other formats."""
        folder = _folder_of(scope)
        return [f"{folder}/{name}.{suffix}" for name in names for suffix in self._formats]

    def table(self, path: str, label: str) -> Any:
        """Flag the page of a table, unless the study has nothing for it."""
        name = path.rpartition("/")[2].partition(".")[0]
        if name in self._empty:
            return path
        category = SUMMARY if name in MAIN else TABLES
        return report(
            path, caption=f"../report/{name}.rst", category=category, labels={"what": label}
        )

    def card(self, path: str) -> Any:
        """Flag the card of an attack."""
        return report(
            path,
            caption="../report/card.rst",
            category=CARDS,
            labels=self._label(),
        )

    def _show_figure(self, scope: str, name: str) -> Any:
        filter_name, _, own = name.rpartition("/")
        is_main = scope == "dataset" or (scope == "model" and self._is_small)
        return report(
            f"{_folder_of(scope)}/{name}.svg",
            caption=f"../report/{scope}_{own}.rst",
            category=SUMMARY if is_main else DRAWINGS,
            subcategory=None if is_main else self._name_subject,
            labels=self._label_figure(FIGURES[scope][own], filter_name, is_main),
        )

    def _label_figure(
        self, figure: FigureKind, filter_name: str, is_main: bool
    ) -> Callable[[Any], dict[str, str]]:
        if is_main:
            return self._label(figure.label)
        shown = self._names["filters"].get(filter_name, figure.filter)
        return self._label(figure.label, filter=shown)

    def _label(self, label: str = "", **more: str) -> Callable[[Any], dict[str, str]]:
        """Make the function of wildcards that labels an entry; a summary's have one column."""

        def describe(wildcards: Any) -> dict[str, str]:
            if more:
                return {"figure": label, **more}
            about = self._name_subject(wildcards)
            return {"what": f"{label}: {about}" if label else about}

        return describe

    def _name_subject(self, wildcards: Any) -> str:
        """Name the data set, the model and the attack, as far as there are any."""
        of = dict(wildcards)
        dataset = of["dataset"]
        found = [self._names["datasets"].get(dataset, dataset)]
        if "model" in of:
            found.append(self._names["models"].get(dataset, {}).get(of["model"], of["model"]))
        if "attack" in of:
            found.append(self._names["attacks"].get(of["attack"], of["attack"]))
        return ", ".join(found)


def _list_optional(study: Study) -> dict[str, bool]:
    """Say of the tables that are of something special whether the study has it."""
    attacks = study.attacks
    return {
        "detection": bool(study.detectors),
        "detectors": bool(study.detectors),
        "smoothed": bool(study.smoothed_filters),
        "seeds": len(study.seeds) > 1,
        "fooling": any(one.entry.family == FOOLING for one in attacks),
        "distortion": any(
            one.entry.minimises or one.get("targets", "untargeted") != "untargeted"
            for one in attacks
        ),
    }


def of_filters(filters: Sequence[str], names: Iterable[str]) -> list[str]:
    """Name the figures of filters by their folder, too: `gaussian/accuracy`."""
    return [f"{one}/{name}" for one in filters for name in names]


def _folder_of(scope: str) -> str:
    return FOLDERS["attack" if scope == "filter" else scope]
