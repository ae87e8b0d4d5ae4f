"""Making the folder of a challenge from the results of a study."""

import shutil
import uuid
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from epsigma.cell import Level
from epsigma.challenge.readme import write_readme
from epsigma.challenge.rules import (
    ADDED,
    MEASURES,
    RULES,
    Ball,
    Rules,
    inside,
    scored_cells,
    study_of,
)
from epsigma.challenge.tables import TABLES, tabulate_study
from epsigma.library import open_study
from epsigma.plan import paths
from epsigma.plan.cell_recipes import CellRecipes
from epsigma.plan.grid import cells
from epsigma.plan.settings import find_parts
from epsigma.storage.files import write_text
from epsigma.study import Study, expand, validate
from epsigma.study.references import source_of
from epsigma.tables.reading import read_table, write_table
from epsigma.vocabulary import AWARE, GRADIENT_FREE, NO_FILTER

TEMPLATE = "my_filter.py"
# Attacks without gradients that are added where the study has none, by norm, by which budget, and
# what they spend.
CROSS_CHECKS = {"linf": "square", "l2": "square_l2"}
BUDGET = "eps"
QUERIES = 500


def make_challenge(results: Path, folder: Path) -> None:
    """Make a folder in which filters and adversarial sets are scored by the rules of a study.

    It is whole or not there at all. Of several seeds the first is taken.

    Args:
        results: of a study that was run.
        folder: to make.

    Raises:
        FileExistsError: if the folder is there.
        FileNotFoundError: if the study was not run to its end.
        ValueError: if it has no attack in a ball.
    """
    if folder.exists():
        raise FileExistsError(
            f"{folder} is there already: remove it, scores and all, or name another folder"
        )
    rules, tables = _make_rules(results)
    made = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        _copy_files(made, results, study_of(rules))
        _write_files(made, rules, tables)
        made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _make_rules(results: Path) -> tuple[Rules, dict[str, pd.DataFrame]]:
    """Make the rules, and choose what tables say of the first seed."""
    study = _cut(open_study(results).configuration)
    read = {name: _read_table(results / "tables" / f"{name}.csv") for name in TABLES}
    tables = {name: table[table["seed"] == study.seeds[0]] for name, table in read.items()}
    costs = [inside(results, paths.COST.format(dataset=name)) for name in study.names("datasets")]
    if all(path.is_file() for path in costs):
        tables["cost"] = pd.concat([read_table(str(path)) for path in costs])
    attacked = _find_attacked(tables["robust"])
    if attacked.empty:
        raise ValueError(
            f"the study of {results} attacks no model in a ball of a budget over 0: there is "
            "nothing to score a filter by: add an attack with a budget over 0"
        )
    told = study.dump()
    told["attacks"] += _cross_checks(study, attacked)
    told = validate(told, has_run=True).dump()
    return Rules(balls=_find_balls(attacked), study=told), tables


def _cut(config: dict[str, Any]) -> Study:
    """Leave of a study what there is of its first seed.

    That is all that was run: a part of a study that the key `only` chose is written down as one.
    """
    study = validate({**config, "only": None}, has_run=True)
    there = {cell.attack for cell in cells(expand(study)) if cell.seed == study.seeds[0]}
    told = study.dump() | {"seeds": study.seeds[:1], "device": "cpu", "proofs": None}
    # A transfer from that seed's own model has no cell.
    told["attacks"] = [one for one in told["attacks"] if one["name"] in there]
    return validate({**told, "keep_filtered": False, "keep_aware": False}, has_run=True)


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run the study to its end first")
    return read_table(str(path))


def _find_attacked(robust: pd.DataFrame) -> pd.DataFrame:
    """Find the rows of models without a filter that some attack queries, at budgets over 0."""
    is_attacked = (robust["budget"] > 0) & robust[f"{AWARE}_n"].notna()
    return robust[is_attacked & (robust["filter"] == NO_FILTER) & robust["norm"].isin(MEASURES)]


def _find_balls(attacked: pd.DataFrame) -> list[Ball]:
    """List the balls of a study, and how many images all of its attacks in each have.

    In the order of their norms, and of their budgets.
    """
    balls = []
    for _, rows in attacked.groupby(["norm", "budget_name", "budget"]):
        counts = rows.groupby("dataset", sort=False)[f"{AWARE}_n"].max()
        images = {str(dataset): int(count) for dataset, count in counts.items()}
        norm, name, budget = (rows[key].iloc[0] for key in ("norm", "budget_name", "budget"))
        balls.append(Ball(norm=norm, name=name, budget=float(budget), images=images))
    return sorted(balls, key=lambda ball: (list(MEASURES).index(ball.norm), ball.budget))


def _cross_checks(study: Study, attacked: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """List attacks without gradients for wherever the study has none that knows the filter."""
    for norm, kind in CROSS_CHECKS.items():
        boxes = [
            {key: (row[key],) for key in ("dataset", "model", "budget")}
            | {"examples": int(row[f"{AWARE}_n"])}
            for row in attacked.to_dict("records")
            if (row["norm"], row["budget_name"]) == (norm, BUDGET) and not _is_checked(study, row)
        ]
        for number, box in enumerate(_join(boxes), start=1):
            yield {
                "kind": kind,
                "name": f"{ADDED}{kind}" + (f"_{number}" if number > 1 else ""),
                BUDGET: [*box["budget"]],
                "queries": QUERIES,
                "threats": [AWARE],
                "examples": box["examples"],
                "datasets": [*box["dataset"]],
                "models": [*box["model"]],
            }


def _is_checked(study: Study, row: dict[Any, Any]) -> bool:
    """Whether an attack of the study that knows the filter needs no gradient where a row is."""
    level = Level(row["budget_name"], row["budget"])
    return any(
        (block.entry.family, block.entry.norm) == (GRADIENT_FREE, row["norm"])
        and AWARE in block.threats
        and level in block.levels
        and block.is_for_dataset(row["dataset"])
        and block.is_for(row["model"])
        for block in study.attacks
    )


def _join(boxes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join what is the same but for one key, whose values are tuples, key after key."""
    for key in ("model", "budget", "dataset"):
        joined: dict[tuple[Any, ...], dict[str, Any]] = {}
        for box in boxes:
            rest = tuple(value for name, value in box.items() if name != key)
            joined.setdefault(rest, {**box, key: ()})[key] += box[key]
        boxes = [*joined.values()]
    return boxes


def _copy_files(folder: Path, results: Path, study: Study) -> None:
    """Copy images, checkpoints, and sets of attackers who know no filter."""
    for path in dict.fromkeys(_list_files(study)):
        source, target = inside(results, path), inside(folder, path)
        if not source.is_file():
            raise FileNotFoundError(f"{source} is not there: run the study to its end first")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _list_files(study: Study) -> Iterator[str]:
    """List what a challenge takes over, as the study calls it."""
    recipes = CellRecipes(study)
    for name in study.names("datasets"):
        yield paths.TEST.format(dataset=name)
    for cell in scored_cells(study):
        of = cell.wildcards
        yield paths.CHECKPOINT.format(**of)
        yield paths.CLEAN_LEDGER.format(**{**of, **paths.UNFILTERED})
        model, seed = source_of(study.find("attacks", cell.attack), cell.model, cell.seed)
        yield paths.CHECKPOINT.format(**{**of, "model": model, "seed": seed})
        for part in find_parts(recipes.evaluate(of)["settings"]):
            yield paths.path_of_part(part, of)
        if cell.filter == NO_FILTER:
            yield paths.BLIND_SET.format(**of)


def _write_files(folder: Path, rules: Rules, tables: dict[str, pd.DataFrame]) -> None:
    """Write tables, rules, the template of a filter, and what to do with all that."""
    for name, table in tables.items():
        write_table(folder / "tables" / f"{name}.csv", table)
    write_table(folder / "tables" / "atlas.csv", tabulate_study(folder), digits=6)
    told = {RULES: rules.model_dump(), "tables/configuration.yaml": rules.study}
    for path, value in told.items():
        write_text(folder / path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
    template = (files("epsigma.challenge") / TEMPLATE).read_text(encoding="utf-8")
    write_text(folder / TEMPLATE, template)
    write_readme(folder, rules)
