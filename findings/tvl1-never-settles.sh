#!/usr/bin/env bash
# OpenCV 5.0.0: `denoise_TVL1` makes ripples, never settles, and leaves the first pixel as it is.
#
# Behaviour: it is to minimise TV(u) + λ ‖u - f‖₁ by the primal-dual method of Chambolle and Pock. That
#   method steps to a new u, and gives the dual step a point beyond it, 2u - (the u before). OpenCV keeps
#   the point beyond as u, and steps on from there: nothing converges. In the divergence the first row and
#   the first column take the neighbour outside the image for their own, which cancels their part. Total
#   variation does not reach the pixel in the corner.
# Guess: a grey image with one bright pixel becomes grey, as TV with ℓ1 is known to remove salt and pepper.
# Seen: 21 x 21 of level 100 and one pixel of 200, λ = 1. The method itself gives 100 everywhere. OpenCV
#   leaves ripples of 3 to 8 levels with 30 iterations, the default, and of 5 to 17 with 3000. A bright
#   pixel in the corner at the top left stays at 200; one in the opposite corner goes.
# Remedy: the method in ten lines of NumPy, as below.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6

cat >ripples.py <<'END'
import sys

import cv2
import numpy as np

SIDE, GREY, WHITE = 21, 100, 200
PLACES = {"middle": (10, 10), "left": (10, 0), "right": (10, 20), "first": (0, 0), "last": (20, 20)}


def opencv(image, rounds):
    made = np.zeros_like(image)
    cv2.denoise_TVL1([image], made, 1.0, rounds)
    return made.astype(int)


def primal_dual(image, rounds, tau=0.25, sigma=0.5):
    """Chambolle & Pock 2011, algorithm 1, with λ = 1; tau · sigma · 8 is at most 1."""
    given = image / 255
    u = beyond = given
    p = np.zeros((2, *image.shape))
    for _ in range(rounds):
        p[0, :-1] += sigma * np.diff(beyond, axis=0)
        p[1, :, :-1] += sigma * np.diff(beyond, axis=1)
        p /= np.maximum(np.sqrt((p**2).sum(0)), 1)
        divergence = np.diff(p[0], axis=0, prepend=0) + np.diff(p[1], axis=1, prepend=0)
        away = u + tau * divergence - given
        new = given + np.sign(away) * np.maximum(np.abs(away) - tau, 0)
        u, beyond = new, 2 * new - u
    return (u * 255).round().astype(int)


found = {}
for place, at in PLACES.items():
    image = np.full((SIDE, SIDE), GREY, np.uint8)
    image[at] = WHITE
    elsewhere = image == GREY
    for rounds in (30, 300, 3000):
        made = opencv(image, rounds)
        found[place, rounds] = int(made[at]), int(np.abs(made - GREY)[elsewhere].max())
    itself = primal_dual(image, 3000)
    print(f"{place}: the method {itself[at]}, elsewhere at most {np.abs(itself - GREY).max()} away;")
    print("    OpenCV, by iterations:", {rounds: found[place, rounds] for rounds in (30, 300, 3000)})
    if (itself != GREY).any():
        sys.exit("the method does not settle")

ripples = [away for place, rounds in found for away in found[place, rounds][1:]]
if not (
    all(found["first", rounds][0] == WHITE for rounds in (30, 300, 3000))
    and found["last", 3000][0] < 110
    and min(ripples) >= 2
    and found["left", 3000][1] >= 10
):
    sys.exit("CHANGED: it settles")
END

venv/bin/python ripples.py
echo "as described: a primal-dual method that keeps the wrong point"
