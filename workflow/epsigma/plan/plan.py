"""The plan of a study, as the rules see it."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from epsigma.plan.columns import list_twins
from epsigma.plan.grid import cells
from epsigma.plan.inputs import Inputs
from epsigma.plan.jobs import Jobs
from epsigma.plan.outputs import Outputs
from epsigma.plan.recipes import Recipes
from epsigma.plan.report import Report
from epsigma.plan.resources import Resources
from epsigma.plan.targets import Targets
from epsigma.study.schema import Study, expand


class Plan:
    """What the rules of a study read, write and are told.

    Args:
        configured: the study as configured. In `study` each model of a swept training is apart.
    """

    def __init__(self, configured: Study) -> None:
        self.configured = configured
        self.study = expand(configured)
        self.cells = list(cells(self.study))
        self.recipes = Recipes(self.study, self.cells)
        self.inputs = Inputs(self.study, self.recipes)
        self.outputs = Outputs(self.study)
        self.resources = Resources(self.study)
        self.targets = Targets(self.study, self.cells)
        self.report = Report(self.study)
        self.jobs = Jobs(self.study)
        self.twins = list_twins(self.study)
        for asked in (self.recipes, self.inputs, self.resources):
            _tell_signatures(asked)


def _tell_signatures(asked: Any) -> None:
    """Have the methods that rules name say their parameters, instead of being looked into.

    Snakemake (9.27.1) inspects each function several times for each job: an eighth of a dry run.
    """
    for name, _ in inspect.getmembers(type(asked), inspect.isfunction):
        if not name.startswith("_"):
            setattr(asked, name, _told(getattr(asked, name)))


def _told(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*given: Any, **named: Any) -> Any:
        return method(*given, **named)

    told: Any = call
    told.__signature__ = inspect.signature(method)
    return call
