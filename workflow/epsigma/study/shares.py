"""Budgets that are a share of an image's features: enough of them to attack."""

from collections.abc import Iterator

from epsigma.registry.datasets import SIZES
from epsigma.study.schema import Study


def check_shares(study: Study) -> Iterator[str]:
    """Refuse shares of fewer features than an attack changes at once.

    Of the user's own data it is not known how many features an image has: there a trial tells.
    """
    for index, attack in enumerate(study.attacks):
        entry = attack.entry
        if entry.swept is None or not entry.at_once:
            continue
        for dataset in study.datasets:
            size = SIZES.get(dataset.kind)
            if size is None:
                continue
            shares = [share for share in attack[entry.swept] if share > 0]
            short = [share for share in shares if share * size.values + 1e-9 < entry.at_once]
            if short:
                yield (
                    f"attacks[{index}] ({attack.name}).{entry.swept}: {short[0]} of the "
                    f"{size.values} values of an image of {dataset.name} is not even the "
                    f"{entry.at_once} that are changed at once; at least "
                    f"{entry.at_once}/{size.values}, or 0"
                )
