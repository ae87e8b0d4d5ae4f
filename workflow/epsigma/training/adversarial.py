"""Adversarial training: on images that are attacked anew in each step."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from epsigma.attacks.fgsm import fgsm
from epsigma.attacks.gradient import input_gradient
from epsigma.attacks.pgd import pgd
from epsigma.training.objective import Objective

METHODS = ("fgsm", "pgd", "fast")
# Of `fast`, in units of ε (Wong et al., section 4.1).
FAST_STEP = 1.25


class Adversarial(Objective):
    """The loss w·J(θ, x, y) + (1 − w)·J(θ, x̃, y), x̃ being x attacked with the present weights.

    The attack runs the model in eval mode, so that dropout does not blur the gradient and batch
    normalisation learns from what is trained on only.

    Args:
        method: `fgsm`, x̃ = clip(x + ε·sign ∇ₓJ), with w = ½ (Goodfellow et al.); `pgd`, `steps`
            steps from a random start, with w = 0 (Madry et al.); `fast`, one such step of 1.25 ε
            (Wong et al.).
        eps: radius of the ℓ∞ ball, in [0, 1].
        steps: of `pgd`.
        step_size: α; if None, 2.5·ε / steps, of `fast` 1.25·ε.
        clean_weight: w in [0, 1]; if None, the method's.
        warm_up: epochs in which ε rises linearly from 0.

    Source: Goodfellow, Shlens & Szegedy 2014 (arXiv:1412.6572), section 6; Madry, Makelov, Schmidt,
    Tsipras & Vladu 2018 (arXiv:1706.06083), section 2; Wong, Rice & Kolter 2020 (arXiv:2001.03994),
    algorithm 3.
    """

    def __init__(
        self,
        *,
        method: str,
        eps: float,
        steps: int = 10,
        step_size: float | None = None,
        clean_weight: float | None = None,
        warm_up: float = 0,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method = {method!r} is none of {', '.join(METHODS)}")
        self.method = method
        self.eps = eps
        self.steps = steps
        self.step_size = FAST_STEP * eps if method == "fast" and step_size is None else step_size
        default = 0.5 if method == "fgsm" else 0.0
        self.clean_weight = default if clean_weight is None else clean_weight
        self.warm_up = warm_up

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch, as `Objective` says; the logits are of attacked images."""
        share = min(1.0, progress / self.warm_up) if self.warm_up else 1.0
        logits = model(self.attacked(model, images, labels, share))
        loss = functional.cross_entropy(logits, labels)
        if self.clean_weight:
            clean = functional.cross_entropy(model(images), labels)
            loss = self.clean_weight * clean + (1 - self.clean_weight) * loss
        return loss, logits

    def attacked(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        """Attack images with a share of ε and of the step; the model's mode is put back."""
        modes = [(module, module.training) for module in model.modules()]
        parameters = [(one, one.requires_grad) for one in model.parameters()]
        model.eval().requires_grad_(False)
        try:
            eps = self.eps * share
            size = None if self.step_size is None else self.step_size * share
            if self.method == "fgsm":
                return fgsm(model, images, labels, eps=eps)
            if self.method == "fast":
                return fast_step(model, images, labels, eps=eps, step_size=size or 0.0)
            return pgd(model, images, labels, eps=eps, steps=self.steps, step_size=size or None)
        finally:
            for module, mode in modes:
                module.training = mode
            for one, wanted in parameters:
                one.requires_grad_(wanted)


def fast_step(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, step_size: float
) -> Tensor:
    """Take one step of FGSM from a random point of the ball of radius ε.

    The start is not clipped to the pixel range, and the result is. On MNIST a clipped one leaves
    half of the black pixels black, and the model learns to hide its gradient (PGD leaves about 1 %
    of the accuracy). For the arguments and the result see `epsigma.attacks`.

    Source: Wong, Rice & Kolter 2020 (arXiv:2001.03994), algorithm 3, and the authors' code for
    MNIST.
    """
    delta = torch.empty_like(images).uniform_(-eps, eps)
    gradient, _ = input_gradient(model, images + delta, labels, "cross_entropy")
    delta.add_(gradient.sign_(), alpha=step_size).clamp_(-eps, eps)
    return delta.add_(images).clamp_(0, 1)
