"""What a finished run says of its results: the verdict, the headline, and where to look."""

import csv
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

# So many rows of the headline are shown.
SHOWN = 8
_ATTACKED = ("dataset", "model", "attack")


def summarize(results: Path) -> str:
    """Tell the verdict of the checks, the headline, and where to look, in a few lines.

    Of each attack the headline is that of the budget at which the accuracy without a filter is
    nearest to one half: where a filter has most to win or lose. Strengths are those that are best
    against the blind attacker, as in the paper.

    Args:
        results: the folder, of a finished study.
    """
    lines = ["", *(results / "tables" / "verdict.txt").read_text("utf-8").splitlines(), ""]
    with open(results / "tables" / "headline.csv", encoding="utf-8", newline="") as file:
        lines += _lay_out(list(csv.DictReader(file)), results)
    lines += _say_where(results)
    return "\n".join(lines)


def _lay_out(rows: list[dict[str, str]], results: Path) -> Iterator[str]:
    """Lay the headline out for a terminal."""
    chosen = list(_choose([row for row in rows if row["best_for"] == "blind" and row["none"]]))
    if not chosen:
        return
    where = [name for name in _ATTACKED if len({row[name] for row in chosen}) > 1]
    head = [*where, "budget", "filter", "strength", "no filter", "blind", "aware", "clean cost"]
    body = [
        [
            *(row[name] for name in where),
            f"{row['budget_name']} {row['budget']}",
            row["filter"],
            f"{row['strength_name']} {row['strength']}".strip() or "-",
            *(_as_percent(row[name]) for name in ("none", "blind", "aware")),
            _as_percent(row["clean_cost"], "points"),
        ]
        for row in chosen[:SHOWN]
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    n_text = len(where) + 3
    yield "accuracy, of each attack at the budget where it leaves about half without a filter,"
    yield "through each filter at the strength that is best against a blind attacker:"
    for cells in (head, *body):
        yield "  ".join(
            cell.ljust(width) if n < n_text else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
    more = len(rows) - len(body)
    yield f"  {more} rows more, with intervals: {results}/tables/headline.csv" if more else ""
    yield ""


def _choose(rows: Iterable[dict[str, str]]) -> Iterator[dict[str, str]]:
    """Choose of each attack the rows of the budget that leaves about half."""
    for _, attacked in groupby(rows, lambda row: [row[name] for name in _ATTACKED]):
        of_attack = list(attacked)
        nearest = min(of_attack, key=lambda row: abs(float(row["none"]) - 0.5))
        yield from (row for row in of_attack if row["budget"] == nearest["budget"])


def _as_percent(share: str, unit: str = "%") -> str:
    return f"{100 * float(share):.1f} {unit}" if share else "-"


def _say_where(results: Path) -> list[str]:
    """Name what there is to look at."""
    looks = [
        ("explorer.html", "all cells, to look around in"),
        ("report.html", "figures, tables and configuration in one file"),
        ("tables/checks.html", "the verdict of every check"),
        ("tables/", "tables as CSV: cells.csv has a row a cell"),
        ("figures/", "figures as SVG"),
    ]
    there = [(name, what) for name, what in looks if (results / name).exists()]
    if not (results / "report.html").exists():
        there.append(("report.html", "everything in one file: `make report` writes it"))
    width = max(len(name) for name, _ in there)
    return ["where to look:", *(f"  {results}/{name:<{width}}  {what}" for name, what in there)]
