"""Making the folder of a challenge from the results of a study."""

import shutil
import uuid
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from epsigma.challenge.readme import write_readme
from epsigma.challenge.rules import ADDED, MEASURES, RULES, Ball, Rules, inside, scored_cells
from epsigma.challenge.tables import TABLES, tabulate_study
from epsigma.library import open_study
from epsigma.plan import paths
from epsigma.plan.cell_recipes import CellRecipes
from epsigma.plan.settings import find_parts
from epsigma.storage.files import write_text
from epsigma.study import Study, expand, validate
from epsigma.study.references import source_of
from epsigma.tables.reading import read_table, write_table
from epsigma.vocabulary import AWARE, GRADIENT_FREE, NO_FILTER

TEMPLATE = "my_filter.py"
# Attacks without gradients that are added where the study has none, by norm, and what they spend.
CROSS_CHECKS = {"linf": "square", "l2": "square_l2"}
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
        _copy_files(made, results, expand(validate(rules.study)))
        _write_files(made, rules, tables)
        made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _make_rules(results: Path) -> tuple[Rules, dict[str, pd.DataFrame]]:
    """Make the rules, and choose what tables say of the first seed."""
    config = dict(open_study(results).configuration)
    config |= {"seeds": config["seeds"][:1], "device": "cpu", "proofs": None}
    study = validate({**config, "keep_filtered": False, "keep_aware": False})
    read = {name: _read_table(results / "tables" / f"{name}.csv") for name in TABLES}
    tables = {name: table[table["seed"] == study.seeds[0]] for name, table in read.items()}
    costs = [inside(results, paths.COST.format(dataset=name)) for name in study.names("datasets")]
    if all(path.is_file() for path in costs):
        tables["cost"] = pd.concat([read_table(str(path)) for path in costs])
    balls = _find_balls(tables["robust"])
    if not balls:
        raise ValueError(
            f"the study of {results} has no attack in a ball of a budget over 0: there is nothing "
            "to score a filter by: add an attack with a budget over 0"
        )
    told = study.dump()
    told["attacks"] += _cross_checks(study, balls)
    return Rules(balls=balls, study=validate(told).dump()), tables


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run the study to its end first")
    return read_table(str(path))


def _find_balls(robust: pd.DataFrame) -> list[Ball]:
    """List the balls of a study, and how many images all of its attacks in each have.

    In the order of their norms, and of their budgets.
    """
    bare = robust[(robust["filter"] == NO_FILTER) & (robust["budget"] != 0)]
    balls = []
    for _, rows in bare.groupby(["norm", "budget_name", "budget"]):
        counts = rows.groupby("dataset", sort=False)[f"{AWARE}_n"].max()
        images = {str(dataset): int(count) for dataset, count in counts.items()}
        norm, name, budget = (rows[key].iloc[0] for key in ("norm", "budget_name", "budget"))
        balls.append(Ball(norm=norm, name=name, budget=float(budget), images=images))
    return sorted(balls, key=lambda ball: (list(MEASURES).index(ball.norm), ball.budget))


def _cross_checks(study: Study, balls: list[Ball]) -> list[dict[str, Any]]:
    """List an attack without gradients for each norm in which the study has none."""
    there = {block.entry.norm for block in study.attacks if block.entry.family == GRADIENT_FREE}
    return [
        {
            "kind": kind,
            "name": f"{ADDED}{kind}",
            "eps": [ball.budget for ball in balls if ball.norm == norm],
            "queries": QUERIES,
            "threats": [AWARE],
            "examples": max(max(ball.images.values()) for ball in balls if ball.norm == norm),
        }
        for norm, kind in CROSS_CHECKS.items()
        if norm not in there and any(ball.norm == norm for ball in balls)
    ]


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
