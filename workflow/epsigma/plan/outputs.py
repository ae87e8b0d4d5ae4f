"""What rules write, where a pattern alone does not say it."""

from collections.abc import Mapping
from typing import Any

from snakemake.io import expand, temp

from epsigma.plan.columns import Twin
from epsigma.study.schema import Study


class Outputs:
    """The outputs of rules whose files a study may not want to keep, and of columns."""

    def __init__(self, study: Study) -> None:
        self._is_raw = study.is_scored_raw
        self._kept = {"adversarial": study.keep_aware, "filtered": study.keep_filtered}

    def of_aware_attack(self, **files: str) -> dict[str, Any]:
        """Say which sets of an aware attack are written, and which of them only until scored."""
        # Cells are scored on the one or the other.
        scored = "adversarial" if self._is_raw else "filtered"
        return {
            name: path if self._kept[name] else temp(path)
            for name, path in files.items()
            if self._kept[name] or name == scored
        }

    def of_twin(self, twin: Twin, files: Mapping[str, Any]) -> dict[str, Any]:
        """List what a column job writes, by name: the files of each of its cells.

        Args:
            twin: the rule.
            files: the patterns of the rule that it is a twin of.
        """
        filled = {name: fill(twin, pattern) for name, pattern in files.items()}
        is_aware = twin.stage.endswith("_aware")
        return {
            name: temp(paths) if is_aware and not self._kept[name] else paths
            for name, paths in filled.items()
        }


def fill(twin: Twin, pattern: str) -> list[str]:
    """Fill the wildcards that a column runs over into a pattern, member by member."""
    members = {name: [one[name] for one in twin.members] for name in twin.members[0]}
    filled: list[str] = expand(pattern, zip, allow_missing=True, **members)
    return filled


def fill_log(twin: Twin, pattern: str) -> str:
    """Name the log of a column in place of those of its members: all write into one.

    Snakemake keeps the list of a job's logs with each of its files, the square of a column.
    """
    for name in twin.members[0]:
        pattern = pattern.replace(f"{{{name}}}", "all")
    return pattern
