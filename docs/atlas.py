"""Draw the figures of docs/atlas.md from the CSV files in docs/tables, as a study draws its own.

`make docs` runs this file, with workflow/ on Python's path.
"""

from pathlib import Path

import pandas as pd
import yaml
from epsigma.figures import style
from epsigma.figures.atlas import aware_against_clean
from epsigma.figures.data import FigureData
from epsigma.plan.names import names_of
from epsigma.stages.draw import save_figure
from epsigma.study import validate
from epsigma.tables.intervals import with_bounds
from epsigma.vocabulary import AWARE, NO_FILTER

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
TABLES = ROOT / "docs" / "tables"
# Of each table: what its figures' names begin with, and the model that it is of, if no column says.
DRAWN = {
    "atlas": ("atlas", "MLP"),
    "atlas_cnn": ("atlas_cnn", "CNN"),
    "atlas_trained": ("atlas_trained", "CNN, trained on PGD"),
    "atlas_quick": ("atlas", ""),
}
# Of each data set, as the tables spell it: what the figures' names end with, and its ε.
DATASETS = {
    "MNIST": ("_mnist", 0.1),
    "Fashion-MNIST": ("_fashion_mnist", 0.05),
    "mnist5k": ("", 0.1),
}


def read_table(name: str) -> pd.DataFrame:
    """Read a table of docs/tables as a study's `atlas.csv` has it: rates, not per cent."""
    table = pd.read_csv(TABLES / f"{name}.csv")
    if "dataset" not in table:
        table.insert(0, "dataset", "mnist5k")
    if "model" not in table:
        table["model"] = DRAWN[name][1]
    rates = ["clean", "blind", *with_bounds(AWARE)]
    table[rates] /= 100
    by = ["dataset", "model"]
    bare = table.loc[table["filter"] == NO_FILTER, [*by, "clean"]]
    table = table.merge(bare, on=by, suffixes=("", "_none"))
    table["clean_cost"] = table["clean_none"] - table["clean"]
    budgets = table["dataset"].map(lambda one: DATASETS[one][1])
    return table.assign(norm="linf", budget_name="eps", budget=budgets)


def draw(name: str, folder: Path) -> list[Path]:
    """Draw the figures of a table into a folder, the same bytes each time; one a data set."""
    study = yaml.safe_load((ROOT / "config" / "atlas.yaml").read_text(encoding="utf-8"))
    facts = {"names": names_of(validate(study))}
    written = []
    for dataset, rows in read_table(name).groupby("dataset", sort=False):
        path = folder / f"{DRAWN[name][0]}{DATASETS[str(dataset)][0]}.svg"
        with style.theme(style.FONT_SIZE):
            data = FigureData({"dataset": str(dataset)}, facts, tables={"atlas": rows})
            save_figure(aware_against_clean(data), path, formats=())
        written.append(path)
    return written


def main() -> None:
    """Draw all of them."""
    for name in DRAWN:
        draw(name, IMAGES)


if __name__ == "__main__":
    main()
