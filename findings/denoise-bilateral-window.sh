#!/usr/bin/env bash
# scikit-image 0.26.0: `denoise_bilateral` reads its weights of a distance from the wrong places.
#
# Behaviour: the weights of an odd window's places are computed for `arange(-win_size // 2, …)`, and -5 // 2
#   is -3: a table of 6 × 6, that is then read as if it were 5 × 5. An impulse comes out askew, brightest
#   two rows up and a column to the right. The default window and any other odd one have it.
# Guess: with a σ of colours that is large the filter is a Gaussian blur of a square window, symmetric, its
#   middle the brightest, as OpenCV's and Kornia's are.
# Seen: of an impulse 0.013 stays in the middle, and 0.118 is two rows up and a column to the right. SciPy's
#   Gaussian of the same window has 0.085 in the middle.
# Remedy: do not hold another bilateral filter against it; OpenCV's with a window so large that its round
#   corners weigh nothing is one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip --disable-pip-version-check install --quiet scikit-image==0.26.0 numpy==2.4.6 scipy==1.17.1

cat >bilateral.py <<'END'
import sys

import numpy as np
from scipy import ndimage
from skimage.restoration import denoise_bilateral

impulse = np.zeros((11, 11))
impulse[5, 5] = 1
found = denoise_bilateral(impulse, win_size=5, sigma_color=1e3, sigma_spatial=1.5)
blurred = ndimage.gaussian_filter(impulse, 1.5, radius=2)
print("scikit-image:", found[3:8, 3:8].round(3), "a Gaussian:", blurred[3:8, 3:8].round(3), sep="\n")
brightest = np.unravel_index(found.argmax(), found.shape)
askew = np.abs(found - found[::-1]).max()
print(f"middle {found[5, 5]:.4f} (a Gaussian {blurred[5, 5]:.4f}), brightest at {brightest}")
if found[5, 5] > 0.02 or askew < 0.1 or abs(found.max() - 0.118) > 0.001:
    sys.exit("CHANGED: the weights are where they belong")
END

venv/bin/python bilateral.py
echo "as described: a bilateral filter that blurs nothing else moves an impulse"
