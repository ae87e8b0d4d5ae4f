"""What everything shares: threat models, the filter `none`, families of attacks, types, memory.

Imports nothing of the package.
"""

# The threat models. Both attackers know the classifier; only the aware one knows the defence.
BLIND, AWARE = THREATS = ("blind", "aware")
# The filter that is none, and the level of what has nothing to sweep.
NO_FILTER = "none"
FIXED = "fixed"

# Families of attacks, see `epsigma.kinds.AttackKind`.
SINGLE_STEP, ITERATIVE = GRADIENT_BASED = ("single_step", "iterative")
GRADIENT_FREE = "gradient_free"
NOISE = "noise"
TRANSFER = "transfer"
FOOLING = "fooling"
FAMILIES = (*GRADIENT_BASED, GRADIENT_FREE, NOISE, TRANSFER, FOOLING)

# The norms in which the distances of attacks that minimise one stand beside budgets ε.
EPS_NORMS = ("linf", "l2")

# The gradient that an attacker may take of any filter in place of its own.
IDENTITY = "identity"

# The types that adversarial images may be stored as, and what filters leave of each: values outside
# [0, 1], too, of which 8 bits have none.
FLOAT32, FLOAT16, UINT8 = ("float32", "float16", "uint8")
FILTERED_AS = {FLOAT32: FLOAT32, FLOAT16: FLOAT16, UINT8: FLOAT16}

# MB that a job's batch of images may take, with what is computed of it, if the study does not say;
# less takes no less time. And what a process takes beside it: torch, Snakemake, all that is
# imported.
MEMORY_MB, PROCESS_MB = 600, 1400

# How much longer than its budget rounding may make a perturbation: relative, and in units of the
# pixel range.
RELATIVE, ABSOLUTE = 1e-5, 1e-6


def widen(budget: float) -> float:
    """Say how long a perturbation may be: what `in_ball` lets pass, and what proofs cover."""
    return budget * (1 + RELATIVE) + ABSOLUTE


def is_white_box(threat: str, filter_name: str) -> bool:
    """Whether the attacker knows everything there is: the defence, or that there is none."""
    return threat == AWARE or filter_name == NO_FILTER


def queries_model(family: str, spends: str | None) -> bool:
    """Whether an attack of a family evaluates the model that it is scored on.

    Args:
        family: of the attack.
        spends: the hyper-parameter that says how much it tries, such as `steps`; None if it has
            none. Of fooling images those that cost nothing are noise.
    """
    return family not in (NOISE, TRANSFER) and (family != FOOLING or spends is not None)
