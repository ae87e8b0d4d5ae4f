#!/usr/bin/env bash
# adv-lib 0.2.8: `pgd_linf` throws its last step away, and gives clean images back where it fails.
#
# Behaviour: a step is looked at when the next begins, and nobody looks at the last. So `steps=1` from the image,
#   which is FGSM, moves nothing at all, and n steps are n - 1. What is kept is the last point that was
#   misclassified; where there was none, the image itself comes back, not the worst point that was met. A set of
#   these, put through a filter, tells what the filter does to clean images wherever the network held out.
# Guess: one step of ε from the image is FGSM; where the network holds out, the image comes back at a distance of ε.
# Seen: of two images before a linear model, one 0.05 away from the boundary and one 0.4, with ε = 0.1: one step
#   moves both by 0; two steps, and 40 from random starts, fool the first, and move the other by 0.
# Remedy: ask for one step more, and keep in mind which images came back as they were.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
pip() { venv/bin/pip --disable-pip-version-check "$@"; }
# visdom, which adv-lib imports, is built with a setuptools that still has pkg_resources.
pip install --quiet torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 setuptools==80.9.0 wheel==0.45.1
pip install --quiet --no-build-isolation adv-lib==0.2.8

cat >steps.py <<'END'
import sys

import torch
from adv_lib.attacks import pgd_linf

normal = torch.tensor([1.0, -1.0, 1.0, -1.0])


def model(images):
    score = images.flatten(1) @ normal
    return torch.stack([score, -score], dim=1)


images = torch.tensor([[0.55, 0.45, 0.55, 0.45], [0.9, 0.1, 0.9, 0.1]]).view(2, 1, 2, 2)
labels = torch.zeros(2, dtype=torch.long)
EPS = 0.1


def moved(**settings):
    found = pgd_linf(model, images, labels, EPS, **settings)
    return [round(distance, 4) for distance in (found - images).abs().flatten(1).amax(1).tolist()]


fgsm = images - EPS * normal.sign().view(1, 2, 2)
print(f"FGSM fools: {(model(fgsm).argmax(1) != labels).tolist()}")
seen = {
    "one step": moved(steps=1, random_init=False, relative_step_size=1),
    "two steps": moved(steps=2, random_init=False, relative_step_size=1),
    "40 steps, random start": moved(steps=40),
}
for name, distances in seen.items():
    print(f"{name}: the images are {distances} away")
first, second, many = seen.values()
if first != [0, 0] or second != [EPS, 0] or not many[0] or many[1]:
    print("CHANGED")
    sys.exit(1)
print("as described: the last step is lost, and what is not fooled comes back clean")
END

venv/bin/python steps.py
