#!/usr/bin/env bash
# adv-lib 0.2.8: `apgd` with `best_loss=True` makes 100 steps, whatever `n_iter` says.
#
# Behaviour: that branch hands neither `n_iter` nor `use_large_reps` on. So a sweep over the number of steps draws
#   a flat line, which reads as an attack that has converged. Without it an image that is not fooled comes back
#   clean (as of `pgd_linf`), so that it is what somebody takes who needs a perturbed image each.
# Guess: 5 and 20 steps ask the network some 6 and 21 times.
# Seen: without `best_loss` 6 and 21 times, with it 101 times for either.
# Remedy: bind `n_iter` in a copy of the function, or take another Auto-PGD where the number of steps matters.
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
from adv_lib.attacks import apgd

normal = torch.tensor([1.0, -1.0, 1.0, -1.0])
images = torch.tensor([0.9, 0.1, 0.9, 0.1]).view(1, 1, 2, 2)
labels = torch.zeros(1, dtype=torch.long)


def asked(steps, best_loss):
    """How often the network is asked, and how far the image comes back that nothing can fool."""
    calls = []

    def model(given):
        calls.append(len(given))
        score = given.flatten(1) @ normal
        return torch.stack([score, -score], dim=1)

    found = apgd(
        model,
        images,
        labels,
        eps=0.1,
        norm=float("inf"),
        n_iter=steps,
        loss_function="ce",
        best_loss=best_loss,
    )
    return len(calls), round(float((found - images).abs().max()), 4)


seen = {(steps, best): asked(steps, best) for best in (False, True) for steps in (5, 20)}
for (steps, best), (calls, distance) in seen.items():
    print(f"n_iter={steps}, best_loss={best}: asked {calls} times, the image is {distance} away")
if list(seen.values()) != [(6, 0), (21, 0), (101, 0.1), (101, 0.1)]:
    print("CHANGED")
    sys.exit(1)
print("as described: with best_loss, n_iter has no say")
END

venv/bin/python steps.py
