"""The registry of checks: what each is made by, and which measurement it needs.

A check is named as its verdicts are. `all` runs every one, `cheap` those that run no attack.
"""

from dataclasses import dataclass

ALL, CHEAP = "all", "cheap"
# What is measured for checks: of a model, of a filter, and parts of the probe of an attack.
MODEL, FILTER = "model", "filter"
LONGER, UNBOUNDED, AUTO_PGD, GRADIENTS = "longer", "unbounded", "auto_pgd", "gradients"
BY_IDENTITY, DRAWS = "by_identity", "draws"
# The cost of each measurement. Those of attacks are of 500 images at most, at one budget.
COSTS = {
    MODEL: "two looks of the model at the test images, and 64 images one by one",
    FILTER: "the filter on 500 images, its definition on 21; of one that draws 400 draws",
    LONGER: "the attack for twice as long, and once more as it is if its loss is followed",
    UNBOUNDED: "the attack without a bound, in ℓ∞ also at ε = 0.5",
    AUTO_PGD: "100 gradients of an image",
    BY_IDENTITY: "the attack once more, through the filter by the gradient of the identity",
    DRAWS: "of filters that draw, the attack as it is, and over twice as many draws",
    GRADIENTS: "one gradient of an image",
}
OF_ATTACK = (LONGER, UNBOUNDED, AUTO_PGD, BY_IDENTITY, DRAWS, GRADIENTS)
# These run attacks.
COSTLY = (LONGER, UNBOUNDED, AUTO_PGD, BY_IDENTITY, DRAWS)


@dataclass(frozen=True)
class CheckKind:
    """A check.

    Args:
        implementation: the function of `epsigma.checks.evidence.Evidence` that yields its
            verdicts, as `package.module:name`.
        needs: the key of `COSTS` that it needs to be measured; None if tables are enough.
    """

    implementation: str
    needs: str | None = None

    @property
    def module(self) -> str:
        """The module of the implementation."""
        return self.implementation.partition(":")[0]


def _list_checks(module: str, **needs: str | None) -> dict[str, CheckKind]:
    """Make entries of functions of a module of `epsigma.checks`, by what each needs."""
    return {
        name: CheckKind(f"epsigma.checks.{module}:{name}", need) for name, need in needs.items()
    }


CHECKS: dict[str, CheckKind] = {
    **_list_checks(
        "models",
        logits=MODEL,
        eval_mode=MODEL,
        deterministic=MODEL,
        above_chance=MODEL,
        gradients=GRADIENTS,
    ),
    **_list_checks(
        "filters",
        formula=FILTER,
        deviation=FILTER,
        response=FILTER,
        changes_pixels=FILTER,
        all_pass=FILTER,
        filter_applied=FILTER,
        attacked_aware=None,
    ),
    **_list_checks("detectors", scored_apart=None, false_positives=None),
    **_list_checks(
        "attacks",
        in_ball=None,
        in_range=None,
        stored=None,
        clean_at_zero=None,
        monotone=None,
        iterative=None,
        above_transfer=None,
        above_noise=None,
        aware=None,
        accepted=None,
        gradient_free=None,
    ),
    **_list_checks(
        "strength",
        unbounded=UNBOUNDED,
        half_range=UNBOUNDED,
        auto_pgd=AUTO_PGD,
        surrogate=BY_IDENTITY,
        draws=DRAWS,
        converged=LONGER,
        converged_size=LONGER,
        levelled=LONGER,
    ),
    **_list_checks("proofs", proofs_hold=None, counterexamples=None, smoothing_holds=None),
}
