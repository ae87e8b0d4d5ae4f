#!/usr/bin/env bash
# Pillow 13.0.0, torchvision 0.29.1 and Kornia 0.9.0: equalising the histogram of a small image does nothing, or half.
#
# Behaviour: all three divide the number of pixels, less those of the brightest level there is, by 255, and drop the
#   rest. Below 255 that step is 0, and the image comes back as it was, without a word. Just below twice 255 the step is
#   1 where it should be nearly 2: the upper half of the pixels becomes white.
# Guess: as OpenCV, within a level or two of rounding, whatever the size.
# Seen: of the 1,797 digits of scikit-learn (8 x 8) all come back unchanged from the three, and none from OpenCV 5.0.0.
#   Of 22 x 22 pixels of noise 47 % become white (OpenCV: less than 1 %), and the three differ from OpenCV by up to 116
#   levels; of 28 x 28 by 6.
# Remedy: for small images OpenCV's formula, or scikit-image's `equalize_hist`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 torch==2.14.1 torchvision==0.29.1 \
    kornia==0.9.0 opencv-python-headless==5.0.0.93 scikit-learn==1.9.1 numpy==2.4.6

cat >equalized.py <<'END'
import sys

import cv2
import kornia
import numpy as np
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from torchvision.transforms.v2 import functional


def with_pillow(image):
    return np.array(ImageOps.equalize(Image.fromarray(image)))


def with_torchvision(image):
    return functional.equalize(torch.from_numpy(image)[None])[0].numpy()


def with_kornia(image):
    levels = kornia.enhance.equalize(torch.from_numpy(image)[None, None] / 255) * 255
    return levels.round().to(torch.uint8)[0, 0].numpy()


LIBRARIES = {
    "Pillow": with_pillow,
    "torchvision": with_torchvision,
    "Kornia": with_kornia,
    "OpenCV": cv2.equalizeHist,
}
digits = (load_digits().images / 16 * 255).round().astype(np.uint8)
unchanged = {
    name: sum(np.array_equal(equalize(image), image) for image in digits)
    for name, equalize in LIBRARIES.items()
}
print(f"of {len(digits)} digits unchanged: {unchanged}")

noise = np.random.default_rng(0)
seen = {}
for side in (22, 28):
    image = (noise.beta(2, 5, (side, side)) * 120).astype(np.uint8)
    made = {name: equalize(image).astype(int) for name, equalize in LIBRARIES.items()}
    apart = {name: int(abs(made[name] - made["OpenCV"]).max()) for name in made}
    white = {name: round(float((made[name] == 255).mean()), 2) for name in made}
    print(f"{side} x {side}: from OpenCV by {apart} levels; white: {white}")
    seen[side] = apart, white

three = [name for name in LIBRARIES if name != "OpenCV"]
if not (
    all(unchanged[name] == len(digits) for name in three)
    and unchanged["OpenCV"] == 0
    and all(seen[22][0][name] >= 100 and seen[22][1][name] > 0.4 for name in three)
    and seen[22][1]["OpenCV"] < 0.05
    and all(seen[28][0][name] <= 10 for name in three)
):
    print("CHANGED")
    sys.exit(1)
print("as described: small images are not equalised, or by half")
END

venv/bin/python equalized.py
