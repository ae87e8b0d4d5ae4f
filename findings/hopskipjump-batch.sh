#!/usr/bin/env bash
# foolbox 3.3.4: `HopSkipJumpAttack` in l2 is weaker the larger its batch is.
#
# Behaviour: the estimated gradients of a batch are divided by the length of all of them together, not
#   each by its own. In a batch of N a step is 1/√N as long as the paper's.
# Guess: what an attack finds for an image does not depend on the batch.
# Seen: the direction of an image's step has length 1 in a batch of 1, and 0.1 (root mean square) in one of
#   100; with the same steps the boundary of a linear model is met more than twice as far away.
# Remedy: one image at a time, or `constraint="linf"`, whose steps follow the sign.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check foolbox==3.3.4 torch==2.14.1 numpy==2.4.6

cat >batch.py <<'END'
import sys

import foolbox
import torch

torch.manual_seed(0)
layer = torch.nn.Linear(100, 2).requires_grad_(False)
# The boundary goes through the middle of the pixel range; the images are 0.5 away from it.
normal = torch.randn(100)
normal /= normal.norm()
layer.weight.copy_(torch.stack([-normal, normal]))
layer.bias.copy_(-layer.weight.sum(1) / 2)
model = foolbox.PyTorchModel(layer.eval(), bounds=(0, 1), device="cpu")
image, label = 0.5 - 0.5 * normal, torch.tensor([0])


class Watched(foolbox.attacks.HopSkipJumpAttack):
    def approximate_gradients(self, *arguments):
        found = super().approximate_gradients(*arguments)
        self.lengths = found.raw.norm(dim=1)
        return found


seen = {}
for size, runs in ((1, 8), (100, 1)):
    attack = Watched(steps=4, constraint="l2")
    distances = []
    for _ in range(runs):
        images = image.repeat(size, 1)
        found = attack.run(model, images, label.repeat(size))
        distances.append((found - images).norm(dim=1))
    seen[size] = float(attack.lengths.square().mean().sqrt()), float(torch.cat(distances).median())
print({size: f"step of length {step:.3f}, distance {far:.3f}" for size, (step, far) in seen.items()})
(step_1, far_1), (step_100, far_100) = seen.values()
if not (abs(step_1 - 1) < 0.001 and abs(step_100 - 0.1) < 0.001 and far_100 > 1.2 * far_1):
    sys.exit(f"CHANGED: {seen}")
END

venv/bin/python batch.py
echo "as described: in a batch of 100 the steps are a tenth as long, and the distances larger"
