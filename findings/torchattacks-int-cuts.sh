#!/usr/bin/env bash
# torchattacks 3.5.1 saves sets of 8 bits by cutting fractions off, so that perturbations shrink, to one side only.
#
# Behaviour: save(..., save_type="int") writes (images * 255) as uint8 without rounding. What is a whole level but
#   for float32's rounding loses all of it: a perturbation of +8/255 is 7/255 for some levels, and one of -8/255 is
#   9/255, outside the ball. The robust accuracy that `save` reports is that of the images before.
# Guess: rounded to the nearest level, 8/255 stays 8/255.
# Seen: of all 256 levels, moved by +8/255 and by -8/255 as FGSM moves them, see the last line.
# Remedy: save floats, or round; and evaluate what was read back.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 torchattacks==3.5.1

cat >saved.py <<'END'
import sys

import torch
from torch import nn
from torchattacks import FGSM
from torch.utils.data import DataLoader, TensorDataset


class Bright(nn.Module):
    """Two classes, by the mean of the pixels: FGSM adds to the first, and takes from the second."""

    def forward(self, images):
        mean = images.flatten(1).mean(1)
        return torch.stack([-mean, mean], 1)


# Every level that neither way leaves the range.
levels = torch.arange(8, 248, dtype=torch.uint8)
images = (levels.float() / 255).view(1, 1, 15, 16).expand(2, 1, 15, 16).contiguous()
attack = FGSM(Bright(), eps=8 / 255)
loader = DataLoader(TensorDataset(images, torch.tensor([0, 1])), batch_size=2)
attack.save(loader, save_path="set.pt", verbose=False, save_type="int", save_clean_inputs=True)
read = torch.load("set.pt", weights_only=True)
clean = read["clean_inputs"].int().flatten(1)
moved = read["adv_inputs"].int().flatten(1) - levels.int()
lost = (clean != levels.int()).sum().item()
print("clean levels that are not what they were:", lost)
for name, row in zip(("up", "down"), moved, strict=True):
    values, counts = row.unique(return_counts=True)
    print(name, dict(zip(values.tolist(), counts.tolist(), strict=True)))
short, beyond = (moved[0] == 7).sum().item(), (moved[1] == -9).sum().item()
nearest = (attack(images, torch.tensor([0, 1])) * 255).round().int().flatten(1) - levels.int()
is_right = bool((nearest[0] == 8).all() and (nearest[1] == -8).all())
if not (short and beyond and is_right):
    print("CHANGED")
    sys.exit(1)
print(f"as described: of 240 levels {short} move by 7 up, {beyond} by 9 down; rounded, all by 8")
END

venv/bin/python saved.py
