"""The sweep of config/paper.yaml as one would write it by hand, to time the workflow against.

One process, plain torch, Kornia's `gaussian_blur2d` and `torch.fft`; nothing is saved but a table
on standard output. The same cells and the same training as the workflow's.

    by_hand.py FOLDER_OF_IDX_FILES
"""

import sys
from pathlib import Path

import torch
import yaml
from kornia.filters import gaussian_blur2d
from torch import nn
from torch.nn import functional
from torchvision.datasets.mnist import read_image_file, read_label_file

ROOT = Path(__file__).parents[2]


def load(folder, part):
    images = read_image_file(f"{folder}/{part}-images-idx3-ubyte")
    labels = read_label_file(f"{folder}/{part}-labels-idx1-ubyte")
    return images[:, None].float() / 255, labels


def train(images, labels, hidden, epochs, batch_size, learning_rate, validation):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    order = torch.randperm(len(images))
    held_out = int(len(images) * validation)
    learn, check = order[held_out:], order[:held_out]
    for _ in range(epochs):
        for batch in learn[torch.randperm(len(learn))].split(batch_size):
            loss = functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            (model(images[check]).argmax(1) == labels[check]).float().mean()
    return model.eval()


def fgsm(model, images, labels, eps):
    images = images.clone().requires_grad_()
    functional.cross_entropy(model(images), labels).backward()
    return (images + eps * images.grad.sign()).clamp(0, 1).detach()


def frequency(images, keep):
    return torch.fft.ifft2(torch.fft.fft2(images) * keep).real


def filters(blocks):
    f = torch.hypot(torch.fft.fftfreq(28)[:, None], torch.fft.fftfreq(28)[None, :])
    yield "none", 0, lambda images: images
    for block in blocks:
        for value in block.get("sigma", block.get("cutoff")):
            if block["kind"] == "gaussian":
                size = 2 * min(27, int(-(-4 * value // 1))) + 1
                kernel, sigma = (size, size), (value, value)
                yield "gaussian", value, lambda x, k=kernel, s=sigma: gaussian_blur2d(x, k, s)
                continue
            if block["kind"] == "lowpass":
                keep = f <= value
            elif block["kind"] == "highpass":
                keep = f > value
            else:
                keep = ((f - value).abs() <= block["width"] / 2) & (f > 0)
            yield block["kind"], value, lambda x, keep=keep: frequency(x, keep)


def main():
    torch.manual_seed(0)
    config = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    model_block = config["models"][0]
    images, labels = load(sys.argv[1], "train")
    model = train(
        images, labels, model_block["hidden"], **{"validation": 0.1, **model_block["training"]}
    )
    images, labels = load(sys.argv[1], "t10k")
    with torch.no_grad():
        right = model(images).argmax(1) == labels
    for eps in config["attacks"][0]["eps"]:
        adversarial = fgsm(model, images, labels, eps)
        for name, value, apply in filters(config["filters"]):
            with torch.no_grad():
                correct = model(apply(adversarial)).argmax(1) == labels
            success = (right & ~correct).sum() / right.sum()
            print(eps, name, value, correct.float().mean().item(), success.item(), sep=",")


if __name__ == "__main__":
    main()
