"""Stage cost: what each defence takes, in training and for an image."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from epsigma.cell import Level
from epsigma.defence import add_detectors
from epsigma.device import CPU
from epsigma.filters.build import build_filter
from epsigma.job import Job
from epsigma.memoize import Memoized
from epsigma.models.classifier import load_classifier
from epsigma.randomness import seeded_generator
from epsigma.storage.files import atomic_write, read_json
from epsigma.storage.images import read_clean

# Images at a time that are timed, and how often in a round.
TIMED = {1: 20, 1000: 1}
# Rounds, in each of which every defence is timed once, one after the other.
ROUNDS = 9
# What is run before anything is timed.
WARM_UP = 2

COLUMNS = [
    *("dataset", "model", "filter", "strength_name", "strength", "detectors"),
    *("training_seconds", "extra_training_seconds", "parameters", "multiply_adds"),
    *(f"microseconds_{batch}{of}" for batch in TIMED for of in ("", "_low", "_high")),
    "rounds",
]


def measure_cost(job: Job, *, test: str, cost: str, files: Sequence[str] = ()) -> None:
    """Measure what the defences of a data set cost: on one core, nothing else at work.

    Args:
        job: its settings are the `defences`: of each the `cell` (`model`, `filter`, `strength`),
            how to make the `model`, the `filter` and the `detectors`, the `checkpoint` of the
            model, and paths of what training spent: `trained` (the model and its teacher),
            `undefended` (the same of what it is a variant of, or of itself) and `autoencoders`.
            And `files`, all paths that are named there, if they do not lie where they say.
        test: clean test images.
        cost: CSV to write, a row a defence: seconds of the processor in training, and by how much
            more that is than the undefended model's (empty for weights from a file); `parameters`
            of all that an image passes; `multiply_adds` for one, of matrix products and
            convolutions (other operations are none); microseconds an image in batches of 1 and
            1,000, median and quartiles over `rounds` in which all defences take turns.
        files: where the settings' `files` lie.
    """
    with job.logged() as log:
        torch.set_num_threads(1)
        images = read_clean(test, CPU).images
        shown = {batch: _repeat(images, batch) for batch in TIMED}
        where = dict(zip(job.settings.get("files", ()), files, strict=True))
        entries = [_locate(entry, where) for entry in job.settings["defences"]]
        made = [_build_defence(job, entry) for entry in entries]
        times = _time_in_turns(made, shown)
        rows = []
        for entry, defence, taken in zip(entries, made, times, strict=True):
            cell, strength = entry["cell"], Level.parse(entry["cell"]["strength"])
            rows.append(
                {
                    "dataset": job.cell["dataset"],
                    "model": cell["model"],
                    "filter": cell["filter"],
                    "strength_name": strength.name,
                    "strength": strength.value,
                    "detectors": len(entry.get("detectors", ())),
                    **_sum_training(entry),
                    "multiply_adds": multiply_adds(defence, shown[1]),
                    **{name: value for batch in TIMED for name, value in _quartiles(taken, batch)},
                    "rounds": ROUNDS,
                }
            )
            log.info("%s", rows[-1])
        with atomic_write(cost) as temporary:
            table = pd.DataFrame(rows, columns=COLUMNS)
            table.to_csv(temporary, index=False, float_format="%.6g")


def _repeat(images: Tensor, count: int) -> Tensor:
    """Take `count` images, the first ones again if there are fewer."""
    return images[torch.arange(count) % len(images)].contiguous()


def _locate(value: Any, where: dict[str, str]) -> Any:
    """Replace paths in settings of any depth by where they lie."""
    if isinstance(value, dict):
        return {key: _locate(inner, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [_locate(inner, where) for inner in value]
    return where.get(value, value) if isinstance(value, str) else value


def _build_defence(job: Job, entry: dict[str, Any]) -> nn.Module:
    """Make the defended model, as one module."""
    generator = seeded_generator(job, CPU, "filter")
    model = Memoized(load_classifier(entry["checkpoint"], entry["model"], CPU))
    filtered = nn.Sequential(build_filter(entry["filter"], generator), model)
    detectors = entry.get("detectors")
    return add_detectors(detectors, filtered, model, generator) if detectors else filtered


@torch.no_grad()
def _time_in_turns(
    defences: Sequence[nn.Module], shown: dict[int, Tensor]
) -> list[dict[int, list[float]]]:
    """Time each defence once a round, in seconds an image, by size of the batch."""
    taken: list[dict[int, list[float]]] = [{batch: [] for batch in TIMED} for _ in defences]
    for defence in defences:
        for _ in range(WARM_UP):
            defence(shown[1])
    for _ in range(ROUNDS):
        for defence, seconds in zip(defences, taken, strict=True):
            for batch, times in TIMED.items():
                seconds[batch].append(_time(defence, shown[batch], times) / batch)
    return taken


def _time(model: Callable[[Tensor], Tensor], images: Tensor, times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        model(images)
    return (time.perf_counter() - started) / times


def _quartiles(taken: dict[int, list[float]], batch: int) -> list[tuple[str, float]]:
    low, middle, high = 1e6 * np.quantile(taken[batch], (0.25, 0.5, 0.75))
    name = f"microseconds_{batch}"
    return [(name, middle), (f"{name}_low", low), (f"{name}_high", high)]


@torch.no_grad()
def multiply_adds(module: nn.Module, image: Tensor) -> int:
    """Count the multiply-adds of the matrix products and convolutions for an image (1, C, H, W)."""
    with FlopCounterMode(display=False) as counter:
        module(image)
    return int(counter.get_total_flops()) // 2


def _sum_training(entry: dict[str, Any]) -> dict[str, float | int | None]:
    """Add up the time that training took, and the parameters."""
    spent = {
        part: [read_json(path) for path in entry[part]]
        for part in ("trained", "undefended", "autoencoders")
    }
    # The model itself comes first, then its teacher, which is not evaluated afterwards.
    evaluated = [*spent["trained"][:1], *spent["autoencoders"]]
    total = _sum_seconds([*spent["trained"], *spent["autoencoders"]])
    without = _sum_seconds(spent["undefended"])
    return {
        "training_seconds": total,
        "extra_training_seconds": None if total is None or without is None else total - without,
        "parameters": sum(one["parameters"] for one in evaluated),
    }


def _sum_seconds(spent: Sequence[dict[str, Any]]) -> float | None:
    """Add up seconds; None if some are not known."""
    seconds = [one["seconds"] for one in spent]
    return None if None in seconds else float(sum(seconds))
