#!/usr/bin/env bash
# torchattacks 3.5.1: CW moves no pixel that is 0 or 1, and nothing at all where all logits are negative.
#
# Behaviour: tanh⁻¹ of a black or white pixel is infinite, and is not kept away from that: tanh has no slope
#   there, and the pixel stays as it is, whatever `c` and `steps` are. And the logits of the true class and
#   of the others are singled out by a product with 0 and 1 and a maximum: where all logits are negative
#   both are 0, the margin and its gradient too. What comes back is the image, without a word.
# Guess: binary images are drawn in by a hair, as in the code of the paper; only differences of logits
#   count, so that 20 less for each class, or log-probabilities, change nothing.
# Seen: a logistic regression on black-and-white digits leaves 89 % of 300, as many as without an attack,
#   and 0 % if the same images are drawn in by 0.0001 first. On digits of 17 levels 0 % are left, and no
#   pixel of 0 or 1 has moved, more than half of all. With 20 less for each class, or behind LogSoftmax, 93
#   % are left, as many as clean.
# Remedy: draw images in first; give it logits to which a constant was added that makes all of them
#   positive.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    torch==2.14.1 torchvision==0.29.1 torchattacks==3.5.1 numpy==2.4.6 scikit-learn==1.9.1

cat >edges.py <<'END'
import sys

import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn
from torchattacks import CW

torch.manual_seed(0)
digits = load_digits()
labels = torch.tensor(digits.target[1::2])[:300]


def build(pixels, below=0, last=nn.Identity):
    """A logistic regression whose logits are all less by `below`, with what comes last."""
    fitted = LogisticRegression(max_iter=2000).fit(pixels[::2], digits.target[::2])
    layer = nn.Linear(64, 10)
    layer.weight.data = torch.tensor(fitted.coef_, dtype=torch.float32)
    layer.bias.data = torch.tensor(fitted.intercept_, dtype=torch.float32) - below
    return nn.Sequential(nn.Flatten(), layer, last()).eval()


def attack(name, model, images, start):
    """What is left, clean and attacked, and how far pixels of 0 and 1 have moved at most."""
    found = CW(model, c=100, steps=500, lr=0.05)(start, labels)
    clean, left = ((model(batch).argmax(1) == labels).float().mean().item() for batch in (images, found))
    edge = (start == 0) | (start == 1)
    moved = (found - start).abs()[edge].max().item() if edge.any() else None
    print(f"{name}: {left:.1%} left of {clean:.1%}; {edge.float().mean():.0%} at the edge moved {moved}")
    return clean, left, moved


gray = digits.data / 16
binary = (gray > 0.5).astype(float)
seen = {}
for name, pixels in (("black and white", binary), ("17 levels", gray)):
    images = torch.tensor(pixels[1::2], dtype=torch.float32).view(-1, 1, 8, 8)[:300]
    model = build(pixels)
    seen[name] = attack(name, model, images, images)
    seen[f"{name}, drawn in"] = attack(f"{name}, drawn in", model, images, 0.0001 + 0.9998 * images)
inner = 0.0001 + 0.9998 * images
for name, model in (
    ("20 less for each class", build(gray, below=20)),
    ("log-probabilities", build(gray, last=lambda: nn.LogSoftmax(1))),
):
    seen[name] = attack(f"{name}, drawn in", model, images, inner)

unharmed = ("black and white", "20 less for each class", "log-probabilities")
fooled = ("17 levels", "black and white, drawn in", "17 levels, drawn in")
as_seen = all(seen[name][0] == seen[name][1] > 0.8 for name in unharmed)
as_seen = as_seen and all(seen[name][1] < 0.02 for name in fooled)
if not (as_seen and seen["black and white"][2] == seen["17 levels"][2] == 0):
    print("CHANGED")
    sys.exit(1)
print("as described: black and white pixels stay, and so does all where logits are negative")
END

venv/bin/python edges.py
