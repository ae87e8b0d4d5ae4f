"""What the checks look at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from epsigma.checks.verdict import SUBJECT, spell_strength
from epsigma.vocabulary import FLOAT32

# How unlikely chance must be before a check says that one rate of a curve is below another. A study
# has hundreds of curves, and none should fail for nothing.
SIGNIFICANCE = 0.001
# So many images have to say that an attack misses something before that is a failure: one fewer
# may all fall on one side by chance (a sign test at 95 %, two-sided: 0.5^6 < 0.025).
FEW = 6


@dataclass(frozen=True)
class Evidence:
    """What the checks look at.

    Args:
        tables: by name: `cells.csv`, and those that are made of ledgers.
        attacks: of each attack, `family`, `norm`, `minimises`, `spends` and `gradient_free_parts`,
            as its kind has them, and whether it is `targeted`.
        filters: of each filter, `kind`, `gradient`, `random`, the `detectors` that look at what it
            is given, and whether some of it is `learnt`.
        rates: of each detector, the share of false positives that it was to have.
        model_probes: what `epsigma.stages.probe.probe_model` found, a dict a model and seed.
        filter_probes: what `probe_filter` found, a dict a filter and strength.
        attack_probes: what `probe_attack` found, a dict an attack and target.
        stored_as: the type of adversarial images, as the study says.
    """

    tables: Mapping[str, pd.DataFrame]
    attacks: Mapping[str, Mapping[str, Any]]
    filters: Mapping[str, Mapping[str, Any]]
    rates: Mapping[str, float] = field(default_factory=dict)
    model_probes: Sequence[dict[str, Any]] = ()
    filter_probes: Sequence[dict[str, Any]] = ()
    attack_probes: Sequence[dict[str, Any]] = ()
    stored_as: str = FLOAT32

    def compared_with(self, against: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
        """Group the comparisons of `paired.csv` with one counterpart by curve."""
        paired = self.tables["paired"]
        return curves(paired[paired["against"] == against])


def curves(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Group the rows of a table of cells by what they share but for the budget.

    Yields:
        What a verdict of them is of, by those names in `SUBJECT` that the table has, and the rows.
    """
    names = [name for name in SUBJECT if name in table and name != "strength"]
    for keys, rows in table.groupby(
        [*names, "strength_name", "strength"], dropna=False, sort=False
    ):
        *others, name, value = keys
        yield (
            dict(zip(names, others, strict=True)) | {"strength": spell_strength(name, value)},
            rows,
        )
