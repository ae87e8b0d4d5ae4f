"""The one measuring loop: contenders take turns, round by round."""

import time
from dataclasses import dataclass
from typing import Any, Protocol

# A run this short is repeated while its best batch size is looked for.
BRIEF = 0.3
REPEATS = 3


class Run(Protocol):
    """Do a thing, and return what was measured of it, a dict a measurement."""

    def __call__(self) -> list[dict[str, Any]]: ...


def interleaved(runs, rounds, once=()):
    """Let the runs take turns, and yield their measurements.

    Each round begins with another of them, so that none is always first, or after the same one.

    Args:
        runs: a `Run` by what identifies it, a tuple of (key, value) pairs.
        rounds: how many.
        once: which of them take so long that the first round has to do.
    """
    for number in range(rounds):
        order = [identity for identity in runs if number == 0 or identity not in once]
        turn = number % len(order) if order else 0
        for identity in order[turn:] + order[:turn]:
            for found in runs[identity]():
                yield {**dict(identity), "round": number, **found}


@dataclass(frozen=True)
class Contender:
    """A library that does its work in batches.

    Args:
        prepare: makes of a batch size the function that is timed, which takes nothing.
        sizes: batch sizes to choose from.
        judge: makes of the function's result what is told beside the time.
    """

    prepare: Any
    sizes: tuple[int, ...]
    judge: Any


def contest(contenders, rounds):
    """Find each contender's best batch size, which warms it up, and let them take turns with it.

    Args:
        contenders: a `Contender` by its identity, as `interleaved` takes it.
        rounds: how many.
    """
    runs = {}
    for identity, one in contenders.items():
        tried = {size: _fastest(one.prepare(size)) for size in one.sizes}
        best = min(tried, key=tried.get)
        runs[identity] = _measured(one, best)
    yield from interleaved(runs, rounds)


def _measured(contender, size):
    work = contender.prepare(size)

    def run():
        seconds, result = timed(work)
        return [{"batch": size, "seconds": seconds, **contender.judge(result)}]

    return run


def _fastest(work):
    spent = [timed(work)[0]]
    while spent[-1] < BRIEF and len(spent) < REPEATS:
        spent.append(timed(work)[0])
    return min(spent)


def timed(work):
    """Return how many seconds a function took, and what it returned."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
