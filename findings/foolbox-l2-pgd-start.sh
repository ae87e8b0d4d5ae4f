#!/usr/bin/env bash
# Foolbox 3.3.4: PGD in l2 with its defaults, 50 steps, is weaker than one step of the fast gradient method.
#
# Behaviour: it starts at a random point of the ball, and makes 50 steps of 0.025 eps. Each projection onto the sphere
#   shrinks what was there before by about 1 / 1.025, so that 0.3 of the random start are still there at the end.
#   With Adam it is the same.
# Guess: 50 steps leave no more than one; a random start is forgotten.
# Seen: on linear classifiers of two classes, where one step along the gradient is the best there is, PGD moves the
#   margin 0.85 as far, whether the images have 784 or 150,528 values, with Adam 0.79. Of 898 digits before a logistic
#   regression, eps = 1, one step leaves 12.7 %, PGD 15.7, with Adam 27.2, with steps of 0.1 eps 2.7.
# Remedy: rel_stepsize=0.1, or random_start=False: then it moves the margin as far.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    foolbox==3.3.4 torch==2.14.1 numpy==2.4.6 scikit-learn==1.9.1

cat >start.py <<'END'
import sys
import warnings

import foolbox
import torch
from foolbox.attacks import L2AdamPGD, L2FastGradientAttack, L2PGD
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

warnings.simplefilter("ignore")
torch.manual_seed(0)
ATTACKS = {
    "one step": L2FastGradientAttack(),
    "PGD": L2PGD(),
    "PGD with Adam": L2AdamPGD(),
    "PGD, rel_stepsize=0.1": L2PGD(rel_stepsize=0.1),
    "PGD, random_start=False": L2PGD(random_start=False),
}


class Half(nn.Module):
    """Which side of a hyperplane through the middle of [0, 1]^n an image lies on."""

    def __init__(self, values):
        super().__init__()
        self.weights = torch.randn(values)
        self.weights /= self.weights.norm()

    def forward(self, images):
        side = (images.flatten(1) - 0.5) @ self.weights
        return torch.stack([side, -side], 1)


moved = {name: [] for name in ATTACKS}
for shape in ((1, 28, 28), (3, 224, 224)):
    half = Half(torch.Size(shape).numel()).eval()
    images = 0.45 + 0.1 * torch.rand(20, *shape)
    labels = half(images).argmax(1, keepdim=True)
    for name, attack in ATTACKS.items():
        model = foolbox.PyTorchModel(half, bounds=(0, 1))
        _, found, _ = attack(model, images, labels[:, 0], epsilons=0.5)
        gained = (half(images) - half(found)).gather(1, labels)
        moved[name].append(gained.mean().item() / 0.5)
for name, shares in moved.items():
    print(f"{name}: the margin moves by", " and ".join(f"{share:.3f} eps" for share in shares))

digits = load_digits()
pixels, classes = digits.data / 16, digits.target
fitted = LogisticRegression(max_iter=1000).fit(pixels[::2], classes[::2])
linear = nn.Linear(64, 10)
linear.weight.data = torch.tensor(fitted.coef_, dtype=torch.float32)
linear.bias.data = torch.tensor(fitted.intercept_, dtype=torch.float32)
model = foolbox.PyTorchModel(linear.eval(), bounds=(0, 1))
images = torch.tensor(pixels[1::2], dtype=torch.float32)
labels = torch.tensor(classes[1::2])
left = {}
for name, attack in ATTACKS.items():
    *_, fooled = attack(model, images, labels, epsilons=1.0)
    left[name] = (~fooled).float().mean().item()
    print(f"{name}: {left[name]:.1%} of {len(images)} digits are left")

expected = {
    "one step": (0.99, 1.01),
    "PGD": (0.80, 0.90),
    "PGD with Adam": (0.72, 0.87),
    "PGD, rel_stepsize=0.1": (0.99, 1.01),
    "PGD, random_start=False": (0.99, 1.01),
}
as_seen = all(low <= share <= high for name, (low, high) in expected.items() for share in moved[name])
if not (as_seen and left["PGD"] > left["one step"]):
    print("CHANGED")
    sys.exit(1)
print("as described: 50 steps are weaker than one")
END

venv/bin/python start.py
