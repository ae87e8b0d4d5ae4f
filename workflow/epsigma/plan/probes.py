"""Probes and trials: which measurements the checks of a study need, and their recipes."""

from epsigma.plan.cell_recipes import CellRecipes
from epsigma.plan.grid import filters_of
from epsigma.plan.modules import attack_modules, filter_modules, model_modules
from epsigma.plan.recipe import Recipe, make_recipe, of
from epsigma.plan.settings import (
    at_level,
    attack_settings,
    block_levels,
    direction_settings,
    settings,
)
from epsigma.registry.checks import (
    AUTO_PGD,
    BY_IDENTITY,
    DRAWS,
    GRADIENTS,
    LONGER,
    OF_ATTACK,
    UNBOUNDED,
)
from epsigma.registry.datasets import SIZES
from epsigma.study.blocks import Attack
from epsigma.study.references import find_attack_kind
from epsigma.study.schema import Study
from epsigma.vocabulary import AWARE, FLOAT32, FOOLING, IDENTITY, ITERATIVE, NO_FILTER


def probed_parts(
    study: Study, attack: str, threat: str = AWARE, filter_name: str = NO_FILTER
) -> list[str]:
    """List the parts of an attack's probe that checks ask for, and that it has.

    An attack that does not query the model has none. One that is blind passes no filter. One that
    takes the gradient of the identity is there to be compared with. Draws are those of a filter.
    """
    block = study.find("attacks", attack)
    entry = find_attack_kind(study, block)
    if not entry.queries_model:
        return []
    is_iterative = entry.family == ITERATIVE
    is_in_ball = entry.norm in ("linf", "l2")
    aims = block.get("targets", "untargeted") != "untargeted"
    possible = {
        LONGER: entry.spends is not None,
        UNBOUNDED: is_iterative and (is_in_ball or entry.norm is None),
        AUTO_PGD: is_iterative and is_in_ball and not aims,
        BY_IDENTITY: is_iterative and is_in_ball and threat == AWARE,
        DRAWS: is_iterative and is_in_ball and threat == AWARE and _draws(study, filter_name),
        GRADIENTS: "loss" in entry.schemas,
    }
    if block.gradient == IDENTITY:
        possible = {part: part == BY_IDENTITY and possible[part] for part in possible}
    return [part for part in OF_ATTACK if possible[part] and part in study.measurements]


def _draws(study: Study, filter_name: str) -> bool:
    return filter_name != NO_FILTER and study.find("filters", filter_name).is_random


def middle_budget(study: Study, attack: str) -> str:
    """Say at which budget an attack is probed, as paths spell it: in the middle of its grid."""
    budgets = block_levels(study, "attacks", attack)
    return budgets[len(budgets) // 2]


def _is_held(
    study: Study, attack: str, dataset: str, model: str, threat: str, filter_name: str
) -> bool:
    """Whether Auto-PGD runs beside an attack on a model behind a filter.

    Of those that have the same ball and images and meet the same, beside the first one that meets
    all strengths of the filter; if none does, beside each.
    """
    met = {
        block.name: strengths
        for block in study.attacks
        if AUTO_PGD in probed_parts(study, block.name)
        and not block.entry.ensemble
        and _ball_of(study, block.name) == _ball_of(study, attack)
        and block.is_for_dataset(dataset)
        and block.is_for(model)
        for found, strengths in filters_of(study, threat, block)
        if found.name == filter_name and strengths
    }
    count = len(block_levels(study, "filters", filter_name))
    whole = [name for name, strengths in met.items() if len(strengths) == count]
    return attack in (whole[:1] or met)


def _ball_of(study: Study, attack: str) -> tuple[object, ...]:
    block = study.find("attacks", attack)
    norm = find_attack_kind(study, block).norm
    return norm, middle_budget(study, attack), block.examples, sorted(block.threats)


def needs_trial(study: Study, attack: Attack, dataset: str) -> bool:
    """Whether an attack is tried: the user's own, or one that images of unknown size may rule out.

    Of known data sets `epsigma.study.shares` refuses its budgets.
    """
    is_unknown = study.find("datasets", dataset).kind not in SIZES
    return ":" in attack.kind or (is_unknown and attack.entry.at_once > 0)


def tried_budget(study: Study, attack: str) -> str:
    """Say at which budget an attack is tried: at the largest, for at 0 nothing is attacked.

    At the smallest that is not 0 if it may allow too few features (`AttackKind.at_once`).
    """
    budgets = block_levels(study, "attacks", attack)
    above_0 = [budget for budget in budgets if not budget.endswith("~0")] or budgets
    return above_0[0 if study.find("attacks", attack).entry.at_once else -1]


class ProbeRecipes(CellRecipes):
    """The recipes of probes and trials, each a method that takes a job's wildcards."""

    @of("model", "attack")
    def try_attack(self, model: str, attack: str) -> Recipe:
        """Of the trial of an attack. At which budget is no part of it (`tried_budget`).

        So an attack has a new trial when all its cells are made anew, and not for one budget more.
        """
        entry = self._study.find("attacks", attack).entry
        return make_recipe(
            {
                "model": settings(self._study, "models", model),
                "attack": attack_settings(self._study, attack),
                "traced": entry.traced,
                "direction": direction_settings(self._study, attack),
            },
            "epsigma.stages.trial",
            *attack_modules(self._study, attack),
            *model_modules(self._study, model),
        )

    @of("model")
    def probe_model(self, model: str) -> Recipe:
        """Of what the checks want to know of a classifier."""
        told = {"model": settings(self._study, "models", model)}
        return make_recipe(told, "epsigma.stages.probe", *model_modules(self._study, model))

    @of("filter")
    def probe_filter(self, filter_name: str) -> Recipe:
        """Of what the checks want to know of a filter."""
        made = settings(self._study, "filters", filter_name)
        # Parameters that make one filter the identity do not when others follow.
        identity = self._study.find("filters", filter_name).entry.identity_parameters
        return make_recipe(
            {"filter": made, "identity_parameters": {} if "then" in made else dict(identity)},
            "epsigma.stages.probe",
            *filter_modules(self._study, filter_name, with_detectors=False),
        )

    @of("dataset", "model", "attack", "seed", "threat", "filter")
    def probe_attack(
        self, dataset: str, model: str, attack: str, seed: str, threat: str, filter_name: str
    ) -> Recipe:
        """Of what the checks want to know of an attack, at the middle of its budgets."""
        told, (_, *modules) = self._attack(model, attack, seed)
        entry = self._study.find("attacks", attack).entry
        return make_recipe(
            {
                **told,
                "attack": at_level(told["attack"], middle_budget(self._study, attack)),
                **(self._known_filter(attack, filter_name) if threat == AWARE else {}),
                "norm": entry.norm,
                "swept": entry.swept,
                "spends": entry.spends,
                "traced": entry.traced,
                "parts": probed_parts(self._study, attack, threat, filter_name),
                "is_held": _is_held(self._study, attack, dataset, model, threat, filter_name),
            },
            self._stage(attack, "probe"),
            *modules,
            *filter_modules(self._study, filter_name),
        )

    def needs_cell(self, attack: str, threat: str, filter_name: str) -> bool:
        """Whether the probe of an attack goes on from what the cell at its budget found.

        Not where an attacker averages over what cells draw once, nor with detectors, which cells
        count otherwise, nor where the attack is run as it is in any case, for its loss, nor where
        cells are of images that were rounded since.
        """
        study, parts = self._study, probed_parts(self._study, attack, threat)
        block, entry = study.find("filters", filter_name), study.find("attacks", attack).entry
        if entry.family == FOOLING or study.stored_as != FLOAT32:
            return False
        if threat == AWARE and (block.is_random or block.detectors):
            return False
        if {LONGER, AUTO_PGD, BY_IDENTITY}.intersection(parts):
            return True
        return UNBOUNDED in parts and entry.norm is None
