#!/usr/bin/env bash
# Foolbox 3.3.4: `VirtualAdversarialAttack` returns images that are NaN, and counts them as fooled.
#
# Behaviour: by default it looks for its direction at xi = 1e-6 from the image. In float32 the divergence of the
#   predictions there is often 0, and so is its gradient, by whose length the attack divides. NaN logits have
#   the class 0 by argmax, so that each such image of another class counts as a success.
# Guess: at worst the direction stays the random one that it begins with.
# Seen: a linear model of two classes, 200 images, 5 steps, epsilon 0.001: 64 images are NaN; the 40 of class 1
#   among them count as fooled, and nothing else does. With xi = 1e-3 none is NaN, and 2 are fooled.
# Remedy: pass xi = 1e-3 or more; look for NaN in what an attack returns before anything is counted.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 foolbox==3.3.4

cat >vat.py <<'END'
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
target, seen = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), []
for xi in (1e-6, 1e-3):
    attack = foolbox.attacks.VirtualAdversarialAttack(steps=5, xi=xi)
    _, found, fooled = attack(target, images, labels, epsilons=0.001)
    undefined = found.isnan().flatten(1).any(1)
    counted = undefined & (labels == 1)
    print(
        f"xi = {xi}: {int(undefined.sum())} of 200 images are NaN; {int((fooled & undefined).sum())} of "
        f"them count as fooled, {int(counted.sum())} have the class 1; {int(fooled.sum())} are fooled in all"
    )
    seen.append((int(undefined.sum()), bool((fooled[undefined] == (labels[undefined] == 1)).all())))
(many, are_counted), (none, _) = seen
if not (many > 20 and are_counted and none == 0):
    sys.exit(f"CHANGED: {seen}")
END

venv/bin/python -W ignore vat.py
echo "as described: NaN images count as fooled"
