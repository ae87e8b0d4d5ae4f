#!/usr/bin/env bash
# deepinv 0.5.0: `BilateralFilter` darkens the border of an image, even of one that is grey all over.
#
# Behaviour: where the window leaves the image it sees zeros, and these are counted: the weights are divided
#   by their sum over the whole window, the zeros' among them. How much a zero weighs depends on how near the
#   image is to black there: with sigma_r = 0.2 a white image loses nothing, a dark grey one as much as a white
#   one with the default of 1. The median of the same package goes on beyond the border by reflection.
# Guess: a mean of the pixels around, as the docstring has it, so that an image of one value stays as it is.
# Seen: 9 × 9 pixels of one value, defaults (window 5, sigma_d 1, sigma_r 1): of white 61 % are left at a
#   corner, 79 % along an edge; of a grey of 0.2 at sigma_r = 0.2 the same, 48 and 71 % with a window of 9 and
#   sigma_d = 2. Divided by the weights of what lies within the image, all of it is left.
# Remedy: pad by reflection before (`torch.nn.functional.pad`), and cut afterwards.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check deepinv==0.5.0 torch==2.14.1 torchvision==0.29.1

cat >border.py <<'END'
import sys

import torch
from deepinv.models import BilateralFilter, MedianFilter
from torch.nn.functional import pad

bilateral = BilateralFilter()
seen = {}
for value, options in [
    (1.0, {}),
    (1.0, {"sigma_r": 0.2}),
    (0.2, {"sigma_r": 0.2}),
    (0.2, {"sigma_r": 0.2, "sigma_d": 2.0, "window_size": 9}),
]:
    grey = torch.full((1, 1, 9, 9), value)
    left = bilateral(grey, **options)[0, 0] / value
    reach = options.get("window_size", 5) // 2
    padded = bilateral(pad(grey, [reach] * 4, mode="reflect"), **options)[..., reach:-reach, reach:-reach]
    seen[value, len(options)] = corner = float(left[0, 0])
    print(
        f"{value}, {options}: of a corner {corner:.3f} are left, of an edge {float(left[0, 4]):.3f}, "
        f"in the middle {float(left[4, 4]):.3f}; padded before {float(padded.min()) / value:.3f}"
    )
    if abs(float(left[4, 4]) - 1) > 1e-5 or abs(float(padded.min()) / value - 1) > 1e-5:
        sys.exit("CHANGED: the middle, or a padded image, is not as it was")

median = MedianFilter(kernel_size=5)(torch.full((1, 1, 9, 9), 0.2))
print(f"the median leaves {float(median.min()):.3f} of 0.2")
dark, light = seen[0.2, 1], seen[1.0, 1]
if seen[1.0, 0] > 0.7 or dark > 0.7 or light < 0.999 or seen[0.2, 3] > 0.6 or median.min() < 0.2:
    sys.exit("CHANGED: the border keeps what the middle keeps")
END

venv/bin/python border.py
echo "as described: the bilateral filter darkens the border"
