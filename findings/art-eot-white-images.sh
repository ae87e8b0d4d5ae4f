#!/usr/bin/env bash
# ART 1.20.1: its EoT of rotations makes images in [-1, 1] white, and that of shot noise nearly those in [0, 1].
#
# Behaviour: `EoTImageRotationPyTorch` clamps from below at minus the minimum of `clip_values`: at +1 for a
#   minimum of -1. `EoTShotNoisePyTorch` draws a Poisson number of mean lam for each pixel, whatever its
#   brightness, divides by lam and adds that: 1 in the mean. An attack through white pixels has no gradient.
# Guess: a rotated image keeps its levels, and the range makes no difference. Shot noise is of mean 0: the
#   number drawn has the pixel's level times lam as its mean.
# Seen: one and the same logistic regression on digits, once in [0, 1], once in [-1, 1]. PGD leaves 2 % in
#   both. Through rotations by up to 20 degrees it leaves 47 % in [0, 1], and in [-1, 1] all 93 % that were
#   right: it moves no pixel. An angle of 0 does the same. Shot noise of lam = 60 raises the mean of images from
#   0.31 to 0.97; PGD through it leaves 87 %, through Gaussian noise of the same spread 4 %.
# Remedy: give it images in [0, 1] and normalise inside of the model; write shot noise yourself.
# Source: art/preprocessing/expectation_over_transformation/image_rotation/pytorch.py and
#   natural_corruptions/shot_noise/pytorch.py beside it, both in `_transform`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    adversarial-robustness-toolbox==1.20.1 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 scipy==1.17.1 \
    scikit-learn==1.9.1 packaging six

cat >white.py <<'END'
import sys
import warnings
from importlib.metadata import version

import numpy as np
import torch

warnings.simplefilter("ignore")
from art.attacks.evasion import ProjectedGradientDescent  # noqa: E402
from art.estimators.classification import PyTorchClassifier  # noqa: E402
from art.preprocessing.expectation_over_transformation import (  # noqa: E402
    EoTGaussianNoisePyTorch,
    EoTImageRotationPyTorch,
    EoTShotNoisePyTorch,
)
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

print({name: version(name) for name in ("adversarial-robustness-toolbox", "torch", "torchvision")})
digits = load_digits()
fitted = LogisticRegression(max_iter=2000).fit(digits.data[::2] / 16, digits.target[::2])
labels = digits.target[1::2][:300]
onehot = np.eye(10, dtype=np.float32)[labels]
unit = (digits.images[1::2][:300, :, :, None] / 16).astype(np.float32)


def build(low, transform=None):
    """The logistic regression on images in [low, 1], which it brings to [0, 1], behind a transformation."""
    layer = torch.nn.Linear(64, 10)
    weight = torch.tensor(fitted.coef_, dtype=torch.float32) / (1 - low)
    layer.weight.data = weight
    layer.bias.data = torch.tensor(fitted.intercept_, dtype=torch.float32) - low * weight.sum(1)
    return PyTorchClassifier(
        torch.nn.Sequential(torch.nn.Flatten(), layer).eval(),
        torch.nn.CrossEntropyLoss(),
        input_shape=(8, 8, 1),
        nb_classes=10,
        channels_first=False,
        clip_values=(low, 1.0),
        preprocessing_defences=transform,
        device_type="cpu",
    )


def attack(low, transform=None):
    """What PGD through the transformation leaves of the model itself, clean and attacked, and its move."""
    np.random.seed(0)
    torch.manual_seed(0)
    images = low + (1 - low) * unit
    pgd = ProjectedGradientDescent(
        build(low, transform), eps=0.2 * (1 - low), eps_step=0.04 * (1 - low), max_iter=20, verbose=False
    )
    found = pgd.generate(images, onehot)
    model = build(low)
    clean, left = (float((model.predict(x).argmax(1) == labels).mean()) for x in (images, found))
    level = float(transform.forward(torch.tensor(images))[0].mean()) if transform else None
    return clean, left, float(np.abs(found - images).max()), level


spread = 60**-0.5  # the standard deviation of a Poisson number of mean 60, divided by 60
runs = {
    "[0, 1]": (0.0, None),
    "[-1, 1]": (-1.0, None),
    "[0, 1] rotated": (0.0, EoTImageRotationPyTorch(1, (0.0, 1.0), angles=20.0)),
    "[-1, 1] rotated": (-1.0, EoTImageRotationPyTorch(1, (-1.0, 1.0), angles=20.0)),
    "[-1, 1] rotated by 0": (-1.0, EoTImageRotationPyTorch(1, (-1.0, 1.0), angles=(0.0, 0.0))),
    "[0, 1] shot noise": (0.0, EoTShotNoisePyTorch(1, (0.0, 1.0), lam=(60.0, 60.0))),
    "[0, 1] Gaussian noise": (0.0, EoTGaussianNoisePyTorch(1, (0.0, 1.0), std=(spread, spread))),
}
print(f"mean of the images in [0, 1]: {unit.mean():.3f}")
seen = {}
for name, run in runs.items():
    seen[name] = clean, left, far, level = attack(*run)
    print(f"{name}: {left:.1%} left of {clean:.1%}, moved {far:.2f}, mean after the transformation {level}")

white = [seen[f"[-1, 1] {which}"] for which in ("rotated", "rotated by 0")]
as_seen = all(left == clean and far == 0 and level == 1 for clean, left, far, level in white)
as_seen = as_seen and seen["[0, 1] rotated"][1] < 0.7 and seen["[0, 1] shot noise"][3] > 0.95
as_seen = as_seen and max(seen[name][1] for name in ("[0, 1]", "[-1, 1]", "[0, 1] Gaussian noise")) < 0.1
if not (as_seen and seen["[0, 1] shot noise"][1] > 0.8 and unit.mean() < 0.35):
    sys.exit("CHANGED")
END

venv/bin/python white.py
echo "as described: the transformations leave white images, and an attack through them finds little or nothing"
