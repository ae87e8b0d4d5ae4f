"""Checks of the classifier itself."""

from collections.abc import Iterator

from epsigma.checks.evidence import Evidence
from epsigma.checks.verdict import FAIL, WARN, Verdict, at_most, judged
from epsigma.tables.intervals import wilson

# Share of examples whose gradient may be zero or not finite.
MASKED = 0.01
# Of the largest logit: what float32 rounds, and what 16 bits do.
ALIKE, ROUNDED = 1e-4, 1e-2
# Standard deviations that are beyond chance (95 %, two-sided).
DEVIATIONS = 1.96


def logits(evidence: Evidence) -> Iterator[Verdict]:
    """The attacked outputs are logits: softmax's saturate, and hide the gradient."""
    for found in evidence.model_probes:
        share = found["probability_like"]
        sentence = (
            f"{share:.0%} of the model's outputs are non-negative and sum to one, as softmax's "
            "would be; logits aren't."
        )
        yield Verdict("logits", found["cell"], judged(share < 1), share, 1, sentence)


def eval_mode(evidence: Evidence) -> Iterator[Verdict]:
    """No module of the model is in training mode."""
    for found in evidence.model_probes:
        training = found["training_modules"]
        sentence = f"{training} of the model's modules are in training mode."
        yield at_most("eval_mode", found["cell"], training, 0, sentence)


def deterministic(evidence: Evidence) -> Iterator[Verdict]:
    """The model answers the same twice, and one image as in a batch.

    As a share of the largest logit, since floating-point numbers are rounded to a share of theirs.
    What 16 bits round is a warning.
    """
    for found in evidence.model_probes:
        scale = found["largest_logit"] or 1.0
        worst = max(found["repeat_error"], found["batch_error"]) / scale
        sentence = (
            "Asked twice, and about an image alone and in a batch, the model's logits differ by "
            f"at most {worst:.2g} of the largest."
        )
        otherwise = WARN if worst <= ROUNDED else FAIL
        yield at_most("deterministic", found["cell"], worst, ALIKE, sentence, otherwise)


def above_chance(evidence: Evidence) -> Iterator[Verdict]:
    """The model has learnt the labels: clean images are right more often than by chance.

    By chance are as many as if the same answers had been given to the images in any other order.
    So classes may be as rare as they like; naming one class always is chance.
    """
    for found in evidence.model_probes:
        n, n_correct, chance = found["n"], found["n_correct"], found["n_by_chance"]
        majority, deviations = found["majority"], found["deviations_above_chance"]
        sentence = (
            f"Without a filter, clean accuracy is {n_correct / n:.1%}. By chance these answers "
            f"would be right on {chance / n:.1%}, and naming the most frequent class always on "
            f"{majority:.1%}."
        )
        is_above = deviations > DEVIATIONS
        # Not even a perfect model could show it: of one image, or of one class.
        is_untold = found["most_deviations"] <= DEVIATIONS
        if is_untold:
            sentence += " The images are too few, or too much of one class, to tell more."
        verdict = judged(
            is_above and n_correct >= majority * n, WARN if is_above or is_untold else FAIL
        )
        yield Verdict("above_chance", found["cell"], verdict, n_correct / n, chance / n, sentence)


def gradients(evidence: Evidence) -> Iterator[Verdict]:
    """The loss has a gradient at the images, bare and through the filters: none is masked."""
    for found in evidence.attack_probes:
        if found.get("lost_gradients") is None:
            continue
        share, n = found["lost_gradients"], found["n"]
        low, _ = wilson(round(share * n), n)
        sentence = (
            f"On {share:.1%} of the examples the gradient is zero, vanishing or not finite: more "
            "than a few mean that it is masked, not that the model is robust."
        )
        yield Verdict(
            "gradients", found["cell"], judged(low <= MASKED, WARN), share, MASKED, sentence
        )
