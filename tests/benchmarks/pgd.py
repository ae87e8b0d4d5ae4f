"""PGD beside its peers': images per second and success, each library at its best batch size.

One process, 10,000 MNIST test images, the network of config/paper.yaml, 40 steps in the ℓ∞ ball, a
random start; runs of the libraries take turns. Needs envs/bench.txt.

    pgd.py FOLDER_OF_IDX_FILES [ROUNDS]
"""

import statistics
import sys
import time
import warnings

import torch
from networks import load, trained
from torch.nn import functional

warnings.filterwarnings("ignore")

import foolbox  # noqa: E402
import torchattacks  # noqa: E402
from art.attacks.evasion import ProjectedGradientDescentPyTorch  # noqa: E402
from art.estimators.classification import PyTorchClassifier  # noqa: E402
from epsigma.attacks.pgd import pgd  # noqa: E402

EPS, STEP_SIZE, STEPS = 0.1, 0.01, 40
BATCHES = (250, 500, 1000, 2000, 10_000)


def ours(model):
    def run(images, labels):
        model.requires_grad_(False)
        try:
            return pgd(model, images, labels, eps=EPS, steps=STEPS, step_size=STEP_SIZE)
        finally:
            model.requires_grad_(True)

    return run


def with_torchattacks(model):
    return torchattacks.PGD(model, eps=EPS, alpha=STEP_SIZE, steps=STEPS, random_start=True)


def with_foolbox(model):
    target = foolbox.PyTorchModel(model, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP_SIZE, steps=STEPS, random_start=True)
    return lambda images, labels: attack(target, images, labels, epsilons=EPS)[1]


def with_art(model, batch):
    target = PyTorchClassifier(
        model, functional.cross_entropy, (1, 28, 28), 10, clip_values=(0, 1), device_type="cpu"
    )
    attack = ProjectedGradientDescentPyTorch(
        target,
        eps=EPS,
        eps_step=STEP_SIZE,
        max_iter=STEPS,
        num_random_init=1,
        batch_size=batch,
        verbose=False,
    )
    return lambda images, labels: torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))


def timed(run, images, labels, batch):
    started = time.perf_counter()
    parts = [run(x, y) for x, y in zip(images.split(batch), labels.split(batch), strict=True)]
    return torch.cat(parts), time.perf_counter() - started


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    train, (images, labels) = load(sys.argv[1])
    # The peers take models as training leaves them; only ours asks for frozen parameters.
    model = trained("784-48-10", *train).requires_grad_(True)
    right = model(images).argmax(1) == labels
    libraries = {
        "epsigma": lambda batch: ours(model),
        "torchattacks": lambda batch: with_torchattacks(model),
        "foolbox": lambda batch: with_foolbox(model),
        "ART": lambda batch: with_art(model, batch),
    }
    seconds, success = {}, {}
    for _ in range(rounds):
        for batch in BATCHES:
            for name, make in libraries.items():
                attacked, taken = timed(make(batch), images, labels, batch)
                seconds.setdefault((name, batch), []).append(taken)
                fooled = model(attacked).argmax(1) != labels
                success.setdefault(name, []).append(fooled[right].double().mean().item())
                assert (attacked - images).abs().max() <= EPS + 1e-6
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {rounds} rounds")
    print("library,best batch,images per second (median),slowest,fastest,success")
    for name in libraries:
        medians = {batch: statistics.median(seconds[name, batch]) for batch in BATCHES}
        best = min(medians, key=medians.get)
        rates = sorted(len(images) / taken for taken in seconds[name, best])
        print(
            f"{name},{best},{len(images) / medians[best]:.0f},{rates[0]:.0f},{rates[-1]:.0f},"
            f"{statistics.mean(success[name]):.4f}"
        )


if __name__ == "__main__":
    main()
