#!/usr/bin/env bash
# torchattacks 3.5.1: Square, FAB, APGD and AutoAttack set torch's global seed to 0 at every call.
#
# Behaviour: whatever seed the program has set, after a call torch draws on from the attack's own seed (0 unless
#   `seed=` says otherwise). A filter or network that draws (noise, random resizing, dropout) draws the same again
#   after each batch, each batch of the attack has the same draws, and a loop over several global seeds is one run.
# Guess: they draw from a generator of their own, or put the state back.
# Seen: noise that is drawn after a call is the same for two global seeds, and for two batches; with PGD it differs.
# Remedy: give each attack another `seed`, and set the global one after each call (torch.random.fork_rng).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 torchattacks==3.5.1

cat >seeds.py <<'END'
import sys

import torch
from torch import nn
from torchattacks import APGD, FAB, PGD, Square

torch.manual_seed(3)
model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4)).eval()
images = torch.rand(8, 1, 4, 4)
labels = model(images).argmax(1)
ATTACKS = {
    "PGD": PGD(model, eps=0.1, steps=2),
    "APGD": APGD(model, eps=0.1, steps=2),
    "FAB": FAB(model, eps=0.1, steps=2, n_classes=4),
    "Square": Square(model, eps=0.1, n_queries=5),
}


def drawn_after(attack, seed):
    """What a random filter would draw, after an attack on each of two batches."""
    torch.manual_seed(seed)
    found = []
    for batch in (slice(0, 4), slice(4, 8)):
        attack(images[batch], labels[batch])
        found.append(torch.rand(3))
    return found


found = {}
for name, attack in ATTACKS.items():
    first, second = drawn_after(attack, 1), drawn_after(attack, 2)
    found[name] = bool(torch.equal(first[0], second[0]) and torch.equal(first[1], second[1]))
    print(f"{name}: the same noise for global seeds 1 and 2: {found[name]}")
if found != {"PGD": False, "APGD": True, "FAB": True, "Square": True}:
    print("CHANGED")
    sys.exit(1)
print("as described: the global seed has no say after APGD, FAB and Square")
END

venv/bin/python seeds.py
