"""The one table of peers: who else has an attack or a filter, and how it is called.

An attack's entry takes a model, the hyper-parameters (under epsigma's names) and a batch size, and
returns a function of images, labels and targets (None if untargeted). A filter's takes its strength
and returns a function of a batch; libraries of NumPy get arrays.
"""

import itertools
import logging
import math
import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import foolbox
import kornia
import numpy as np
import scipy.fft
import scipy.ndimage
import torch
import torchattacks
from art.attacks import evasion
from art.estimators.classification import PyTorchClassifier
from pyautoattack.autoattack import AutoAttack
from torch.nn import functional
from torchvision.transforms.functional import gaussian_blur

from benchmarks import CORES

# foolbox and ART advise and warn at each call.
warnings.filterwarnings("ignore")
logging.getLogger("art").setLevel(logging.ERROR)

OURS = "epsigma"


def ours(name, model, batch, parameters, is_random=False):
    """Epsigma's attack of a name, seeded."""
    from epsigma.loading import load
    from epsigma.registry.attacks import ATTACKS

    kind = ATTACKS[name]
    attack = load(kind.implementation)

    def run(images, labels, targets):
        draws = {"generator": torch.Generator().manual_seed(0)} if kind.random else {}
        aim = {} if targets is None else {"targets": targets}
        return attack(model, images, labels, **parameters, **draws, **aim)

    return run


def _foolbox(attack, model, eps=None):
    target = foolbox.PyTorchModel(model, bounds=(0, 1))

    def run(images, labels, targets):
        raw, clipped, _ = attack(target, images, labels, epsilons=eps)
        return raw if eps is None else clipped

    return run


def _torchattacks(attack):
    return lambda images, labels, targets: attack(images, labels)


def _torchattacks_jsma(model, given, batch):
    attack = torchattacks.JSMA(model, theta=given["theta"], gamma=given["gamma"])
    attack.set_mode_targeted_by_label(quiet=True)
    return lambda images, labels, targets: attack(images.clone(), targets)


def _classifier(model):
    return PyTorchClassifier(
        model, functional.cross_entropy, (1, 28, 28), 10, clip_values=(0, 1), device_type="cpu"
    )


def _art(attack):
    def run(images, labels, targets):
        aim = labels.numpy()
        if targets is not None:
            aim = functional.one_hot(targets, 10).float().numpy()
        return torch.from_numpy(attack.generate(images.numpy(), aim))

    return run


def _art_pgd(model, given, batch, norm):
    return _art(
        evasion.ProjectedGradientDescentPyTorch(
            _classifier(model),
            norm=norm,
            eps=given["eps"],
            eps_step=given["step_size"],
            max_iter=given["steps"],
            num_random_init=1,
            batch_size=batch,
            verbose=False,
        )
    )


def _autoattack(model, given, batch):
    """The authors' AutoAttack, as it is packaged on the registry."""
    attack = AutoAttack(model, norm="Linf", eps=given["eps"], version="standard", seed=0)
    attack.square.n_queries = given["queries"]

    def run(images, labels, targets):
        found, _ = attack.run_standard_evaluation(images, labels, batch_size=batch)
        return found

    return run


def _pgd_options(given):
    return {"abs_stepsize": given["step_size"], "steps": given["steps"], "random_start": True}


def _fmn(attack):
    """The authors' attack, as foolbox has it, in one norm."""
    return lambda model, given, batch: _foolbox(
        attack(steps=given["steps"], max_stepsize=given["step_size"], gamma=given["gamma"]), model
    )


ATTACKS = {
    "fgsm": {
        "foolbox": lambda model, given, batch: _foolbox(
            foolbox.attacks.LinfFastGradientAttack(random_start=False), model, given["eps"]
        ),
        "torchattacks": lambda model, given, batch: _torchattacks(
            torchattacks.FGSM(model, eps=given["eps"])
        ),
        "ART": lambda model, given, batch: _art(
            evasion.FastGradientMethod(_classifier(model), eps=given["eps"], batch_size=batch)
        ),
    },
    "pgd": {
        "foolbox": lambda model, given, batch: _foolbox(
            foolbox.attacks.LinfPGD(**_pgd_options(given)), model, given["eps"]
        ),
        "torchattacks": lambda model, given, batch: _torchattacks(
            torchattacks.PGD(
                model, eps=given["eps"], alpha=given["step_size"], steps=given["steps"]
            )
        ),
        "ART": lambda model, given, batch: _art_pgd(model, given, batch, np.inf),
    },
    "pgd_l2": {
        "foolbox": lambda model, given, batch: _foolbox(
            foolbox.attacks.L2PGD(**_pgd_options(given)), model, given["eps"]
        ),
        "torchattacks": lambda model, given, batch: _torchattacks(
            torchattacks.PGDL2(
                model, eps=given["eps"], alpha=given["step_size"], steps=given["steps"]
            )
        ),
        "ART": lambda model, given, batch: _art_pgd(model, given, batch, 2),
    },
    "autoattack": {"the authors": _autoattack},
    "fmn": {"foolbox": _fmn(foolbox.attacks.LInfFMNAttack)},
    # It never projects, so its distances are some times as large.
    "fmn_l2": {"foolbox": _fmn(foolbox.attacks.L2FMNAttack)},
    "fmn_l1": {"foolbox": _fmn(foolbox.attacks.L1FMNAttack)},
    "fmn_l0": {"foolbox": _fmn(foolbox.attacks.L0FMNAttack)},
    "ddn": {
        "foolbox": lambda model, given, batch: _foolbox(
            foolbox.attacks.DDNAttack(init_epsilon=1, steps=given["steps"], gamma=given["gamma"]),
            model,
        ),
    },
    "square": {
        "torchattacks": lambda model, given, batch: _torchattacks(
            torchattacks.Square(
                model, eps=given["eps"], n_queries=given["queries"], p_init=given["p_init"]
            )
        ),
        "ART": lambda model, given, batch: _art(
            evasion.SquareAttack(
                _classifier(model),
                eps=given["eps"],
                max_iter=given["queries"],
                p_init=given["p_init"],
                batch_size=batch,
                verbose=False,
            )
        ),
    },
    "jsma": {
        "torchattacks": _torchattacks_jsma,
        # It ranks features by the target's derivative alone.
        "ART": lambda model, given, batch: _art(
            evasion.SaliencyMapMethod(
                _classifier(model),
                theta=given["theta"],
                gamma=given["gamma"],
                batch_size=batch,
                verbose=False,
            )
        ),
    },
    "carlini_wagner": {
        "foolbox": lambda model, given, batch: _foolbox(
            foolbox.attacks.L2CarliniWagnerAttack(
                binary_search_steps=given["search_steps"],
                steps=given["steps"],
                stepsize=given["learning_rate"],
                initial_const=given["initial_c"],
            ),
            model,
        ),
        # It searches no c: one is given, and a search step is all that it does.
        "torchattacks": lambda model, given, batch: _torchattacks(
            torchattacks.CW(model, c=1, kappa=0, steps=given["steps"], lr=given["learning_rate"])
        ),
        "ART": lambda model, given, batch: _art(
            evasion.CarliniL2Method(
                _classifier(model),
                learning_rate=given["learning_rate"],
                binary_search_steps=given["search_steps"],
                max_iter=given["steps"],
                initial_const=given["initial_c"],
                batch_size=batch,
                verbose=False,
            )
        ),
    },
    "uniform_noise": {
        "foolbox": lambda model, given, batch: _foolbox(
            foolbox.attacks.LinfAdditiveUniformNoiseAttack(), model, given["eps"]
        ),
    },
    "l2_noise": {
        "foolbox": lambda model, given, batch: _foolbox(
            foolbox.attacks.L2AdditiveGaussianNoiseAttack(), model, given["eps"]
        ),
    },
}


def _planes(function):
    """Call a function of an image plane for each, the planes dealt to as many threads as cores."""

    def run(images):
        planes = images.reshape(-1, *images.shape[-2:])
        out = np.empty_like(planes)

        def work(part):
            for plane in range(part.start, part.stop):
                out[plane] = function(planes[plane])

        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(work, _shares(len(planes))))
        return out.reshape(images.shape)

    return run


def _stacks(function):
    """Call a function of a stack of images for a share of them a core."""

    def run(images):
        out = np.empty_like(images)

        def work(part):
            at = slice(part.start, part.stop)
            function(images[at], out[at])

        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(work, _shares(len(images))))
        return out

    return run


def _shares(count):
    ends = [count * share // CORES for share in range(CORES + 1)]
    return [range(*pair) for pair in itertools.pairwise(ends)]


def _side(sigma):
    return 2 * math.ceil(4 * sigma) + 1


def _radial(images, half):
    down = torch.fft.fftfreq(images.shape[-2])[:, None]
    across = (torch.fft.rfftfreq if half else torch.fft.fftfreq)(images.shape[-1])
    return torch.hypot(down, across)


def _highpass_fft2(cutoff):
    def run(images):
        keep = _radial(images, half=False) > cutoff
        return torch.fft.ifft2(torch.fft.fft2(images) * keep).real

    return run


def _highpass_rfft2(cutoff):
    def run(images):
        keep = _radial(images, half=True) > cutoff
        return torch.fft.irfft2(torch.fft.rfft2(images) * keep, s=images.shape[-2:])

    return run


def _highpass_scipy(cutoff):
    def run(images):
        keep = (_radial(images, half=True) > cutoff).numpy()
        spectrum = scipy.fft.rfft2(images, workers=CORES) * keep
        return scipy.fft.irfft2(spectrum, s=images.shape[-2:], workers=CORES)

    return run


# Of NumPy: they get arrays, and share the batch among threads themselves.
OF_ARRAYS = ("OpenCV", "scipy.ndimage", "scipy.fft")
FILTERS = {
    "gaussian": {
        "Kornia": lambda sigma: (
            lambda images: kornia.filters.gaussian_blur2d(
                images, (_side(sigma),) * 2, (sigma,) * 2, "reflect"
            )
        ),
        "torchvision": lambda sigma: (
            lambda images: gaussian_blur(images, [_side(sigma)] * 2, [sigma] * 2)
        ),
        "scipy.ndimage": lambda sigma: _stacks(
            lambda images, out: scipy.ndimage.gaussian_filter(
                images, sigma, mode="mirror", radius=_side(sigma) // 2, axes=(2, 3), output=out
            )
        ),
        "OpenCV": lambda sigma: _planes(
            lambda plane: cv2.GaussianBlur(
                plane, (_side(sigma),) * 2, sigma, borderType=cv2.BORDER_REFLECT_101
            )
        ),
    },
    "median": {
        "Kornia": lambda size: lambda images: kornia.filters.median_blur(images, size, "reflect"),
        "scipy.ndimage": lambda size: _stacks(
            lambda images, out: scipy.ndimage.median_filter(
                images, size=(1, 1, size, size), mode="mirror", output=out
            )
        ),
        # At the border it repeats the last pixel; the others reflect.
        "OpenCV": lambda size: _planes(lambda plane: cv2.medianBlur(plane, size)),
    },
    "highpass": {
        "torch.fft.fft2": _highpass_fft2,
        "torch.fft.rfft2": _highpass_rfft2,
        "scipy.fft": _highpass_scipy,
    },
}
