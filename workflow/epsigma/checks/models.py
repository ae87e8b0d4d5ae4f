"""Checks of the classifier itself."""

from collections.abc import Iterator

from epsigma.checks.evidence import Evidence
from epsigma.checks.verdict import WARN, Verdict, judged
from epsigma.tables.intervals import wilson

# Share of examples whose gradient may be zero or not finite.
MASKED = 0.01


def logits(evidence: Evidence) -> Iterator[Verdict]:
    """The attacked outputs are logits: softmax's saturate, and hide the gradient."""
    for found in evidence.model_probes:
        share = found["probability_like"]
        yield Verdict(
            "logits",
            found["cell"],
            judged(share < 1),
            share,
            1,
            f"{share:.0%} of the model's outputs are non-negative and sum to one, as softmax's "
            "would be; logits aren't.",
        )


def eval_mode(evidence: Evidence) -> Iterator[Verdict]:
    """The model is in eval mode, answers the same twice, and one image as in a batch."""
    for found in evidence.model_probes:
        yield Verdict(
            "eval_mode",
            found["cell"],
            judged(found["training_modules"] == 0),
            found["training_modules"],
            0,
            f"{found['training_modules']} of the model's modules are in training mode.",
        )
        worst = max(found["repeat_error"], found["batch_error"])
        yield Verdict(
            "deterministic",
            found["cell"],
            judged(worst <= 1e-3),
            worst,
            1e-3,
            f"Asked twice, and about an image alone and in a batch, the model's logits differ by "
            f"at most {worst:.2g}.",
        )


def above_chance(evidence: Evidence) -> Iterator[Verdict]:
    """The model has learnt the labels: on clean images it beats the most frequent class."""
    for found in evidence.model_probes:
        low, _ = wilson(found["n_correct"], found["n"])
        yield Verdict(
            "above_chance",
            found["cell"],
            judged(low > found["majority"]),
            found["n_correct"] / found["n"],
            found["majority"],
            f"Clean accuracy is {found['n_correct'] / found['n']:.1%}, and "
            f"{found['majority']:.1%} would come of naming the most frequent class always.",
        )


def gradients(evidence: Evidence) -> Iterator[Verdict]:
    """The loss has a gradient at the images, bare and through the filters: none is masked."""
    for found in evidence.attack_probes:
        if found.get("lost_gradients") is None:
            continue
        share = found["lost_gradients"]
        yield Verdict(
            "gradients",
            found["cell"],
            judged(share <= MASKED, WARN),
            share,
            MASKED,
            f"On {share:.1%} of the examples the gradient is zero, vanishing or not finite: more "
            "than a few mean that it is masked, not that the model is robust.",
        )
