"""Attacks beside their peers: time, success and distortion, each at its best batch size.

The peers attack the network as training leaves it, epsigma as the workflow loads it: frozen, which
is part of what makes it fast and no peer asks for.
"""

from dataclasses import dataclass, field

import torch

from benchmarks import CORES, data, peers
from benchmarks.rounds import Contender, contest

MLP, CNN = "MLP 784-48-10", "CNN"
FROZEN = ", frozen"
# An image may be the wrong side of its ball by rounding.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Case:
    """An attack, as all of its libraries run it.

    Args:
        parameters: under epsigma's names.
        images: how many of the first test images each network is attacked on.
        sizes: batch sizes to choose from.
        few: images for libraries that take long.
        fewer_rounds: whether a round takes so long that three have to do.
        targeted: each image is aimed at the nine other classes in turn.
        bounds: norm and radius that hold for every image.
    """

    parameters: dict
    images: dict
    sizes: tuple = (250, 500, 1000, 2000)
    few: dict = field(default_factory=dict)
    fewer_rounds: bool = False
    targeted: bool = False
    bounds: tuple = ()


PGD = {"steps": 40, "random_start": True}
CASES = {
    "fgsm": Case(
        {"eps": 0.1}, {MLP: 10_000, CNN: 2_000}, sizes=(500, 1000, 2000, 10_000),
        bounds=("linf", 0.1),
    ),
    "pgd": Case(
        {"eps": 0.1, "step_size": 0.01, **PGD}, {MLP: 4_000, CNN: 250}, bounds=("linf", 0.1)
    ),
    "pgd_l2": Case(
        {"eps": 1.5, "step_size": 0.1, **PGD}, {MLP: 4_000, CNN: 250}, bounds=("l2", 1.5)
    ),
    "square": Case(
        {"eps": 0.1, "queries": 200, "p_init": 0.8}, {MLP: 500, CNN: 100}, sizes=(100, 500),
        bounds=("linf", 0.1), fewer_rounds=True,
    ),
    "autoattack": Case(
        {"eps": 0.05, "queries": 200}, {MLP: 400, CNN: 40}, sizes=(125, 250, 500),
        bounds=("linf", 0.05), fewer_rounds=True,
    ),
    **{
        name: Case(
            {"kappa": 0, "steps": 100, "step_size": step_size, "gamma": 0.05},
            {MLP: 1_000, CNN: 100}, sizes=(250, 500, 1000), fewer_rounds=True,
        )
        for name, step_size in {"fmn": 10, "fmn_l2": 1, "fmn_l1": 1, "fmn_l0": 1}.items()
    },
    "ddn": Case(
        {"kappa": 0, "steps": 100, "gamma": 0.05}, {MLP: 1_000, CNN: 100},
        sizes=(250, 500, 1000), fewer_rounds=True,
    ),
    "jsma": Case(
        {"gamma": 0.145, "theta": 1.0}, {MLP: 40, CNN: 20}, sizes=(90, 360),
        few={"torchattacks": 1}, targeted=True, fewer_rounds=True,
    ),
    "carlini_wagner": Case(
        {"kappa": 0, "steps": 300, "search_steps": 6, "learning_rate": 0.01, "initial_c": 0.1},
        {MLP: 200, CNN: 20}, sizes=(100, 200), few={"ART": 2}, fewer_rounds=True,
    ),
    "fooling": Case({"confidence": 0.99}, {MLP: 10, CNN: 10}, sizes=(1000,), fewer_rounds=True),
    "fooling_evolution": Case(
        {"confidence": 0.9, "generations": 300}, {MLP: 1, CNN: 1}, sizes=(1000,),
        fewer_rounds=True,
    ),
    "sign_noise": Case({"eps": 0.1}, {MLP: 10_000}, bounds=("linf", 0.1)),
    "uniform_noise": Case({"eps": 0.1}, {MLP: 10_000}, bounds=("linf", 0.1)),
    "l2_noise": Case({"eps": 1.5}, {MLP: 10_000}, bounds=("l2", 1.5)),
    "feature_noise": Case({"gamma": 0.145}, {MLP: 2_000}),
}  # fmt: skip
FEWER = 3
# Whether freezing is all the difference: the bars' attacks are also run on what epsigma gets.
ALSO_FROZEN = ("fgsm", "pgd")


def measure(rounds, small):
    torch.set_num_threads(CORES)
    for network in data.networks():
        model = data.trained(network)
        for attack, case in CASES.items():
            if network in case.images:
                turns = min(rounds, FEWER) if case.fewer_rounds else rounds
                yield from contest(dict(contenders(attack, case, network, model, small)), turns)


def contenders(attack, case, network, model, small):
    count = case.images[network] // 10 or 1 if small else case.images[network]
    frozen = data.frozen(model)
    libraries = {
        peers.OURS: lambda size: peers.ours(attack, frozen, size, case.parameters),
    }
    for library, make in peers.ATTACKS.get(attack, {}).items():
        libraries[library] = lambda size, make=make: make(model, case.parameters, size)
        if attack in ALSO_FROZEN:
            libraries[library + FROZEN] = lambda size, make=make: make(
                frozen, case.parameters, size
            )
    for library, make in libraries.items():
        given = rows(attack, case, frozen, min(count, case.few.get(library, count)))
        n = len(given.labels)
        yield (
            (("network", network), ("attack", attack), ("library", library)),
            Contender(
                prepare=lambda size, make=make, given=given: in_batches(make(size), given, size),
                sizes=tuple(dict.fromkeys(min(size, n) for size in case.sizes)),
                judge=lambda found, given=given: quality(frozen, found, given, case),
            ),
        )


@dataclass(frozen=True)
class Given:
    """What an attack gets: images, their labels, and the classes to aim at.

    Fooling images are made of nothing: labels are then the classes to be taken for, and the images
    are for their shape alone.
    """

    images: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor | None = None
    fooling: bool = False


def rows(attack, case, model, count):
    """The first test images, or of a targeted attack those that the network gets right."""
    images, labels = data.tensors("test")
    if attack.startswith("fooling"):
        return Given(images, torch.arange(10).repeat(count), fooling=True)
    if not case.targeted:
        return Given(images[:count], labels[:count])
    with torch.no_grad():
        right = (model(images[:1000]).argmax(1) == labels[:1000]).nonzero().squeeze(1)[:count]
    row = right.repeat_interleave(9)
    targets = (labels[right].unsqueeze(1) + torch.arange(1, 10)) % 10
    return Given(images[row], labels[row], targets.flatten())


def in_batches(run, given, size):
    def work():
        parts = []
        for start in range(0, len(given.labels), size):
            at = slice(start, start + size)
            targets = None if given.targets is None else given.targets[at]
            images = given.images if given.fooling else given.images[at]
            parts.append(run(images, given.labels[at], targets))
        return torch.cat(parts).detach()

    return work


@torch.no_grad()
def quality(model, found, given, case):
    """Success, and the mean distortion of what succeeded.

    Of images that the network gets right when clean; of a targeted attack the share that the
    network takes for the target, of fooling images those with the confidence that is asked for.
    foolbox blackens its failures.
    """
    logits = model(found)
    named = logits.argmax(1)
    about = {"images": len(found)}
    if given.fooling:
        sure = logits.softmax(1).amax(1) >= case.parameters["confidence"]
        return about | {"success": ((named == given.labels) & sure).double().mean().item()}
    right = model(given.images).argmax(1) == given.labels
    there = named != given.labels if given.targets is None else named == given.targets
    there &= found.flatten(1).any(1)
    delta = (found - given.images).flatten(1)
    norms = {
        "linf": delta.abs().amax(1),
        "l2": delta.norm(dim=1),
        "l0": (delta != 0).sum(1).float(),
    }
    if case.bounds:
        norm, radius = case.bounds
        if norms[norm].max() > radius + ROUNDING:
            raise AssertionError(f"{norm} of {norms[norm].max()} exceeds {radius}")
    of = right & there
    return about | {
        "success": there[right].double().mean().item(),
        **{name: value[of].mean().item() for name, value in norms.items()},
    }
