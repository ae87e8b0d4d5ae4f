"""How lines look, the same in every figure of a study.

The colour says which filter (black: none), its shade how strong the filter or the attack is, and
the line what the attacker knows: solid if nothing of the filter, dashed if all of it.
"""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb

from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

# By kind of filter, so that a filter has its colour in other studies, too.
FAMILIES = {
    NO_FILTER: "black",
    "gaussian": "#0072b2",
    "lowpass": "#009e73",
    "highpass": "#d98200",
    "bandpass": "#cc79a7",
    "bitdepth": "#a0703c",
    "jpeg": "#17a2b8",
    "median": "#7a7a00",
    "noise": "#6a51a3",
    "reformer": "#7d2248",
    "identity": "#3f5f6f",
}
# Of other kinds, in the order in which a study has them.
OTHERS = ("#4c9f38", "#b58900", "#4d4dff", "#8c2d04", "#01665e", "#ae017e")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
# Lines by threat. One that is solid has no dashes.
DASHES: Mapping[str, Mapping[str, Any]] = {BLIND: {}, AWARE: {"dashes": (4, 1.5)}}
# Of lines of what has no filter, where a legend is for filters of several colours.
NEUTRAL = "0.3"


def color_filter(name: str, families: Mapping[str, str]) -> str | tuple[float, ...]:
    """Choose the colour of a filter; `families` are the kinds of a study's filters by name.

    Several of a kind have its colour in shades, in the order of the study.
    """
    kind = families.get(name, name)
    own = [one for one in dict.fromkeys(families.values()) if one not in FAMILIES]
    base = FAMILIES.get(kind) or OTHERS[(own.index(kind) if kind in own else 0) % len(OTHERS)]
    same = [one for one, of in families.items() if of == kind]
    return shades(base, len(same))[same.index(name)] if len(same) > 1 else base


def shades(color: Any, n: int) -> list[tuple[float, ...]]:
    """Make n shades of a colour, from light to dark; one alone is the colour itself."""
    rgb = np.array(to_rgb(color))
    # What is black cannot be darker.
    lightest, darkest = (0.55, 0.45) if rgb.any() else (0.65, 0.0)
    found = []
    for mixed in np.linspace(-lightest, darkest, n) if n != 1 else [0.0]:
        made = rgb + (1 - rgb) * -mixed if mixed < 0 else rgb * (1 - mixed)
        found.append(tuple(float(one) for one in made))
    return found


def sequence(n: int, color: Any = "black", threat: str = BLIND) -> list[dict[str, Any]]:
    """Style n ordered lines: a colour from light to dark, a marker each, the line of a threat.

    Order survives grey print and colour-blindness.
    """
    return [
        {"color": shade, "marker": marker, **DASHES[threat]}
        for shade, marker in zip(shades(color, n), cycle(MARKERS), strict=False)
    ]


def distinguish(colors: Mapping[Any, Any]) -> dict[Any, dict[str, Any]]:
    """Give each colour a marker, and another one to each of the same colour, while there are."""
    looks: dict[Any, dict[str, Any]] = {}
    taken = set()
    for at, (name, color) in enumerate(colors.items()):
        markers = [MARKERS[(at + step) % len(MARKERS)] for step in range(len(MARKERS))]
        marker = next((one for one in markers if (color, one) not in taken), markers[0])
        taken.add((color, marker))
        looks[name] = {"color": color, "marker": marker}
    return looks
