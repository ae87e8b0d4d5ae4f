#!/usr/bin/env bash
# ART 1.20.1: the preprocessor `JpegCompression` rounds pixels down before it compresses.
#
# Behaviour: images in [0, 1] are multiplied by 255 and cast to 8 bits, which cuts the fraction off. An
#   adversarial image is hardly ever at a multiple of 1/255: its pixels lose half a level in the mean.
# Guess: they are rounded to the nearest level, as Pillow's users do and as 8-bit images want it.
# Seen: at quality 100 a grey image of 100.9/255 comes out as 100/255, one of 99.9/255 as 99/255. So a
#   perturbation of +0.9/255 is removed for nothing, and one of -0.1/255 becomes ten times as large. On
#   uniform noise at quality 100 the mean falls by 0.50 levels; of images that were 8 bits, all 256
#   levels stay what they are, so that clean images look right.
# Remedy: round to multiples of 1/255 before the call, as the attack's last step or within the defence.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    adversarial-robustness-toolbox==1.20.1 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 \
    pillow==13.0.0 packaging six

cat >jpeg.py <<'END'
import sys

import numpy as np
from art.defences.preprocessor import JpegCompression

compress = JpegCompression(clip_values=(0, 1), quality=100, channels_first=True)


def grey(level):
    """What a grey image of that level comes out as, in levels of 8 bits."""
    images = np.full((1, 1, 8, 8), level / 255, dtype=np.float32)
    return round(float(compress(images)[0].mean()) * 255, 3)


seen = {level: grey(level) for level in (99.1, 99.9, 100, 100.5, 100.9)}
for level, out in seen.items():
    print(f"{level} of 255 comes out as {out}")
whole = [level for level in range(256) if grey(level) != level]
print(f"levels of 8 bits that change: {len(whole)}")
noise = np.random.default_rng(0).random((20, 1, 64, 64), dtype=np.float32)
lost = float((noise - compress(noise)[0]).mean()) * 255
print(f"uniform noise loses {lost:.2f} levels in the mean")
if [*seen.values()] != [99, 99, 100, 100, 100] or whole or not 0.45 < lost < 0.55:
    sys.exit("CHANGED")
END

venv/bin/python jpeg.py
echo "as described: pixels are rounded down, and only images that are not 8 bits show it"
