"""Scoring the cells of a submission, by the stages that score those of a study."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from epsigma.cell import Cell
from epsigma.challenge.rules import inside, scored_cells
from epsigma.filters.filter import Filter
from epsigma.job import Job
from epsigma.loading import load
from epsigma.plan import paths
from epsigma.plan.cell_recipes import CellRecipes
from epsigma.plan.recipe import Recipe
from epsigma.plan.settings import at_cell, locate_parts, settings
from epsigma.stages.attack import attack
from epsigma.stages.cost import measure_cost
from epsigma.stages.evaluate import evaluate, evaluate_clean
from epsigma.storage.held import HeldSet
from epsigma.study.references import source_of
from epsigma.study.schema import Study
from epsigma.vocabulary import AWARE, FIXED, GRADIENT_BASED, NO_FILTER

# What an attack is called whose aware attacker takes the identity's gradient of a filter.
IDENTITY = "_identity"
IMPLEMENTATION = "epsigma.challenge.identity:IdentityGradient"


def identity_attacks(study: Study) -> list[str]:
    """Name the attacks that also try the identity's gradient: those that follow a gradient.

    None, if that is the filter's own surrogate.
    """
    (block,) = study.filters
    kind = load(block.entry.implementation)
    is_own = getattr(kind, "surrogate", None) is Filter.surrogate
    if block.entry.gradient == "bpda" and is_own and not block.then:
        return []
    return [one.name for one in study.attacks if one.entry.family in GRADIENT_BASED]


class Scoring:
    """Scores cells of a study whose files lie in the folder of a challenge.

    Args:
        study: of the submission.
        folder: of the challenge.
        out: folder for what is made: ledgers and metrics as a study calls them, and logs.
    """

    def __init__(self, study: Study, folder: Path, out: Path) -> None:
        self._study, self._folder, self._out = study, folder, out
        self._recipes = CellRecipes(study)

    def score_filter(self) -> None:
        """Attack and score the submitted filter, and measure its cost."""
        also = identity_attacks(self._study)
        cells = [cell for cell in scored_cells(self._study) if cell.filter != NO_FILTER]
        for of in dict.fromkeys((one.dataset, one.model, str(one.strength)) for one in cells):
            same = next(c for c in cells if (c.dataset, c.model, str(c.strength)) == of)
            self._score_clean(same)
        for cell in cells:
            if cell.threat != AWARE:
                self.score_set(cell, self._find(paths.BLIND_SET, cell.wildcards))
                continue
            recipe = self._recipes.attack_aware(cell.wildcards)
            self._score_aware(cell, recipe)
            if cell.attack in also:
                self._score_aware(
                    replace(cell, attack=f"{cell.attack}{IDENTITY}"),
                    _distrust(recipe, cell.wildcards),
                    scored_as=cell,
                )
        for name in dict.fromkeys(cell.dataset for cell in cells):
            self._measure_cost(name, [cell for cell in cells if cell.dataset == name])

    def score_set(self, cell: Cell, adversarial: Path, like: str | None = None) -> None:
        """Score a set that has yet to pass the filter of a cell.

        Args:
            cell: what is scored.
            adversarial: the set.
            like: an attack of the study, of the same norm, if the cell's is none of the study's.
        """
        of = {**cell.wildcards, "attack": like or cell.attack}
        job = self._job(self._recipes.evaluate(of), cell.wildcards)
        name = "images" if cell.filter == NO_FILTER else "adversarial"
        evaluate(job, **self._scored_files(cell), **{name: str(adversarial)})

    def _score_aware(self, cell: Cell, recipe: Recipe, scored_as: Cell | None = None) -> None:
        """Attack a cell by a recipe, and score it as another one of the same filter is scored."""
        of, scored = cell.wildcards, (scored_as or cell).wildcards
        attacker = {name: value for name, value in of.items() if name != "threat"}
        files = self._scored_files(cell)
        block = self._study.find("attacks", scored["attack"])
        model, seed = source_of(block, cell.model, cell.seed)
        source = {**of, "model": model, "seed": str(seed)}
        given = {
            "test": str(self._find(paths.TEST, of)),
            "checkpoint": str(self._find(paths.CHECKPOINT, source)),
        }
        told = self._recipes.evaluate(scored)
        is_filtered_later = "filter" in told["settings"]
        made, name = ("adversarial",) * 2 if is_filtered_later else ("filtered", "images")
        with HeldSet(files["ledger"]) as held:
            attack(self._job(recipe, attacker), **given, **_named(made, held))
            evaluate(self._job(told, of), **files, **_named(name, held))

    def _score_clean(self, cell: Cell) -> None:
        of = cell.wildcards
        evaluate_clean(
            self._job(
                self._recipes.evaluate_clean(of),
                {name: of[name] for name in ("dataset", "model", "seed", "filter", "strength")},
            ),
            test=str(self._find(paths.TEST, of)),
            checkpoint=str(self._find(paths.CHECKPOINT, of)),
            ledger=str(inside(self._out, paths.CLEAN_LEDGER.format(**of))),
        )

    def _measure_cost(self, dataset: str, cells: list[Cell]) -> None:
        """Measure each defence of the submission, and no filter, in turns."""
        of = {"dataset": dataset}
        pairs = [(cell, cell.filter, str(cell.strength)) for cell in cells]
        pairs += [(cell, NO_FILTER, FIXED) for cell in cells]
        defences = {
            (cell.model, name, strength): {
                "cell": {"model": cell.model, "filter": name, "strength": strength},
                "model": settings(self._study, "models", cell.model),
                "filter": settings(self._study, "filters", name, strength),
                "checkpoint": str(self._find(paths.CHECKPOINT, cell.wildcards)),
                **{part: [] for part in ("trained", "undefended", "autoencoders")},
            }
            for cell, name, strength in pairs
        }
        told = {"settings": {"defences": list(defences.values())}, "code": ""}
        cost = str(inside(self._out, paths.COST.format(**of)))
        measure_cost(self._job(told, of), test=str(self._find(paths.TEST, of)), cost=cost)

    def _scored_files(self, cell: Cell) -> dict[str, str]:
        """Name the files that the stage `evaluate` reads and writes, but for the set."""
        of = cell.wildcards
        bare = {**of, **paths.UNFILTERED}
        return {
            "checkpoint": str(self._find(paths.CHECKPOINT, of)),
            "clean": str(self._find(paths.CLEAN_LEDGER, bare)),
            "metrics": str(inside(self._out, paths.METRICS.format(**of))),
            "ledger": str(inside(self._out, paths.LEDGER.format(**of))),
        }

    def _find(self, pattern: str, of: Mapping[str, Any]) -> Path:
        return inside(self._folder, pattern.format(**of))

    def _job(self, recipe: Recipe, of: dict[str, str]) -> Job:
        """Make the job of a stage, as those of rules are made."""
        named = {"seed": str(self._study.seeds[0]), **of}
        told = locate_parts(
            at_cell(recipe["settings"], of),
            lambda part: str(inside(self._folder, paths.path_of_part(part, named))),
        )
        log = self._out / "logs" / f"{'-'.join(of.values())}.log"
        study = self._study
        return Job(of, told, recipe["code"], study.device, str(log), study.memory_mb)


def _named(name: str, held: HeldSet) -> dict[str, Any]:
    return {name: held}


def _distrust(recipe: Recipe, of: Mapping[str, str]) -> Recipe:
    """Make of an aware attacker's recipe that of one who takes the identity's gradient."""
    told = at_cell(recipe["settings"], of)
    random = {"random": True} if told["filter"].get("random") else {}
    made = {
        "implementation": IMPLEMENTATION,
        "parameters": {"of": told["filter"]},
        "gradient": "bpda",
        **random,
    }
    return {**recipe, "settings": {**told, "filter": made}}


def list_made(out: Path) -> Iterator[tuple[str, list[Path]]]:
    """List what scoring has made in a folder: `metrics`, `ledgers`, `clean` and `costs`."""
    yield "metrics", sorted(out.glob("*/*/**/metrics/**/*.json"))
    found = sorted(out.glob("*/*/**/ledger/**/*.parquet"))
    is_clean = {path: path.relative_to(out).parts[-3] == "clean" for path in found}
    yield "ledgers", [path for path in found if not is_clean[path]]
    yield "clean", [path for path in found if is_clean[path]]
    yield "costs", sorted(out.glob("data/*/cost.csv"))
