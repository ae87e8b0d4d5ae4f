"""Carlini & Wagner's ℓ2 attack beside its peers': images per second, success and distance.

One process, 500 MNIST test images, a fully connected and a convolutional network, untargeted, κ =
0, 1,000 steps and 9 values of c (torchattacks searches none), each
library at its best batch size; runs of the libraries take turns. The parameters are frozen for
all, which only ours asks for. ART and torchattacks, where they are installed (envs/bench.txt), get
few images. Distances are those of the images that the network gets right, failures counted apart.

    carlini_wagner.py FOLDER_OF_IDX_FILES [ROUNDS [IMAGES [STEPS [BATCH,BATCH… [NETWORK]]]]]
"""

import importlib.util
import statistics
import sys
import time
import warnings

import torch
from networks import NETWORKS, load, trained
from torch.nn import functional

warnings.filterwarnings("ignore")

import foolbox  # noqa: E402
from epsigma.attacks.carlini_wagner import carlini_wagner  # noqa: E402

SEARCH_STEPS, RATE, INITIAL_C = 9, 0.01, 0.001
# What the slow ones get, and the c that torchattacks, which searches none, is given.
FEW, FIXED_C = 20, 1.0
BATCHES = (100, 250, 500)


def ours(model, steps):
    return lambda images, labels: carlini_wagner(
        model,
        images,
        labels,
        kappa=0,
        steps=steps,
        search_steps=SEARCH_STEPS,
        learning_rate=RATE,
        initial_c=INITIAL_C,
    )


def with_foolbox(model, steps):
    target = foolbox.PyTorchModel(model, bounds=(0, 1))
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=SEARCH_STEPS, steps=steps, stepsize=RATE, initial_const=INITIAL_C
    )
    return lambda images, labels: attack(target, images, labels, epsilons=None)[0]


def with_torchattacks(model, steps):
    import torchattacks

    return torchattacks.CW(model, c=FIXED_C, kappa=0, steps=steps, lr=RATE)


def with_art(model, steps):
    from art.attacks.evasion import CarliniL2Method
    from art.estimators.classification import PyTorchClassifier

    target = PyTorchClassifier(
        model, functional.cross_entropy, (1, 28, 28), 10, clip_values=(0, 1), device_type="cpu"
    )
    attack = CarliniL2Method(
        target,
        confidence=0,
        learning_rate=RATE,
        binary_search_steps=SEARCH_STEPS,
        max_iter=steps,
        initial_const=INITIAL_C,
        batch_size=FEW,
        verbose=False,
    )
    return lambda images, labels: torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))


def timed(run, images, labels, batch):
    started = time.perf_counter()
    parts = [run(x, y) for x, y in zip(images.split(batch), labels.split(batch), strict=True)]
    return torch.cat(parts).detach(), time.perf_counter() - started


def quality(model, attacked, images, labels):
    """Success and mean ℓ2 over what the network gets right; foolbox blackens its failures."""
    right = model(images).argmax(1) == labels
    fooled = (model(attacked).argmax(1) != labels) & attacked.flatten(1).any(1)
    length = (attacked - images).flatten(1).norm(dim=1)
    return fooled[right].double().mean().item(), length[right & fooled].mean().item()


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    given = sys.argv[2:]
    rounds, count, steps = (
        int(given[i]) if len(given) > i else default for i, default in enumerate((3, 500, 1000))
    )
    sizes = [int(size) for size in given[3].split(",")] if len(given) > 3 else BATCHES
    training, (images, labels) = load(sys.argv[1])
    # A library, the sizes of its batches, and how many images it gets.
    libraries = [("epsigma", ours, sizes, count), ("foolbox", with_foolbox, sizes, count)]
    for name, package, make in (
        ("torchattacks (fixed c)", "torchattacks", with_torchattacks),
        ("ART", "art", with_art),
    ):
        if importlib.util.find_spec(package):
            libraries.append((name, make, [FEW], FEW))
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {rounds} rounds, "
        f"{steps} steps, {SEARCH_STEPS} c"
    )
    print("network,library,images,best batch,images per second (median),slowest,fastest,success,l2")
    for network in given[4:] or NETWORKS:
        model = trained(network, *training)
        seconds, found = {}, {}
        for _ in range(rounds):
            for turn in range(len(sizes)):
                for name, make, batches, few in libraries:
                    if turn >= len(batches):
                        continue
                    x, y = images[:few], labels[:few]
                    run, batch = make(model, steps), batches[turn]
                    attacked, taken = timed(run, x, y, batch)
                    seconds.setdefault((name, batch), []).append(taken)
                    found[name, batch] = quality(model, attacked, x, y)
        for name, _, batches, few in libraries:
            medians = {batch: statistics.median(seconds[name, batch]) for batch in batches}
            best = min(medians, key=medians.get)
            rates = sorted(few / taken for taken in seconds[name, best])
            success, length = found[name, best]
            print(
                f"{network},{name},{few},{best},{few / medians[best]:.2f},{rates[0]:.2f},"
                f"{rates[-1]:.2f},{success:.4f},{length:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
