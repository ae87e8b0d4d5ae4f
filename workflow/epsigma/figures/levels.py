"""How levels and norms are called, on figures and pages. It imports nothing heavy."""

from epsigma.cell import Level, spell
from epsigma.vocabulary import FIXED

NORMS = {"linf": "ℓ∞", "l2": "ℓ2", "l1": "ℓ1", "l0": "ℓ0"}
SYMBOLS = {"eps": "ε", "sigma": "σ", "gamma": "Υ", "kappa": "κ"}


def level_label(name: str | None, value: float | None) -> str:
    """Say `ε = 0.1`, for a legend, in six significant digits."""
    if name in (None, FIXED) or value is None:
        return FIXED
    return f"{SYMBOLS.get(name, name)} = {spell(float(f'{value:.6g}'))}"


def spelled_label(level: str) -> str:
    """Say `ε = 0.1`, for a legend, of a level as paths spell it."""
    parsed = Level.parse(level)
    return level_label(parsed.name, parsed.value)
