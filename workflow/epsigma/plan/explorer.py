"""The plan of the explorer: what its page is told beside tables, ledgers and images."""

import hashlib
from pathlib import Path

from epsigma.plan import paths
from epsigma.plan.modules import filter_modules
from epsigma.plan.recipe import Recipe, make_recipe
from epsigma.plan.recipes import Recipes
from epsigma.plan.settings import block_levels, settings
from epsigma.study.schema import Study

# Tables that the page is told of.
EXPLORED = ("cells", "clean", "classes", "checks", "rivals", "worst_case", "seeds")
_PAGE = ("explorer.html.j2", "explorer.css", "explorer.js")


def explorer_recipe(study: Study, recipes: Recipes) -> Recipe:
    """Of the explorer."""
    facts = recipes.facts()
    # Images are put through no filter with trained parts: each data set has its own.
    filters = [name for name, about in facts["filters"].items() if not about["learnt"]]
    told = {
        "attacks": {
            name: {key: about[key] for key in ("family", "norm")}
            for name, about in facts["attacks"].items()
        },
        "datasets": study.names("datasets"),
        "names": {model.name: model.label for model in study.models},
        "filters": [
            {"filter": name, "strength": strength, **settings(study, "filters", name, strength)}
            for name in filters
            for strength in block_levels(study, "filters", name)
        ],
        "pattern": paths.METRICS,
        "page": _digest_page(),
    }
    modules = [
        module for name in filters for module in filter_modules(study, name, with_detectors=False)
    ]
    return make_recipe(told, "epsigma.stages.explore", *modules)


def _digest_page() -> str:
    """Digest the files of the page, which no digest of code follows."""
    folder = Path(__file__).parents[1] / "pages"
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in _PAGE)).hexdigest()[:16]
