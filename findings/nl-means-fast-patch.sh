#!/usr/bin/env bash
# scikit-image 0.26.0: `denoise_nl_means` compares patches that are a pixel short and beside the pixel.
#
# Behaviour: the fast mode, which is the default, sums a patch as a difference of four entries of an
#   integral image, from row - 3 to row + 3. The first of these rows is left out: of a patch of 7 x 7
#   (the default) 6 x 6 pixels are compared, half a pixel down and to the right, and divided by 49. Of
#   3 x 3, as feature squeezing has it, 2 x 2 remain. Of 1 x 1 nothing does, and the filter is a box blur.
# Guess: patches are centred on their pixels, so that an image turned by 180 degrees comes out turned.
# Seen: with patches of 3 x 3 the two differ by up to 0.32 (of 1), with 7 x 7 by 0.18; `fast_mode=False`
#   by 0.011 at most, OpenCV 5.0.0 by nothing. Non-local means written out are within 0.003 of it with the
#   patches that are short, and up to 0.25 away with whole ones. Patches of one pixel give the mean of the
#   search window, whatever h.
# Remedy: `fast_mode=False` (its patches have Gaussian weights), or OpenCV's.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6 scipy==1.17.1 \
    opencv-python-headless==5.0.0.93

cat >patches.py <<'END'
import sys

import cv2
import numpy as np
from scipy import ndimage
from skimage import data
from skimage.restoration import denoise_nl_means

FAR, H = 6, 0.08
photo = data.camera()[150:278, 180:308] / 255
noisy = np.clip(photo + np.random.default_rng(0).normal(0, 0.1, photo.shape), 0, 1)
inside = np.s_[16:-16, 16:-16]


def scikit_image(size, h=H, fast=True):
    return lambda image: denoise_nl_means(image, size, FAR, h, fast_mode=fast)


def opencv(image):
    levels = (image * 255).round().astype(np.uint8)
    return cv2.fastNlMeansDenoising(levels, None, H * 255, 3, 2 * FAR + 1) / 255


def askew(denoise):
    turned = denoise(np.ascontiguousarray(noisy[::-1, ::-1]))[::-1, ::-1]
    return float(np.abs(denoise(noisy) - turned).max())


def written_out(size, places):
    """Non-local means of patches of these rows and columns around a pixel; borders wrap around."""
    total, weights = np.zeros_like(noisy), np.zeros_like(noisy)
    for down in range(-FAR, FAR + 1):
        for across in range(-FAR, FAR + 1):
            seen = np.roll(noisy, (-down, -across), (0, 1))
            square = (noisy - seen) ** 2
            moves = [(-row, -column) for row in places for column in places]
            distance = sum(np.roll(square, move, (0, 1)) for move in moves) / (size**2 * H**2)
            weight = np.exp(-distance) * (distance < 5)
            total, weights = total + weight * seen, weights + weight
    return total / weights


turned = {f"{size} x {size}": askew(scikit_image(size)) for size in (3, 5, 7)}
slow = max(askew(scikit_image(size, fast=False)) for size in (3, 5, 7))
print("turned, fast:", {size: round(apart, 3) for size, apart in turned.items()})
print(f"turned, slow: at most {slow:.3f}; OpenCV: {askew(opencv):.3f}")

short, whole = [], []
for size in (3, 5, 7):
    found, near = scikit_image(size)(noisy)[inside], size // 2
    for places, apart in ((range(1 - near, near + 1), short), (range(-near, near + 1), whole)):
        apart.append(round(float(np.abs(written_out(size, places)[inside] - found).max()), 4))
print("from patches that are short:", short, "from whole ones:", whole)

box = ndimage.uniform_filter(noisy, 2 * FAR + 1, mode="mirror")
blurred = [float(np.abs(scikit_image(1, h)(noisy) - box).max()) for h in (0.001, 100)]
print("patches of one pixel, from a box blur:", blurred)

if not (
    turned["3 x 3"] > 0.3
    and min(turned.values()) > 0.15
    and slow < 0.02
    and askew(opencv) == 0
    and max(short) < 0.005
    and min(whole) > 0.1
    and max(blurred) < 1e-9
):
    sys.exit("CHANGED: patches are whole")
END

venv/bin/python patches.py
echo "as described: patches lack their first row and column"
