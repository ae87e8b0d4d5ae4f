#!/usr/bin/env bash
# CleverHans 4.0.0: in l2, FGM and PGD move an image less the larger its batch is, confident ones hardly.
#
# Behaviour: the loss is the mean of the batch, so that the gradient of an image is divided by their number.
#   It is brought to the length eps by max(‖gradient‖², 1e-12): below a length of 1e-6 the step is shorter
#   in proportion. That far down is each image of a large batch that is right with confidence, some a
#   millionth of a step. An assertion in the library makes an exception of them; nothing is said.
# Guess: each image moves by eps, in whatever batch; a batch is a matter of speed.
# Seen: of 898 digits before an MLP, 94 % clean, FGM with eps = 1 leaves 41 % one by one, 49 in batches of
#   16, 58 of 128, and 66 in one; 42, 53, 63 and 71 % of the images move by less than 0.99 eps. PGD with eps
#   = 0.5 leaves 29, 37, 44 and 53 %. One step of length 1 along the same gradients, in float64 and without
#   the floor, leaves none.
# Remedy: small batches, and logits divided by ten, which lengthens the gradients of confident images: FGM
#   leaves 0.4 % then, in one batch. Look at how far images have moved.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
pip() { venv/bin/pip --disable-pip-version-check "$@"; }
pip install --quiet torch==2.14.1 numpy==2.4.6 scikit-learn==1.9.1
# Of what it depends on, its attacks for torch need no more than that.
pip install --quiet --no-deps cleverhans==4.0.0

cat >batch.py <<'END'
import sys

import torch
from cleverhans.torch.attacks.fast_gradient_method import fast_gradient_method
from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(0)
digits = load_digits()
pixels, classes = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), 0.01)
for _ in range(300):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(pixels[::2]), classes[::2]).backward()
    optimizer.step()
images, labels = pixels[1::2], classes[1::2]


def share_left(found):
    return (model(found).argmax(1) == labels).float().mean().item()


def by_hand(images, labels):
    """One step of length 1 along the gradient of each image, in float64 and without a floor."""
    exact = nn.Sequential(*model).double()
    found = images.double().requires_grad_()
    loss = nn.functional.cross_entropy(exact(found), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, found)
    model.float()
    return (images + gradient / gradient.norm(dim=1, keepdim=True)).float()


clean, full = share_left(images), share_left(by_hand(images, labels))
print(f"clean: {clean:.1%}; one step without a floor leaves {full:.1%}")
seen = []
for batch in (1, 16, 128, len(images)):
    pairs = list(zip(images.split(batch), labels.split(batch), strict=True))
    step = torch.cat([fast_gradient_method(model, x, 1.0, 2, y=y).detach() for x, y in pairs])
    pgd = [projected_gradient_descent(model, x, 0.5, 0.05, 40, 2, y=y, rand_init=False) for x, y in pairs]
    steps = torch.cat(pgd).detach()
    short = ((step - images).norm(dim=1) < 0.99).float().mean().item()
    seen.append((share_left(step), share_left(steps), short))
    print(
        f"batches of {batch}: FGM leaves {seen[-1][0]:.1%}, {short:.1%} move by less than 0.99 eps; "
        f"PGD leaves {seen[-1][1]:.1%}"
    )
rises = all(after > before + 0.03 for one, two in zip(seen, seen[1:]) for before, after in zip(one, two))
if not (rises and seen[0][2] > 0.3 and full < 0.02):
    print("CHANGED")
    sys.exit(1)
print("as described: the larger the batch, the shorter the step")
END

venv/bin/python -W ignore batch.py
