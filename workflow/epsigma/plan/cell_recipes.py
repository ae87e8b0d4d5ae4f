"""Recipes of what makes cells: data, training, attacks, filters and scores."""

from collections.abc import Mapping
from typing import Any

from epsigma.plan.modules import (
    attack_modules,
    detector_modules,
    filter_modules,
    model_modules,
    module_of,
    modules_of,
    training_modules,
)
from epsigma.plan.recipe import Recipe, make_recipe, of
from epsigma.plan.settings import (
    Settings,
    attack_settings,
    check_level,
    detector_settings,
    direction_settings,
    find_parts,
    settings,
    stored_settings,
    training_settings,
)
from epsigma.study.references import source_of
from epsigma.study.schema import Study
from epsigma.vocabulary import AWARE, BLIND, FLOAT32, FOOLING, IDENTITY, NO_FILTER, TRANSFER

_DENOISING = "epsigma.training.denoising:Denoising"


class CellRecipes:
    """Recipes, each a method that takes a job's wildcards."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self.made: dict[tuple[str | None, ...], Recipe] = {}
        self._levels: set[tuple[str, str, str]] = set()

    def check_levels(self, wildcards: Mapping[str, str]) -> None:
        """Refuse a budget or a strength that is none.

        Raises:
            ValueError: if it is not spelt as it should be, or is of another hyper-parameter.
        """
        for section, key, wildcard in (
            ("attacks", "attack", "budget"),
            ("filters", "filter", "strength"),
        ):
            # Proofs have a budget, and no attack.
            name, level = wildcards.get(key), wildcards.get(wildcard)
            if name and level and (found := (section, name, level)) not in self._levels:
                check_level(self._study, *found)
                self._levels.add(found)

    @of("dataset")
    def dataset(self, dataset: str) -> Recipe:
        """Of the stage that brings a data set into the project's form."""
        made = settings(self._study, "datasets", dataset)
        return make_recipe(made, "epsigma.stages.dataset", module_of(made["implementation"]))

    @of("model", "seed")
    def train(self, model: str, seed: str) -> Recipe:
        """Of the training of a model. How weights from a file would be trained changes nothing."""
        block = self._study.find("models", model)
        key = {"checkpoint_key": block.checkpoint_key} if block.checkpoint_key else {}
        how: Settings = (
            {"training": training_settings(self._study, model)}
            if block.checkpoint is None
            else {"checkpoint": block.checkpoint, **key}
        )
        return make_recipe(
            {"model": settings(self._study, "models", model), **how, "seed": int(seed)},
            "epsigma.stages.train",
            *model_modules(self._study, model),
            *training_modules(self._study, model),
        )

    def train_teacher(self, wildcards: Any) -> Recipe:
        """Of the training of the teacher that a model learns from."""
        made = self.train(wildcards)
        return {**made, "settings": {**made["settings"], "teaches": True}}

    @of("autoencoder", "seed")
    def train_autoencoder(self, autoencoder: str, seed: str) -> Recipe:
        """Of the training of an autoencoder."""
        model = settings(self._study, "autoencoders", autoencoder)
        training = self._study.find("autoencoders", autoencoder).training.model_dump()
        objective = {
            "implementation": _DENOISING,
            "parameters": {"noise": training.pop("noise")},
        }
        return make_recipe(
            {"model": model, "training": {**training, "objective": objective}, "seed": int(seed)},
            "epsigma.stages.train",
            module_of(_DENOISING),
            module_of(model["implementation"]),
        )

    @of("model", "detector", "seed")
    def calibrate(self, model: str, detector: str, seed: str) -> Recipe:
        """Of the threshold of a detector, which has none yet."""
        made = detector_settings(self._study, detector)
        names = [part["autoencoder"] for part in find_parts(made) if "autoencoder" in part]
        trained = [self._study.find("autoencoders", name) for name in names]
        trained.append(self._study.find("models", model))
        told = {
            "model": settings(self._study, "models", model),
            "detector": {name: value for name, value in made.items() if name != "detector"},
            "rate": self._study.find("detectors", detector).false_positive_rate,
            # What all of them held out.
            "validation": min(one.training.validation for one in trained),
            "seed": int(seed),
        }
        modules = detector_modules(self._study, detector)
        return make_recipe(
            told, "epsigma.stages.calibrate", *model_modules(self._study, model), *modules
        )

    def _is_fooling(self, attack: str) -> bool:
        return bool(self._study.find("attacks", attack).entry.family == FOOLING)

    def _stage(self, attack: str, stage: str) -> str:
        """Name the module of a stage: fooling images have their own."""
        package = "epsigma.stages.fooling" if self._is_fooling(attack) else "epsigma.stages"
        return f"{package}.{stage}"

    def _attack(self, model: str, attack: str, seed: str) -> tuple[Settings, list[str]]:
        """Say what a blind attacker is told, and which modules that takes."""
        block = self._study.find("attacks", attack)
        source, source_seed = source_of(block, model, int(seed))
        told: Settings = {
            "model": settings(self._study, "models", source),
            "attack": attack_settings(self._study, attack),
        }
        if block.entry.family == TRANSFER:
            # Another source is another checkpoint, which nothing else that is watched would tell.
            told["source"] = [source, source_seed]
        stage = self._stage(attack, "attack")
        modules = [*attack_modules(self._study, attack), *model_modules(self._study, source)]
        return told, [stage, *modules]

    def _differentiates(self, attack: str) -> list[str]:
        """Name the stage that finds the direction of an attack, if it has one."""
        has_direction = direction_settings(self._study, attack) is not None
        return ["epsigma.stages.differentiate"] if has_direction else []

    @of("model", "attack", "seed")
    def attack(self, model: str, attack: str, seed: str) -> Recipe:
        """Of an attack on the bare classifier."""
        told, modules = self._attack(model, attack, seed)
        told["attack"] |= stored_settings(self._study, attack)
        return make_recipe(told, *modules, *self._differentiates(attack))

    def _known_filter(self, attack: str, filter_name: str) -> Settings:
        """Say what an attacker who knows the filter is told of it."""
        block = self._study.find("filters", filter_name)
        attacker = self._study.find("attacks", attack)
        made = settings(self._study, "filters", filter_name)
        is_watched_at_random = self._study.has_random_detectors(block)
        return {
            "filter": {**made, "gradient": block.entry.gradient},
            **({"eot_samples": attacker.eot_samples} if block.is_random else {}),
            **({"detector_samples": attacker.eot_samples} if is_watched_at_random else {}),
            **({"gradient": IDENTITY} if attacker.gradient == IDENTITY else {}),
            **self._detectors(filter_name),
        }

    def _detectors(self, filter_name: str) -> Settings:
        """Say which detectors look at what a filter is given."""
        names = self._study.find("filters", filter_name).detectors
        made = [detector_settings(self._study, name) for name in names]
        return {"detectors": made} if made else {}

    @of("model", "attack", "seed", "threat", "filter")
    def differentiate(
        self, model: str, attack: str, seed: str, threat: str, filter_name: str
    ) -> Recipe:
        """Of the directions of an attack, which do not depend on its budget."""
        told, modules = self._attack(model, attack, seed)
        examples = told.pop("attack").get("examples")
        made = direction_settings(self._study, attack) or {}
        known = self._known_filter(attack, filter_name) if threat == AWARE else {}
        return make_recipe(
            {**told, "direction": made, "examples": examples, **known},
            *modules,
            *self._differentiates(attack),
            *modules_of(made),
            *(filter_modules(self._study, filter_name) if threat == AWARE else []),
        )

    @of("model", "attack", "seed", "filter")
    def attack_aware(self, model: str, attack: str, seed: str, filter_name: str) -> Recipe:
        """Of an attack on a defended model."""
        told, modules = self._attack(model, attack, seed)
        told["attack"] |= stored_settings(self._study, attack)
        return make_recipe(
            {**told, **self._known_filter(attack, filter_name)},
            *modules,
            *self._differentiates(attack),
            *filter_modules(self._study, filter_name),
        )

    def attack_when_scored(self, wildcards: Any) -> Recipe:
        """Of the attack whose set a cell is scored on, if that may be made where it is scored.

        The same whether it is: keeping sets, or not, makes nothing anew.
        """
        return self.attack_aware(wildcards) if wildcards["threat"] == AWARE else {}

    @of("filter")
    def filter(self, filter_name: str) -> Recipe:
        """Of the filtering of a set."""
        stored_as = self._study.stored_as
        return make_recipe(
            {
                "filter": settings(self._study, "filters", filter_name),
                **({} if stored_as == FLOAT32 else {"stored_as": stored_as}),
            },
            "epsigma.stages.filter",
            *filter_modules(self._study, filter_name, with_detectors=False),
        )

    @of("model", "filter")
    def evaluate_clean(self, model: str, filter_name: str) -> Recipe:
        """Of the scores of clean images."""
        return make_recipe(
            {
                "model": settings(self._study, "models", model),
                "filter": settings(self._study, "filters", filter_name),
                **self._detectors(filter_name),
            },
            "epsigma.stages.evaluate",
            *model_modules(self._study, model),
            *filter_modules(self._study, filter_name),
        )

    @of("model", "attack", "threat", "filter")
    def evaluate(self, model: str, attack: str, threat: str, filter_name: str) -> Recipe:
        """Of the scores of a cell.

        The same whether filtered sets are kept or not: keeping them makes nothing anew.
        """
        is_raw = self._study.is_scored_raw
        is_filtered_here = filter_name != NO_FILTER and (threat == BLIND or is_raw)
        made = {"filter": settings(self._study, "filters", filter_name)} if is_filtered_here else {}
        requantise = self._study.requantise and not self._is_fooling(attack)
        return make_recipe(
            {
                "model": settings(self._study, "models", model),
                **made,
                **self._detectors(filter_name),
                **({"requantise": True} if requantise else {}),
            },
            self._stage(attack, "evaluate"),
            *model_modules(self._study, model),
            *(filter_modules(self._study, filter_name) if is_filtered_here else []),
        )

    @of("model", "filter")
    def certify(self, model: str, filter_name: str) -> Recipe:
        """Of the proofs of a defended model."""
        proofs = self._study.proofs
        return make_recipe(
            {
                "model": settings(self._study, "models", model),
                "filter": settings(self._study, "filters", filter_name),
                "proofs": proofs.model_dump(exclude={"smoothing"}) if proofs else {},
            },
            "epsigma.stages.certify",
            *model_modules(self._study, model),
            *filter_modules(self._study, filter_name, with_detectors=False),
        )

    @of("model", "filter")
    def smooth(self, model: str, filter_name: str) -> Recipe:
        """Of the certified radii of the vote over a filter's noise."""
        smoothing = self._study.proofs and self._study.proofs.smoothing
        return make_recipe(
            {
                "model": settings(self._study, "models", model),
                "filter": settings(self._study, "filters", filter_name),
                "smoothing": smoothing.model_dump() if smoothing else {},
            },
            "epsigma.stages.smooth",
            *model_modules(self._study, model),
            *filter_modules(self._study, filter_name, with_detectors=False),
        )
