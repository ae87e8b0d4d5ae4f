#!/usr/bin/env bash
# scikit-image 0.26.0: `denoise_wavelet` makes every pixel of an image without fine diagonal details NaN.
#
# Behaviour: it estimates the noise as the median of the finest diagonal details that are not 0. Where all of
#   them are 0 that is the median of nothing, NaN; the threshold is NaN then, and with it all that a soft
#   threshold touches. Warnings of NumPy aside, nobody is told.
# Guess: without noise nothing is taken away, and the image comes back.
# Seen: a bar on black, black, white, and two halves: 784 of 784 pixels are NaN, by both methods, with the
#   default mode `soft`. With `hard`, or a stated sigma, none is. Of a colour image of noise without any blue,
#   the blue channel is NaN.
# Remedy: state sigma; or look for NaN, and give back the image.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    scikit-image==0.26.0 PyWavelets==1.9.0 numpy==2.4.6 scipy==1.17.1

cat >flat.py <<'END'
import sys
import warnings

import numpy as np
from skimage.restoration import denoise_wavelet

warnings.simplefilter("ignore")
bar, halves = np.zeros((28, 28)), np.zeros((28, 28))
bar[8:20, 12:15], halves[:, 14:] = 0.9, 1
plain = {"bar": bar, "halves": halves, "black": np.zeros((28, 28)), "white": np.ones((28, 28))}


def undefined(image, **how):
    return int(np.isnan(denoise_wavelet(image, **how)).sum())


seen = {
    "soft": [undefined(image, method=m) for image in plain.values() for m in ("BayesShrink", "VisuShrink")],
    "hard": [undefined(image, mode="hard") for image in plain.values()],
    "sigma": [undefined(image, sigma=0.1) for image in plain.values()],
}
colour = np.random.default_rng(0).random((32, 32, 3))
colour[..., 2] = 0
seen["blue"] = undefined(colour, channel_axis=-1)
for name, count in seen.items():
    print(f"NaN pixels, {name}: {count}")
if seen != {"soft": [784] * 8, "hard": [0] * 4, "sigma": [0] * 4, "blue": 32 * 32}:
    sys.exit(f"CHANGED: {seen}")
END

venv/bin/python flat.py
echo "as described: without diagonal details all is NaN"
