"""A recipe: what a stage is told, and a digest of the code that it runs.

It is a rule's watched parameter, plain values that Snakemake compares. A job reruns when one of the
two changes.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from epsigma.plan.settings import Settings
from epsigma.storage.digest import code_digest

Recipe = dict[str, Any]


def make_recipe(told: Settings, *modules: str) -> Recipe:
    """Put together what a stage is told, and the digest of the modules that it runs."""
    return {"settings": told, "code": code_digest(*modules)}


def of(*names: str) -> Callable[[Callable[..., Recipe]], Callable[[Any, Any], Recipe]]:
    """Make a method of some names one of a job's wildcards, which is asked once for the same.

    Those of a column have no budget, or no strength: a recipe leaves both open, so that a column
    and its cells are told the same.
    """

    def decorate(make: Callable[..., Recipe]) -> Callable[[Any, Any], Recipe]:
        @wraps(make)
        def recipe(self: Any, wildcards: Any) -> Recipe:
            self.check_levels(wildcards)
            key = (make.__name__, *(wildcards.get(name) for name in names))
            if key not in self.made:
                self.made[key] = make(self, *key[1:])
            found: Recipe = self.made[key]
            return found

        return recipe

    return decorate
