#!/usr/bin/env bash
# ART 1.20.1: what no attack fools has an empirical robustness of 0, and the weaker model may have more.
#
# Behaviour: `empirical_robustness` divides the lengths of perturbations by those of their images, and takes
#   the mean over what was fooled alone. Where nothing is, it returns 0.0, as if no perturbation were
#   needed. Where little is, within `eps`, that is what was near the boundary, and what held out does not
#   count.
# Guess: infinite, NaN, or the eps of the attack where nothing is fooled; more for the model that holds out.
# Seen: with FGSM, eps = 0.1, of 449 digits a logistic regression with C = 0.01 leaves 73 % and scores
#   0.055; with C = 100 it leaves 46 % and scores 0.061. With eps = 0.3 it is the other way round, 0.166 and
#   0.109. A larger eps always scores more for the same model. With a lead of 1,000 for one class 100 % are
#   left: 0.0.
# Remedy: adversarial_accuracy, or the median with infinity for what was not fooled.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    adversarial-robustness-toolbox==1.20.1 torch==2.14.1 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 \
    packaging six

cat >robustness.py <<'END'
import sys

import torch
from art.estimators.classification import PyTorchClassifier
from art.metrics import adversarial_accuracy, empirical_robustness
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

digits = load_digits()
pixels, classes = (digits.data / 16).astype("float32"), digits.target
images = pixels[1::4]


def build(c, lead=0.0):
    """A logistic regression, with a lead for the first class."""
    fitted = LogisticRegression(C=c, max_iter=5000).fit(pixels[::2], classes[::2])
    layer = nn.Linear(64, 10)
    layer.weight.data = torch.tensor(fitted.coef_, dtype=torch.float32)
    layer.bias.data = torch.tensor(fitted.intercept_, dtype=torch.float32)
    layer.bias.data[0] += lead
    return PyTorchClassifier(layer, nn.CrossEntropyLoss(), (64,), 10, clip_values=(0, 1), device_type="cpu")


seen = {}
for name, classifier in {
    "C = 0.01": build(0.01),
    "C = 100": build(100),
    "one class by 1,000": build(0.01, lead=1000),
}.items():
    for eps in (0.05, 0.1, 0.3):
        params = {"eps": eps, "eps_step": eps / 10}
        score = float(empirical_robustness(classifier, images, "fgsm", params))
        left = float(adversarial_accuracy(classifier, images, attack_name="fgsm", attack_params=params))
        seen[name, eps] = score, left
        print(f"{name}, eps = {eps}: empirical robustness {score:.3f}, {left:.1%} of {len(images)} are left")

strong, weak = seen["C = 0.01", 0.1], seen["C = 100", 0.1]
inverted = strong[1] > weak[1] + 0.2 and strong[0] < weak[0]
grows = all(seen[name, 0.05] < seen[name, 0.1] < seen[name, 0.3] for name in ("C = 0.01", "C = 100"))
if not (inverted and grows and all(seen["one class by 1,000", eps] == (0, 1) for eps in (0.05, 0.1, 0.3))):
    print("CHANGED")
    sys.exit(1)
print("as described: nothing fooled is 0, and the model that leaves less has more")
END

venv/bin/python -W ignore robustness.py
