"""What to do about a check that fails or warns: a sentence each, behind its own."""

from dataclasses import replace

from epsigma.checks.verdict import FAIL, WARN, Verdict

_STRONGER = (
    "Give the attack, where it has them, more steps or restarts, a larger step_size, or the other "
    "loss (loss: margin or cross_entropy)."
)
_WEAK_FILTER = "Take a strength at which the filter does something, or correct its forward."
_REPORT = "The fault is epsigma's: report it, with the study."
# By the name of the check.
REMEDIES = {
    "logits": "Return logits: leave out the softmax at the end of the model.",
    "eval_mode": "Take what calls train() out of the model's forward.",
    "deterministic": (
        "Take out of the model's forward what draws (of dropout, say training=self.training), and "
        "what an image has of the others in its batch."
    ),
    "above_chance": (
        "Train for longer (epochs) or with another learning_rate, or see whether labels and images "
        "belong together."
    ),
    "gradients": "Attack by loss: margin, whose gradient stays where a softmax saturates.",
    "formula": "Correct the filter's forward or its formula: both have to be the same filter.",
    "deviation": "Correct the filter's deviation, or what its forward draws.",
    "response": "Correct the filter's response, or its forward, or say is_linear = False.",
    "changes_pixels": _WEAK_FILTER,
    "all_pass": "Correct the identity_parameters of the filter's entry, or its forward.",
    "filter_applied": _WEAK_FILTER,
    "attacked_aware": "Let an attack and the filter both list aware among their threats.",
    "scored_apart": _REPORT,
    "false_positives": (
        "Give the data set validation images that are like those of the test, or more of them."
    ),
    "in_ball": "Clip what the attack adds to its budget.",
    "in_range": "Clip what the attack returns to [0, 1].",
    "stored": "Say stored_as: float32, or float16; sets of another type are made again.",
    "clean_at_zero": (
        "Take out of the model's forward what draws, and what an image has of the others in its "
        "batch (the check deterministic)."
    ),
    "monotone": _STRONGER,
    "iterative": _STRONGER,
    "above_transfer": _STRONGER,
    "above_noise": _STRONGER,
    "aware": _STRONGER,
    "accepted": "Give the attack more steps or generations, or ask for less confidence.",
    "gradient_free": _STRONGER,
    "unbounded": _STRONGER,
    "half_range": _STRONGER,
    "auto_pgd": (
        "Auto-PGD ascends two losses: add the attack, or apgd, with the other one (loss: margin or "
        "cross_entropy)."
    ),
    "surrogate": (
        "Add the attack once more, with gradient: identity and threats: [aware], so that the worst "
        'case has it; of a filter of your own say gradient="bpda" in its entry, with a surrogate '
        "that is nearer to it (the identity is one)."
    ),
    "draws": "Give the attack more eot_samples.",
    "converged": "Give the attack more of what it spends.",
    "converged_size": "Give the attack more of what it spends.",
    "levelled": "Give the attack more steps.",
    "proofs_hold": _REPORT,
    "counterexamples": _REPORT,
    "smoothing_holds": _REPORT,
}


def add_remedy(verdict: Verdict) -> Verdict:
    """Say behind a failure or a warning what to do about it; a check of one's own may have none."""
    remedy = REMEDIES.get(verdict.check)
    if remedy is None or verdict.verdict not in (WARN, FAIL):
        return verdict
    return replace(verdict, sentence=f"{verdict.sentence} {remedy}")
