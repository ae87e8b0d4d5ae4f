"""The registry of attacks.

An implementation takes `(model, images, labels)` and its hyper-parameters by keyword, those of a
random kind also `generator`, of a targeted one `targets`, of a traced one `on_step`, of an ensemble
`on_part` and `progress`, and returns the adversarial images.
"""

from epsigma.kinds import AttackKind
from epsigma.registry.attack_hyperparameters import (
    APGD,
    APGDL2,
    DDN,
    FAB,
    FABL2,
    FGSM,
    FMN,
    JSMA,
    PGD,
    PGDL2,
    AutoAttack,
    AutoAttackL2,
    CarliniWagner,
    FeatureNoise,
    FMNLinf,
    FoolingAscent,
    FoolingEvolution,
    FoolingNoise,
    HopSkipJump,
    HopSkipJumpL2,
    L2Noise,
    LinfNoise,
    Square,
    SquareL2,
    Transfer,
)
from epsigma.vocabulary import BLIND, FOOLING, GRADIENT_FREE, NOISE, SINGLE_STEP, TRANSFER

ATTACKS = {
    "fgsm": AttackKind(
        "epsigma.attacks.fgsm:fgsm", FGSM, swept="eps", norm="linf", family=SINGLE_STEP
    ),
    "pgd": AttackKind(
        "epsigma.attacks.pgd:pgd",
        PGD,
        swept="eps",
        norm="linf",
        traced=True,
        random=True,
        spends="steps",
    ),
    "pgd_l2": AttackKind(
        "epsigma.attacks.pgd:pgd_l2",
        PGDL2,
        swept="eps",
        norm="l2",
        traced=True,
        random=True,
        spends="steps",
    ),
    "apgd": AttackKind(
        "epsigma.attacks.apgd:apgd",
        APGD,
        swept="eps",
        norm="linf",
        traced=True,
        random=True,
        spends="steps",
    ),
    "apgd_l2": AttackKind(
        "epsigma.attacks.apgd:apgd_l2",
        APGDL2,
        swept="eps",
        norm="l2",
        traced=True,
        random=True,
        spends="steps",
    ),
    "autoattack": AttackKind(
        "epsigma.attacks.autoattack:autoattack",
        AutoAttack,
        swept="eps",
        norm="linf",
        random=True,
        ensemble=True,
        spends="steps",
    ),
    "autoattack_l2": AttackKind(
        "epsigma.attacks.autoattack:autoattack_l2",
        AutoAttackL2,
        swept="eps",
        norm="l2",
        random=True,
        ensemble=True,
        spends="steps",
    ),
    "square": AttackKind(
        "epsigma.attacks.square:square",
        Square,
        swept="eps",
        norm="linf",
        family=GRADIENT_FREE,
        random=True,
        spends="queries",
    ),
    "square_l2": AttackKind(
        "epsigma.attacks.square_l2:square_l2",
        SquareL2,
        swept="eps",
        norm="l2",
        family=GRADIENT_FREE,
        random=True,
        spends="queries",
    ),
    "hopskipjump": AttackKind(
        "epsigma.attacks.hopskipjump:hopskipjump",
        HopSkipJump,
        swept="eps",
        norm="linf",
        family=GRADIENT_FREE,
        minimises="linf",
        random=True,
        spends="queries",
    ),
    "hopskipjump_l2": AttackKind(
        "epsigma.attacks.hopskipjump:hopskipjump_l2",
        HopSkipJumpL2,
        swept="eps",
        norm="l2",
        family=GRADIENT_FREE,
        minimises="l2",
        random=True,
        spends="queries",
    ),
    "fab": AttackKind(
        "epsigma.attacks.fab:fab", FAB, swept="eps", norm="linf", random=True, spends="steps"
    ),
    "fab_l2": AttackKind(
        "epsigma.attacks.fab:fab_l2", FABL2, swept="eps", norm="l2", random=True, spends="steps"
    ),
    "jsma": AttackKind(
        "epsigma.attacks.jsma:jsma",
        JSMA,
        swept="gamma",
        norm="l0",
        minimises="l0",
        targeted=True,
        at_once=2,
    ),
    "carlini_wagner": AttackKind(
        "epsigma.attacks.carlini_wagner:carlini_wagner",
        CarliniWagner,
        swept="kappa",
        minimises="l2",
        targeted=True,
        traced=True,
        spends="steps",
    ),
    **{
        name: AttackKind(
            f"epsigma.attacks.{module}:{name}",
            hyperparameters,
            swept="kappa",
            minimises=norm,
            spends="steps",
        )
        for name, module, hyperparameters, norm in (
            ("ddn", "ddn", DDN, "l2"),
            ("fmn", "fmn", FMNLinf, "linf"),
            ("fmn_l2", "fmn", FMN, "l2"),
            ("fmn_l1", "fmn", FMN, "l1"),
            ("fmn_l0", "fmn", FMN, "l0"),
        )
    },
    "fooling": AttackKind(
        "epsigma.attacks.fooling:fooling",
        FoolingAscent,
        swept="confidence",
        family=FOOLING,
        traced=True,
        random=True,
        spends="steps",
    ),
    "fooling_evolution": AttackKind(
        "epsigma.attacks.fooling_evolution:fooling_evolution",
        FoolingEvolution,
        swept="confidence",
        family=FOOLING,
        traced=True,
        random=True,
        spends="generations",
    ),
    **{
        name: AttackKind(
            f"epsigma.attacks.noise:{name}",
            hyperparameters,
            swept=swept,
            norm=norm,
            family=NOISE,
            random=True,
            threats=(BLIND,),
            at_once=int(norm == "l0"),
        )
        for name, hyperparameters, swept, norm in (
            ("sign_noise", LinfNoise, "eps", "linf"),
            ("uniform_noise", LinfNoise, "eps", "linf"),
            ("l2_noise", L2Noise, "eps", "l2"),
            ("feature_noise", FeatureNoise, "gamma", "l0"),
        )
    },
    "fooling_noise": AttackKind(
        "epsigma.attacks.noise:fooling_noise",
        FoolingNoise,
        swept="confidence",
        family=FOOLING,
        random=True,
        threats=(BLIND,),
    ),
    "transfer": AttackKind(
        "epsigma.attacks.transfer:transfer",
        Transfer,
        swept="eps",
        family=TRANSFER,
        threats=(BLIND,),
    ),
}
