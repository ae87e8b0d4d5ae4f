"""The plan: which cells there are, where their files lie, and what each stage is told.

Imports neither torch nor numpy: Snakemake plans a study of thousands of jobs with it.
"""

from epsigma.cell import LEVEL, MODEL, NAME, NUMBER, Level
from epsigma.plan.grid import cells
from epsigma.plan.settings import block_levels, settings

__all__ = ["LEVEL", "MODEL", "NAME", "NUMBER", "Level", "block_levels", "cells", "settings"]
