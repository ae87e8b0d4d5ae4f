"""Script (a): a study as one would write it by hand, with what the libraries bring.

One process: torchvision reads, plain torch trains, torchattacks attacks, Kornia and `torch.fft`
filter, in batches of a thousand; nothing is saved but a table on standard output. The same cells as
the workflow's, and the same training. Of the study's file it reads one model, one attack, FGSM, and
the linear filters.

    by_hand.py STUDY.yaml FOLDER_OF_TORCHVISIONS_MNIST [BATCH]
"""

import math
import sys
from pathlib import Path

import torch
import torchattacks
import yaml
from kornia.filters import gaussian_blur2d
from torch import nn
from torch.nn import functional
from torchvision.datasets import MNIST


class Blur(nn.Module):
    def __init__(self, sigma):
        super().__init__()
        side = 2 * min(27, math.ceil(4 * sigma)) + 1
        self.kernel, self.sigma = (side, side), (sigma, sigma)

    def forward(self, images):
        return gaussian_blur2d(images, self.kernel, self.sigma)


class Band(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self.keep = keep

    def forward(self, images):
        return torch.fft.ifft2(torch.fft.fft2(images) * self.keep).real


def make_filter(block, value):
    frequency = torch.hypot(torch.fft.fftfreq(28)[:, None], torch.fft.fftfreq(28))
    if block["kind"] == "gaussian":
        return Blur(value)
    if block["kind"] == "lowpass":
        return Band(frequency <= value)
    if block["kind"] == "highpass":
        return Band(frequency > value)
    return Band(((frequency - value).abs() <= block["width"] / 2) & (frequency > 0))


def filters(study):
    for block in study["filters"]:
        for value in block.get("sigma", block.get("cutoff")):
            yield block["kind"], value, make_filter(block, value)


def load(folder, train):
    data = MNIST(folder, train=train)
    return data.data[:, None].float() / 255, data.targets


def train(images, labels, block):
    settings = {"validation": 0.1, **block["training"]}
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(784, block["hidden"]), nn.ReLU(), nn.Linear(block["hidden"], 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["learning_rate"])
    order = torch.randperm(len(images))
    held_out = round(len(images) * settings["validation"])
    check, learn = order[:held_out], order[held_out:]
    for _ in range(settings["epochs"]):
        for batch in learn[torch.randperm(len(learn))].split(settings["batch_size"]):
            loss = functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            (model(images[check]).argmax(1) == labels[check]).float().mean()
    return model.eval()


def main():
    torch.manual_seed(0)
    study = yaml.safe_load(Path(sys.argv[1]).read_text())
    model = train(*load(sys.argv[2], train=True), study["models"][0])
    images, labels = load(sys.argv[2], train=False)
    size = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    attack = study["attacks"][0]
    with torch.no_grad():
        right = model(images).argmax(1) == labels

    def attacked(target, eps):
        fgsm = torchattacks.FGSM(target, eps=eps)
        batches = zip(images.split(size), labels.split(size), strict=True)
        return [fgsm(*batch) for batch in batches]

    def score(threat, eps, name, value, apply, batches):
        with torch.no_grad():
            correct = torch.cat([model(apply(batch)).argmax(1) for batch in batches]) == labels
        success = (right & ~correct).sum() / right.sum()
        print(threat, eps, name, value, correct.float().mean().item(), success.item(), sep=",")

    print("threat,eps,filter,strength,accuracy,attack_success")
    threats = attack.get("threats", ["blind", "aware"])
    for eps in attack["eps"]:
        adversarial = attacked(model, eps)
        score("blind", eps, "none", "", nn.Identity(), adversarial)
        for name, value, module in filters(study):
            if "blind" in threats:
                score("blind", eps, name, value, module, adversarial)
            if "aware" in threats:
                aware = attacked(nn.Sequential(module, model).eval(), eps)
                score("aware", eps, name, value, module, aware)


if __name__ == "__main__":
    main()
