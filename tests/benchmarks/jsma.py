"""JSMA beside its peers: images per second, success and features changed.

One process, MNIST: the first test images that the model gets right, each for all nine other
classes; a convolutional network and the one of config/paper.yaml; θ = 1, Υ = 14.5 %. Runs of the
libraries take turns. Needs envs/bench.txt. ART ranks by the target's gradient alone; torchattacks
takes one image at a time and gets the first few only. Before them, the search for pairs beside a
table of all pairs.

    jsma.py FOLDER_OF_IDX_FILES [IMAGES] [ROUNDS] [EPOCHS]
"""

import statistics
import sys
import time
import warnings

import torch
from networks import NETWORKS, load, trained
from torch.nn import functional

warnings.filterwarnings("ignore")

import torchattacks  # noqa: E402
from art.attacks.evasion import SaliencyMapMethod  # noqa: E402
from art.estimators.classification import PyTorchClassifier  # noqa: E402
from epsigma.attacks.jsma import jsma, salient_pairs  # noqa: E402

THETA, GAMMA = 1.0, 0.145
BATCHES = (90, 900, 9000)
# Rows of images and targets that torchattacks gets.
FEW = 27


def every_target(model, images, labels, count):
    """The first images that the model gets right, each once for every other class."""
    with torch.no_grad():
        right = (model(images).argmax(1) == labels).nonzero().squeeze(1)[:count]
    targets = (labels[right].unsqueeze(1) + torch.arange(1, 10)) % 10
    rows = right.repeat_interleave(9)
    return images[rows], labels[rows], targets.flatten()


def ours(model, outputs):
    def run(images, labels, targets):
        return jsma(
            model, images, labels, gamma=GAMMA, targets=targets, theta=THETA, outputs=outputs
        )

    return run


def with_art(model, batch):
    target = PyTorchClassifier(
        model, functional.cross_entropy, (1, 28, 28), 10, clip_values=(0, 1), device_type="cpu"
    )
    attack = SaliencyMapMethod(target, theta=THETA, gamma=GAMMA, batch_size=batch, verbose=False)

    def run(images, labels, targets):
        one_hot = functional.one_hot(targets, 10).float().numpy()
        return torch.from_numpy(attack.generate(images.numpy(), one_hot))

    return run


def with_torchattacks(model):
    attack = torchattacks.JSMA(model, theta=THETA, gamma=GAMMA)
    attack.set_mode_targeted_by_label(quiet=True)
    return lambda images, labels, targets: attack(images.clone(), targets)


def timed(run, given, batch):
    started = time.perf_counter()
    parts = [run(*part) for part in zip(*(one.split(batch) for one in given), strict=True)]
    return torch.cat(parts), time.perf_counter() - started


def attacks(name, model, given, rounds):
    """Print a line for each library, at the batch size that it is fastest with."""
    images, _, targets = given
    few = [one[:FEW] for one in given]
    batches = [batch for batch in BATCHES if batch < len(images)] + [len(images)]
    libraries = {
        "epsigma (logits)": (lambda batch: ours(model, "logits"), given, batches),
        "epsigma (softmax)": (lambda batch: ours(model, "softmax"), given, batches),
        "ART": (lambda batch: with_art(model, batch), given, batches),
        "torchattacks": (lambda batch: with_torchattacks(model), few, [FEW]),
    }
    seconds, found = {}, {}
    for _ in range(rounds):
        for library, (make, rows, sizes) in libraries.items():
            for batch in sizes:
                found[library], taken = timed(make(batch), rows, batch)
                seconds.setdefault((library, batch), []).append(taken)
    for library, (_, rows, sizes) in libraries.items():
        medians = {batch: statistics.median(seconds[library, batch]) for batch in sizes}
        best = min(medians, key=medians.get)
        count, attacked = len(rows[0]), found[library]
        rates = sorted(count / taken for taken in seconds[library, best])
        with torch.no_grad():
            there = model(attacked).argmax(1) == targets[:count]
        part = (attacked != images[:count]).flatten(1).double().mean(1)
        print(
            f"{name},{library},{count},{best},{count / medians[best]:.1f},{rates[0]:.1f},"
            f"{rates[-1]:.1f},{there.double().mean():.4f},{part[there].mean():.4f},"
            f"{part.mean():.4f},{part.max():.4f}"
        )


def all_pairs(rise, fall, live):
    """The same search by a table of all pairs."""
    dead = ~live
    rise, fall = rise.masked_fill(dead, -torch.inf), fall.masked_fill(dead, -torch.inf)
    value = (rise[:, :, None] + rise[:, None]).clamp_(min=0)
    value.mul_((fall[:, :, None] + fall[:, None]).clamp_(min=0))
    value.diagonal(dim1=1, dim2=2).zero_()
    most, at = value.flatten(1).max(1)
    size = rise.shape[1]
    return torch.stack([at // size, at % size], 1), most > 0


def searches(rounds):
    """Print how long a row takes: of features that know nothing of each other, and of fronts."""
    print("features,kind,search,milliseconds a row (median),slowest,fastest")
    for features, rows, few in ((784, 500, 20), (3072, 500, 2)):
        generator = torch.Generator().manual_seed(0)
        normal = torch.randn(2, rows, features, generator=generator)
        along = torch.rand(rows, features, generator=generator)
        live = torch.ones_like(along, dtype=torch.bool)
        kinds = {
            "independent": (*normal, live),
            "round front": ((along * torch.pi / 2).cos(), (along * torch.pi / 2).sin(), live),
            "straight front": (along, 1 - along, live),
        }
        for kind, given in kinds.items():
            # What cannot be thinned out takes longer.
            count = few if kind == "straight front" else rows
            runs = {
                "epsigma": (lambda *part: salient_pairs(*part, memory=256), count),
                "table of all pairs": (all_pairs, few),
            }
            taken = {}
            for _ in range(rounds):
                for search, (run, size) in runs.items():
                    part = [one[:size] for one in given]
                    started = time.perf_counter()
                    run(*part)
                    spent = (time.perf_counter() - started) * 1000 / size
                    taken.setdefault(search, []).append(spent)
            for search, spent in taken.items():
                middle = statistics.median(spent)
                print(f"{features},{kind},{search},{middle:.4f},{max(spent):.4f},{min(spent):.4f}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    count, rounds, epochs = (
        int(given) for given in (sys.argv[2:] + ["100", "3", "4"][len(sys.argv) - 2 :])
    )
    train, test = load(sys.argv[1])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {rounds} rounds")
    searches(rounds)
    print(
        "model,library,rows,best batch,rows per second (median),slowest,fastest,success,"
        "features changed (successes),features changed (all),most"
    )
    for name in NETWORKS:
        model = trained(name, *train, epochs)
        attacks(name, model, every_target(model, *test, count), rounds)


if __name__ == "__main__":
    main()
