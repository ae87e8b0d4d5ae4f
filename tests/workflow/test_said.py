"""What a run prints: what it will do, how long that takes, and what came of it."""

import csv
import re

from running import Workdir


def test_a_run_says_what_it_does_how_long_it_takes_and_what_came_of_it(finished: Workdir) -> None:
    results = finished.directory / "results"
    (results / "tables" / "verdict.txt").unlink()
    # A dry run has Snakemake's own table.
    dry = finished.snakemake("--dry-run")
    assert "Job stats" in dry.stderr
    assert re.search(r"gate +1", dry.stderr)
    assert "the study:" not in dry.stderr
    run = finished.snakemake()
    assert run.returncode == 0, run.stderr
    lines = run.stderr.splitlines()
    told = [
        next(n for n, line in enumerate(lines) if line.startswith(start))
        for start in (
            "the study: 1 data set, 1 model, 1 attack, 2 filters: 14 cells",
            # `gate` and `epsigma`; the former has run here before.
            "2 jobs on 2 cores",
            "this takes about ",
            (results / "tables" / "verdict.txt").read_text().splitlines()[0],
            "where to look:",
        )
    ]
    assert told == sorted(told)
    # The table of Snakemake's logger, and its bars, are not there.
    assert "Job stats" not in run.stderr
    # Below the headings of the headline, what its table says of each filter.
    (heading,) = (n for n, line in enumerate(lines) if line.endswith("clean cost"))
    with open(results / "tables" / "headline.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["best_for"] == "blind"]
    shown = lines[heading + 1 : heading + 3]
    assert len({line.split()[2] for line in shown}) == 2
    for line in shown:
        _, budget, name, *_ = line.split()
        (row,) = (one for one in rows if (one["budget"], one["filter"]) == (budget, name))
        rates = [f"{100 * float(row[key]):.1f} %" for key in ("none", "blind", "aware")]
        assert re.findall(r"[\d.]+ %", line) == rates
    # Nor is it silent where nothing is left to do.
    again = finished.snakemake().stderr.partition("Nothing to be done")[2]
    told = (results / "tables" / "verdict.txt").read_text().splitlines()[0]
    assert 0 < again.index(told) < again.index("where to look:")
    assert "where to look" not in finished.snakemake("--dry-run").stderr
    # A run that does not end with the verdict says nothing of it.
    (results / "tables" / "verdict.txt").unlink()
    run = finished.snakemake("results/tables/checks.csv", "--forcerun", "check")
    assert run.returncode == 0, run.stderr
    assert "1 job on 2 cores" in run.stderr
    assert "where to look" not in run.stderr
