"""Script (b): the same study, tuned by hand for the machine; the floor.

One process that keeps everything in memory and writes nothing but a table on standard output:

- it imports torch alone;
- filters are matrices, made once a strength: two products for a blur, four in the real Fourier
  basis, without what does not pass, for a band;
- parameters are frozen, updates in place;
- a batch goes through all cells while it is in the cache, and each core has a thread with batches
  of its own;
- FGSM's gradient, which does not depend on ε, is computed once a filter. With `each`, once a cell,
  as it has to be for an attack in general.

The model is a module like any other. (Multiplied into its first layer, a linear filter would cost
nothing: but not with another model, or filter.)

    floor.py STUDY.yaml FOLDER_OF_TORCHVISIONS_MNIST [each]
"""

import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import yaml
from torch import nn
from torch.nn import functional

BATCH = 500
SIDE = 28


def load(folder, part):
    def read(name, header):
        raw = (Path(folder) / "MNIST" / "raw" / f"{part}-{name}-ubyte").read_bytes()
        return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=header)

    images, labels = read("images-idx3", 16), read("labels-idx1", 8)
    return images.view(-1, 1, SIDE, SIDE).float().div_(255), labels.long()


def train(images, labels, block):
    settings = {"validation": 0.1, **block["training"]}
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(784, block["hidden"]), nn.ReLU(), nn.Linear(block["hidden"], 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["learning_rate"], fused=True)
    order = torch.randperm(len(images))
    held_out = round(len(images) * settings["validation"])
    check, learn = order[:held_out], order[held_out:]
    for _ in range(settings["epochs"]):
        now = learn[torch.randperm(len(learn))]
        batches = (given[now].split(settings["batch_size"]) for given in (images, labels))
        for x, y in zip(*batches, strict=True):
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            (model(images[check]).argmax(1) == labels[check]).float().mean()
    return model.eval().requires_grad_(False)


def blur(sigma):
    radius = min(SIDE - 1, math.ceil(4 * sigma))
    offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weight = torch.exp(-(offset**2) / (2 * sigma**2))
    period = 2 * (SIDE - 1)
    at = (torch.arange(SIDE)[:, None] + offset.long()).remainder(period)
    at = torch.where(at < SIDE, at, period - at)
    matrix = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    matrix.scatter_add_(1, at, (weight / weight.sum()).expand(SIDE, -1))
    matrix = matrix.float()
    across = matrix.T.contiguous()
    return lambda images: matrix @ (images @ across)


def band(passes):
    pixel = torch.arange(SIDE)
    frequency = ((pixel + 1) // 2).double() / SIDE
    angle = 2 * math.pi * pixel.double()[:, None] * frequency
    basis = torch.where(pixel % 2 == 0, angle.sin(), angle.cos())
    basis[:, 0] = 1
    basis = (basis / basis.norm(dim=0)).float()
    keep = passes(torch.hypot(frequency[:, None], frequency)).float()
    # What is stopped may need fewer vectors than what passes.
    stopped = 1 - keep
    complement = bool((stopped.any(0).sum() < keep.any(0).sum()).item())
    part = stopped if complement else keep
    vectors = basis[:, part.any(0)].contiguous()
    back = vectors.T.contiguous()
    part = part[part.any(1)][:, part.any(0)]

    def run(images):
        found = vectors @ ((back @ (images @ vectors)).mul(part) @ back)
        return images - found if complement else found

    return run


def filters(study):
    for block in study["filters"]:
        for value in block.get("sigma", block.get("cutoff")):
            if block["kind"] == "gaussian":
                yield block["kind"], value, blur(value)
                continue
            half = block.get("width", 0) / 2 + 1e-9
            passes = {
                "lowpass": lambda f, v=value: f <= v + 1e-9,
                "highpass": lambda f, v=value: f > v + 1e-9,
                "bandpass": lambda f, v=value, h=half: ((f - v).abs() <= h) & (f > 0),
            }[block["kind"]]
            yield block["kind"], value, band(passes)


def direction(model, apply, images, labels):
    x = images.detach().requires_grad_()
    with torch.enable_grad():
        loss = functional.cross_entropy(model(apply(x)), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
    return gradient.sign_()


def sweep(model, cells, threats, sizes, images, labels, each):
    """Count, of a batch, what each cell gets right, and what it fools of what was right."""
    right = model(images).argmax(1) == labels
    counts = [torch.tensor([len(labels), right.sum(), 0])]
    adversarial = torch.empty_like(images)

    def score(given):
        correct = model(given).argmax(1) == labels
        counts.append(torch.stack([correct.sum(), (right & ~correct).sum(), right.sum()]))

    def attack(eps, sign):
        return torch.add(images, sign, alpha=eps, out=adversarial).clamp_(0, 1)

    bare = None
    for eps in sizes:
        bare = direction(model, nn.Identity(), images, labels) if each or bare is None else bare
        score(attack(eps, bare))
        if "blind" in threats:
            for apply in cells:
                score(apply(adversarial))
    if "aware" in threats:
        for apply in cells:
            sign = None
            for eps in sizes:
                if each or sign is None:
                    sign = direction(model, apply, images, labels)
                score(apply(attack(eps, sign)))
    return torch.stack(counts)


def main():
    torch.manual_seed(0)
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(1)
    study = yaml.safe_load(Path(sys.argv[1]).read_text())
    model = train(*load(sys.argv[2], "train"), study["models"][0])
    images, labels = load(sys.argv[2], "t10k")
    attack, made = study["attacks"][0], list(filters(study))
    threats = attack.get("threats", ["blind", "aware"])
    given = [apply for _, _, apply in made]

    @torch.no_grad()
    def of(batch):
        return sweep(model, given, threats, attack["eps"], *batch, "each" in sys.argv[3:])

    with ThreadPoolExecutor(cores) as pool:
        batches = zip(images.split(BATCH), labels.split(BATCH), strict=True)
        counts = sum(pool.map(of, batches))
    names = []
    for eps in attack["eps"]:
        names.append(("blind", eps, "none", ""))
        if "blind" in threats:
            names += [("blind", eps, name, value) for name, value, _ in made]
    if "aware" in threats:
        names += [("aware", eps, name, value) for name, value, _ in made for eps in attack["eps"]]
    print("threat,eps,filter,strength,accuracy,attack_success")
    for name, (correct, fooled, right) in zip(names, counts[1:].tolist(), strict=True):
        print(*name, correct / len(labels), fooled / right, sep=",")


if __name__ == "__main__":
    main()
