"""The plan: which cells there are, where their files lie, and what each stage is told."""

from epsigma.cell import LEVEL, MODEL, NAME, NUMBER, Level
from epsigma.plan.grid import cells

__all__ = ["LEVEL", "MODEL", "NAME", "NUMBER", "Level", "cells"]
