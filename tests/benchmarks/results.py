"""Where measurements are kept: a CSV and its conditions in JSON, a part."""

import csv
import json

import pandas as pd

from benchmarks import RESULTS


def write_part(part, rows, about, folder=RESULTS):
    """Write the rows of a part as they come, and show them; into its table when all are there."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    table, unfinished = folder / f"{part}.csv", folder / f"{part}.csv.part"
    with open(unfinished, "w", newline="") as file:
        for row in rows:
            print(part, *(f"{key}={_short(value)}" for key, value in row.items()), flush=True)
            # A later row may have columns that the first has not.
            written.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
    columns = list(dict.fromkeys(key for row in written for key in row))
    with open(unfinished, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _short(value) for key, value in row.items()} for row in written)
    unfinished.replace(table)
    (folder / f"{part}.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def read_parts(parts, folder=RESULTS):
    """Read the parts that were measured: their tables and their conditions, each by name."""
    there = [part for part in parts if (folder / f"{part}.json").exists()]
    return (
        {part: pd.read_csv(folder / f"{part}.csv") for part in there},
        {part: json.loads((folder / f"{part}.json").read_text()) for part in there},
    )


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else value
