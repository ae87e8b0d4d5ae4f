"""Recipes of what looks at cells: galleries, spectra, tables, checks and costs."""

from collections.abc import Sequence
from typing import Any

from epsigma.cell import Cell
from epsigma.plan import paths
from epsigma.plan.drawing_recipes import DrawingRecipes
from epsigma.plan.modules import attack_modules, filter_modules, model_modules
from epsigma.plan.names import names_of
from epsigma.plan.recipe import Recipe, make_recipe, of
from epsigma.plan.settings import (
    Settings,
    block_levels,
    find_parts,
    locate_parts,
    settings,
)
from epsigma.registry.checks import CHECKS
from epsigma.registry.tables import TABLES
from epsigma.study.references import find_attack_kind
from epsigma.study.schema import Study
from epsigma.vocabulary import FLOAT32, NO_FILTER


class Recipes(DrawingRecipes):
    """The recipes of a study's rules, each a method that takes a job's wildcards."""

    def __init__(self, study: Study, cells: Sequence[Cell]) -> None:
        super().__init__(study)
        self._cells = cells

    def _at_all_strengths(self, names: list[str]) -> list[Settings]:
        """Say how to make each filter at each of its strengths."""
        return [
            {
                "filter": name,
                "strength": strength,
                **settings(self._study, "filters", name, strength),
            }
            for name in names
            for strength in block_levels(self._study, "filters", name)
        ]

    @of("model", "attack", "filter")
    def gallery(self, model: str, attack: str, filter_name: str) -> Recipe:
        """Of an image through a filter at every strength."""
        return make_recipe(
            {
                "model": settings(self._study, "models", model),
                "budgets": block_levels(self._study, "attacks", attack),
                "filters": self._at_all_strengths([NO_FILTER, filter_name]),
                **self._detectors(filter_name),
            },
            self._stage(attack, "gallery"),
            *filter_modules(self._study, filter_name),
            *model_modules(self._study, model),
        )

    @of("attack")
    def spectrum(self, attack: str) -> Recipe:
        """Of the spectra of perturbations and the responses of filters."""
        names = self._study.names("filters")
        return make_recipe(
            {
                "budgets": block_levels(self._study, "attacks", attack),
                "filters": self._at_all_strengths(names),
            },
            self._stage(attack, "spectrum"),
            *(
                module
                for name in names
                for module in filter_modules(self._study, name, with_detectors=False)
            ),
        )

    def card(self, wildcards: Any) -> Recipe:
        """Of the card of an attack."""
        block = self._study.find("attacks", wildcards.attack)
        described = {
            key: about.description or "" for key, about in type(block).model_fields.items()
        } | {key: about.get("description", "") for key, about in block.entry.schemas.items()}
        given = self._study.dump()["attacks"]
        told = {
            "block": next(one for one in given if one["name"] == wildcards.attack),
            "implementation": block.entry.implementation,
            "descriptions": described,
            "names": names_of(self._study),
        }
        modules = attack_modules(self._study, wildcards.attack)
        return make_recipe(told, "epsigma.stages.card", *modules)

    def facts(self) -> Settings:
        """Say what tables and checks are told of the attacks, filters, models and detectors."""
        study, attacks = self._study, {}
        for block in study.attacks:
            entry = find_attack_kind(study, block)
            attacks[block.name] = {
                "family": entry.family,
                "norm": entry.norm,
                "source": block.get("attack"),
                "source_model": block.get("source_model"),
                "minimises": entry.minimises,
                "spends": entry.spends,
                "targeted": block.get("targets", "untargeted") != "untargeted",
                "gradient": block.gradient,
                "gradient_free_parts": list(entry.gradient_free_parts),
            }
        filters = {
            block.name: {
                "kind": block.kind,
                "gradient": block.gradient,
                "random": block.is_random or study.has_random_detectors(block),
                "detectors": list(block.detectors),
                "learnt": any(find_parts(settings(study, "filters", block.name))),
            }
            for block in study.filters
        }
        return {
            "attacks": attacks,
            "filters": filters,
            "defends": {model.name: model.defends for model in study.models},
            "requantise": study.requantise,
            "rates": {one.name: one.false_positive_rate for one in study.detectors},
        }

    def pages(self) -> Recipe:
        """Of the pages of tables."""
        titles = {name: table.label for name, table in TABLES.items() if table.label}
        told = {"titles": titles, "names": names_of(self._study)}
        return make_recipe(told, "epsigma.stages.pages")

    def collect(self) -> Recipe:
        """Of the table of all cells."""
        return make_recipe({}, "epsigma.stages.collect")

    def tabulate(self) -> Recipe:
        """Of the tables that are made of ledgers."""
        made_by = {name: table.implementation for name, table in TABLES.items()}
        modules = [table.module for table in TABLES.values()]
        return make_recipe({**self.facts(), "tables": made_by}, "epsigma.stages.tabulate", *modules)

    def unpack(self) -> Recipe:
        """Of the files of these tables."""
        return make_recipe({}, "epsigma.stages.unpack")

    def reference(self) -> Recipe:
        """Of the table that sets published figures beside the study's."""
        study = self._study
        told = {
            "datasets": {block.name: block.kind for block in study.datasets},
            "models": {model.name: model.label for model in study.models},
            "attacks": {
                block.name: {
                    "kind": block.kind,
                    **settings(study, "attacks", block.name)["parameters"],
                }
                for block in study.attacks
            },
        }
        return make_recipe(told, "epsigma.stages.reference")

    def configuration(self, configured: Study) -> Recipe:
        """Of the file of the configuration, as it was before models of a sweep were set apart."""
        return make_recipe(configured.dump(), "epsigma.stages.configuration")

    def check(self) -> Recipe:
        """Of the checks."""
        wanted = self._study.wanted_checks
        told = {
            **self.facts(),
            "checks": {name: check.implementation for name, check in wanted.items()},
            "left_out": [name for name in CHECKS if name not in wanted],
            **({} if self._study.stored_as == FLOAT32 else {"stored_as": self._study.stored_as}),
            "names": names_of(self._study),
        }
        modules = dict.fromkeys(check.module for check in wanted.values())
        return make_recipe(told, "epsigma.stages.check", *modules)

    def gate(self) -> Recipe:
        """Of the gate."""
        return make_recipe({"strict": self._study.strict}, "epsigma.stages.gate")

    def defences(self, table: str = "defences") -> Recipe:
        """Of the tables `defences` and `atlas`."""
        return make_recipe({"names": names_of(self._study)}, f"epsigma.stages.{table}")

    @of("dataset")
    def cost(self, dataset: str) -> Recipe:
        """Of what the defences of a data set cost, and the files that it is measured on."""
        entries = [self._defence(dataset, *found) for found in self.defences_of(dataset)]
        files = [
            path
            for entry in entries
            for path in (
                *(entry["checkpoint"], *entry["trained"], *entry["undefended"]),
                *entry["autoencoders"],
                *(part.get("checkpoint") or part["threshold"] for part in find_parts(entry)),
            )
        ]
        names = {entry["cell"]["model"] for entry in entries}
        filters = {entry["cell"]["filter"] for entry in entries}
        return make_recipe(
            {"defences": entries, "files": list(dict.fromkeys(files))},
            "epsigma.stages.cost",
            *(one for name in sorted(names) for one in model_modules(self._study, name)),
            *(one for name in sorted(filters) for one in filter_modules(self._study, name)),
        )

    def defences_of(self, dataset: str) -> list[tuple[str, str, str]]:
        """List the models of a data set with each filter at each strength in front of them."""
        seed = self._study.seeds[0]
        here = [cell for cell in self._cells if (cell.dataset, cell.seed) == (dataset, seed)]
        return list(dict.fromkeys((cell.model, cell.filter, str(cell.strength)) for cell in here))

    def _defence(self, dataset: str, model: str, filter_name: str, strength: str) -> Settings:
        """Say what the cost of a defence is measured on."""
        study, named = self._study, {"dataset": dataset, "seed": self._study.seeds[0]}
        made = {
            "cell": {"model": model, "filter": filter_name, "strength": strength},
            "model": settings(study, "models", model),
            "filter": settings(study, "filters", filter_name, strength),
            **self._detectors(filter_name),
        }
        located = locate_parts(
            made, lambda part: paths.path_of_part(part, {**named, "model": model})
        )
        parts = [part["autoencoder"] for part in find_parts(made) if "autoencoder" in part]
        undefended = study.find("models", model).defends or model
        return {
            **located,
            "checkpoint": paths.CHECKPOINT.format(**named, model=model),
            "trained": self._spent(named, model),
            "undefended": self._spent(named, undefended),
            "autoencoders": [
                paths.SPENT_BY_AUTOENCODER.format(**named, autoencoder=name)
                for name in dict.fromkeys(parts)
            ],
        }

    def _spent(self, named: Settings, model: str) -> list[str]:
        """Name the files of what training a model spent, and its teacher."""
        by_teacher = [paths.SPENT_BY_TEACHER] * self._study.find("models", model).has_teacher
        return [one.format(**named, model=model) for one in (paths.SPENT, *by_teacher)]
