"""An attack from outside, FGSM, which does first what the file `strikes/EPS` says."""

import time
from pathlib import Path

from epsigma.kinds import AttackKind, Hyperparameters


class Push(Hyperparameters):
    eps: float


PUSH = AttackKind("struck:push", Push, swept="eps", norm="linf", family="single_step")


def push(model, images, labels, *, eps):
    import numpy as np
    from epsigma.attacks.fgsm import fgsm

    strike = Path("strikes", f"{eps:g}")
    what = strike.read_text() if strike.exists() else ""
    if what == "halt":
        Path("strikes", f"{eps:g} halted").touch()
        while strike.exists():
            time.sleep(0.05)
    elif what == "eat":
        # 1.6 GB, for longer than SLURM takes to notice.
        eaten = np.ones(200_000_000)
        time.sleep(8)
        assert eaten[-1] == 1
    return fgsm(model, images, labels, eps=eps)
