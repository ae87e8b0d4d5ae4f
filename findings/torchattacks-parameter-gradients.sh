#!/usr/bin/env bash
# torchattacks 3.5.1: some attacks leave gradients in the model's parameters, others do not.
#
# Behaviour: FGSM, PGD, APGD and most others ask for the gradient of the image alone. FAB, DeepFool, CW,
#   JSMA and SparseFool call `backward()`, and so add to `.grad` of every parameter; AutoAttack does
#   because of its FAB. Nothing says which do.
# Guess: an attack leaves the model as it was, its gradients too, or all of them behave alike.
# Seen: after one call, with gradients None before, the largest entry of the first layer's gradient is 9
#   to 30 (an untrained convolution on random images; 800 to 40,000 on one trained on digits). In a
#   training loop that calls `zero_grad()` before it makes the adversarial batch, as fits FGSM and PGD,
#   the optimiser's step then follows the attack: after DeepFool it is 72 times as long as after FGSM.
# Remedy: `zero_grad()` between the attack and the loss, or `requires_grad_(False)` while attacking.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 scipy==1.17.1 torchattacks==3.5.1

cat >gradients.py <<'END'
import sys

import torch
import torchattacks
from torch import nn

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10)
).eval()
images = torch.rand(8, 1, 8, 8)
labels = model(images).argmax(1)
loss = nn.CrossEntropyLoss()


def largest():
    given = model[0].weight.grad
    model.zero_grad()
    return 0.0 if given is None else float(given.abs().max())


def step_after(attack):
    """How far a step of SGD goes whose gradients were set to zero before the attack."""
    model.zero_grad()
    made = attack(images, labels)
    loss(model(made), labels).backward()
    return largest()


attacks = {
    "FGSM": torchattacks.FGSM(model, eps=0.1),
    "PGD": torchattacks.PGD(model, eps=0.1),
    "APGD": torchattacks.APGD(model, eps=0.1),
    "Square": torchattacks.Square(model, eps=0.1, n_queries=100),
    "FAB": torchattacks.FAB(model, eps=0.1),
    "DeepFool": torchattacks.DeepFool(model),
    "CW": torchattacks.CW(model),
    "JSMA": torchattacks.JSMA(model, gamma=0.1),
    "SparseFool": torchattacks.SparseFool(model, steps=3),
    "AutoAttack": torchattacks.AutoAttack(model, eps=0.001, n_classes=10),
}
leave = []
for name, attack in attacks.items():
    model.zero_grad()
    attack(images, labels)
    left = largest()
    print(f"{name}: {left:.3g}")
    leave += [name] * (left > 0)
ratio = step_after(attacks["DeepFool"]) / step_after(attacks["FGSM"])
print(f"a step after DeepFool / after FGSM: {ratio:.0f}")
if leave != ["FAB", "DeepFool", "CW", "JSMA", "SparseFool", "AutoAttack"] or ratio < 20:
    sys.exit(f"CHANGED: {leave}, {ratio}")
END

venv/bin/python gradients.py
echo "as described: six of these ten add to the gradients of the parameters"
