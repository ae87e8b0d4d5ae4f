#!/usr/bin/env bash
# torchmetrics 1.9.0: the area under the ROC curve of a detector depends on its unit, and on the batches.
#
# Behaviour: a batch with a score outside [0, 1] is taken for logits, and a sigmoid is applied to all of it:
#   documented. In float32 that is 1 from 17 on, and all such scores tie. Distances, divergences and squared
#   errors are no logits, and ties give 0.5, without a warning. It is decided by `update`, batch by batch:
#   where some batches are within [0, 1] and others are not, the former are not mapped, and the order of
#   their scores among the others is lost.
# Guess: the area is a matter of order; neither the unit of the scores nor the cut into batches changes it.
# Seen: squared distances of 1,796 digits, half of them with noise, from the plane of the first 20 principal
#   components. The area is 0.976 by scikit-learn, whatever the unit. Here it is 0.976 for pixels in [0, 1],
#   and 0.500 for the same pixels in [0, 16], as in the data set, or in [0, 255]; at 5 % of false alarms
#   none is caught then, not 84 %. With pixels in [0, 1] it is 0.920 one by one, and 0.968 in batches of 4.
# Remedy: map all scores into [0, 1] beforehand, by their ranks, say.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6 scikit-learn==1.9.1

cat >unit.py <<'END'
import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from torchmetrics.classification import BinaryAUROC, BinaryROC

pixels = load_digits().data / 16
plane = PCA(20, random_state=0).fit(pixels[::2])
rng = np.random.default_rng(0)
clean = pixels[1::2]
noisy = np.clip(clean + rng.choice([-0.2, 0.2], clean.shape), 0, 1)
images = rng.permutation(len(clean) + len(noisy))
is_noisy = torch.tensor(images >= len(clean)).int()
images = np.concatenate([clean, noisy])[images]
distances = ((plane.inverse_transform(plane.transform(images)) - images) ** 2).sum(1)


def area(scores, batch):
    metric = BinaryAUROC()
    for some, labels in zip(scores.split(batch), is_noisy.split(batch), strict=True):
        metric.update(some, labels)
    return metric.compute().item()


by_unit = {}
for unit in (1, 16, 255):
    scores = torch.tensor(distances * unit**2, dtype=torch.float32)
    false_alarms, caught, _ = BinaryROC()(scores, is_noisy)
    at_5 = caught[false_alarms <= 0.05].max().item()
    by_unit[unit] = (roc_auc_score(is_noisy, scores), area(scores, len(scores)), at_5)
    right, here, at_5 = by_unit[unit]
    print(
        f"pixels in [0, {unit}], scores {scores.min():.4g} to {scores.max():.4g}: scikit-learn {right:.3f}, "
        f"torchmetrics {here:.3f}; with 5 % of false alarms {at_5:.0%} are caught"
    )
scores = torch.tensor(distances, dtype=torch.float32)
by_batch = {batch: area(scores, batch) for batch in (1, 4, 16, 64, 256, len(scores))}
for batch, here in by_batch.items():
    print(f"pixels in [0, 1], batches of {batch}: {here:.3f}")

as_seen = all(right > 0.95 for right, _, _ in by_unit.values()) and by_unit[1][1] > 0.95
as_seen = as_seen and all(by_unit[unit][1:] == (0.5, 0) for unit in (16, 255))
if not (as_seen and min(by_batch.values()) < by_unit[1][1] - 0.02):
    print("CHANGED")
    sys.exit(1)
print("as described: the area depends on the unit and on the batches")
END

venv/bin/python unit.py
