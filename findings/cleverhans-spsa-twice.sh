#!/usr/bin/env bash
# CleverHans 4.0.0: SPSA for torch estimates its gradients at twice the image, not at the image it has moved.
#
# Behaviour: `_compute_spsa_gradient` is handed the image and a loss of the perturbation, and calls the loss
#   with image + noise; the loss adds the image once more. So all evaluations are at 2x ± delta, out of the
#   ball and of [clip_min, clip_max], in each of the iterations, wherever the perturbation has come to.
# Guess: the model sees images in the ball, or delta beyond, and the attack comes near PGD.
# Seen: a model is asked for values up to 2.01, with clip_max = 1 and eps = 0.15. An MLP behind a clamp to
#   [0, 1] knows digits on white paper; twice these are white but for the darkest ink. Of 100 digits, 93
#   right when clean, SPSA leaves 69 in 50 iterations, and 15 if the image is added but once; PGD leaves 39.
# Remedy: another implementation; look at which values a model is asked for.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
pip() { venv/bin/pip --disable-pip-version-check "$@"; }
pip install --quiet torch==2.14.1 numpy==2.4.6 scikit-learn==1.9.1
# Of what it depends on, its attacks for torch need no more than that.
pip install --quiet --no-deps cleverhans==4.0.0

cat >twice.py <<'END'
import sys

import torch
from cleverhans.torch.attacks import spsa as module
from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent
from sklearn.datasets import load_digits
from torch import nn

EPS = 0.15
torch.manual_seed(0)
digits = load_digits()
pixels = 1 - torch.tensor(digits.data / 16, dtype=torch.float32)
classes = torch.tensor(digits.target)


class Paper(nn.Module):
    """An MLP for dark digits on white paper, behind a clamp; it notes the range of what it is asked for."""

    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.low, self.high = 0.0, 0.0

    def forward(self, images):
        self.low, self.high = min(self.low, images.min().item()), max(self.high, images.max().item())
        return self.mlp(images.clamp(0, 1))


model = Paper()
optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=1e-3)
for _ in range(300):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(pixels[::2]), classes[::2]).backward()
    optimizer.step()
images, labels = pixels[1::2][:100], classes[1::2][:100]
seen = {}


def evaluate(name, attack):
    """Which share of the images is left, and what range the model was asked for meanwhile."""
    model.low, model.high = 0.0, 0.0
    found = attack()
    asked = model.low, model.high
    left = (model(found).argmax(1) == labels).float().mean().item()
    seen[name] = left, asked
    print(f"{name}: {left:.0%} left; asked for values of {asked[0]:.2f} to {asked[1]:.2f}")


def spsa():
    torch.manual_seed(0)
    return module.spsa(model, images, EPS, 50, clip_min=0, clip_max=1, y=labels)


def spsa_at_the_image():
    """The same, but what is added to the image is the noise alone."""
    estimate = module._compute_spsa_gradient
    module._compute_spsa_gradient = lambda loss, x, **rest: estimate(lambda v: loss(v - x), x, **rest)
    try:
        return spsa()
    finally:
        module._compute_spsa_gradient = estimate


evaluate("clean", lambda: (model(images), images)[1])
evaluate("SPSA", spsa)
evaluate("SPSA, at the image", spsa_at_the_image)
evaluate(
    "PGD",
    lambda: projected_gradient_descent(model, images, EPS, 0.02, 50, float("inf"), 0, 1, y=labels),
)
as_seen = seen["SPSA"][1][1] > 1.9 and seen["SPSA, at the image"][1][1] < 1.02
if not (as_seen and seen["SPSA"][0] > seen["SPSA, at the image"][0] + 0.3):
    print("CHANGED")
    sys.exit(1)
print("as described: gradients are estimated at twice the image")
END

venv/bin/python -W ignore twice.py
