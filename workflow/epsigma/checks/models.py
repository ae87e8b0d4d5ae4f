"""Checks of the classifier itself."""

from collections.abc import Iterator

from epsigma.checks.evidence import Evidence
from epsigma.checks.verdict import WARN, Verdict, at_most, judged
from epsigma.tables.intervals import wilson

# Share of examples whose gradient may be zero or not finite.
MASKED = 0.01


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
    """The model is in eval mode, answers the same twice, and one image as in a batch."""
    for found in evidence.model_probes:
        training = found["training_modules"]
        sentence = f"{training} of the model's modules are in training mode."
        yield at_most("eval_mode", found["cell"], training, 0, sentence)
        worst = max(found["repeat_error"], found["batch_error"])
        sentence = (
            "Asked twice, and about an image alone and in a batch, the model's logits differ by "
            f"at most {worst:.2g}."
        )
        yield at_most("deterministic", found["cell"], worst, 1e-3, sentence)


def above_chance(evidence: Evidence) -> Iterator[Verdict]:
    """The model has learnt the labels: on clean images it beats the most frequent class."""
    for found in evidence.model_probes:
        low, _ = wilson(found["n_correct"], found["n"])
        accuracy, majority = found["n_correct"] / found["n"], found["majority"]
        sentence = (
            f"Clean accuracy is {accuracy:.1%}, and {majority:.1%} would come of naming the most "
            "frequent class always."
        )
        verdict = judged(low > majority)
        yield Verdict("above_chance", found["cell"], verdict, accuracy, majority, sentence)


def gradients(evidence: Evidence) -> Iterator[Verdict]:
    """The loss has a gradient at the images, bare and through the filters: none is masked."""
    for found in evidence.attack_probes:
        if found.get("lost_gradients") is None:
            continue
        share = found["lost_gradients"]
        sentence = (
            f"On {share:.1%} of the examples the gradient is zero, vanishing or not finite: more "
            "than a few mean that it is masked, not that the model is robust."
        )
        yield at_most("gradients", found["cell"], share, MASKED, sentence, WARN)
