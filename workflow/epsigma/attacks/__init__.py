"""The registry of attacks.

An implementation takes `(model, images, labels)` and its hyper-parameters by keyword, and returns
the adversarial images.
"""

from epsigma.kinds import Kind

ATTACKS = {
    "fgsm": Kind(
        "epsigma.attacks.fgsm:fgsm",
        swept="eps",
        parameters={
            "eps": {
                "description": "radius of the l-infinity ball, in units of the pixel range [0, 1]",
                "type": "number",
                "minimum": 0,
                "maximum": 1,
            },
            "loss": {
                "description": "what the attack ascends: the cross-entropy J of the paper, or the "
                "logit margin (largest wrong logit minus the right one), which saturation "
                "cannot mask",
                "enum": ["cross_entropy", "margin"],
                "default": "cross_entropy",
            },
        },
    ),
}
