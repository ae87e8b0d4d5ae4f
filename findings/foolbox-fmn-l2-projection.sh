#!/usr/bin/env bash
# Foolbox 3.3.4: `L2FMNAttack` never projects onto its ball, and minimises next to nothing.
#
# Behaviour: its projection scales by min(1, norms / norms), which is 1, not by min(1, epsilon / norms). The
#   radius that the attack adapts is thus never used: every step goes on along the gradient, and the first
#   misclassified point, a whole step size away from the image, stays the nearest that is met.
# Guess: on a linear model the distances come within a few per cent of the distance to the boundary, as DDN's do.
# Seen: 200 of 200 images are fooled, at 5.4 times the distance to the boundary in the median, by 100 steps and
#   by 1,000 alike: more steps find nothing nearer. `DDNAttack` of the same library: 1.00 times. `LInfFMNAttack`
#   projects. So a comparison of minimum-norm attacks in l2, or a curve of accuracy over distance, is off.
# Remedy: use DDN, or Carlini & Wagner, there; compare a minimum-norm attack with another one of its norm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 foolbox==3.3.4

cat >fmn.py <<'END'
import sys

import foolbox
import torch

torch.manual_seed(1)
images = torch.rand(200, 1, 8, 8)
normal = torch.randn(64) / 8
layer = torch.nn.Linear(64, 2).requires_grad_(False)
layer.weight.copy_(torch.stack([torch.zeros(64), normal]))
layer.bias.copy_(torch.tensor([0.0, -float((images.flatten(1) @ normal).median())]))
model = torch.nn.Sequential(torch.nn.Flatten(), layer).eval()
labels = model(images).argmax(1)
boundary = (images.flatten(1) @ normal + layer.bias[1]).abs() / normal.norm()

target, seen = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), {}
for name, steps in (("L2FMNAttack", 100), ("L2FMNAttack", 1000), ("DDNAttack", 100)):
    attack = getattr(foolbox.attacks, name)(steps=steps)
    found, _, fooled = attack(target, images, labels, epsilons=None)
    distance = (found - images).flatten(1).norm(dim=1).median() / boundary.median()
    seen[name, steps] = round(float(distance), 2)
    print(f"{name}, {steps} steps: {int(fooled.sum())} of 200 fooled, at {distance:.2f} times the distance")
few, many, ddn = seen.values()
if not (few == many and few > 3 and ddn < 1.1):
    sys.exit(f"CHANGED: {seen}")
END

venv/bin/python -W ignore fmn.py
echo "as described: more steps of FMN in l2 come no nearer, and DDN is at the boundary"
