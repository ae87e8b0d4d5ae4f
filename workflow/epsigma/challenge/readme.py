"""The README of a challenge's folder."""

from importlib.resources import files
from pathlib import Path
from string import Template

from epsigma.cell import Level
from epsigma.challenge.rules import Rules, scored_cells, study_of
from epsigma.device import CPU
from epsigma.figures.levels import NORMS, level_label
from epsigma.plan import paths
from epsigma.storage.files import write_text
from epsigma.storage.stored import open_clean

# An attack of each norm, which makes an example: where it lives, and its name.
EXAMPLES = {
    "linf": ("epsigma.attacks.pgd", "pgd"),
    "l2": ("epsigma.attacks.pgd", "pgd_l2"),
    "l0": ("epsigma.attacks.noise", "feature_noise"),
}


def write_readme(folder: Path, rules: Rules) -> None:
    """Write what to do with the folder of a challenge, and what there is in it."""
    study = study_of(rules)
    shapes = {}
    for name in study.names("datasets"):
        path = folder / paths.TEST.format(dataset=name).removeprefix(paths.RESULTS)
        shapes[name] = tuple(open_clean(path, CPU).images.shape[1:])
    rows = [
        f"| {dataset} | {shapes[dataset]} | {NORMS[ball.norm]} | "
        f"{level_label(ball.name, ball.budget)} | {count:,} |"
        for ball in rules.balls
        for dataset, count in ball.images.items()
    ]
    first = rules.balls[0]
    dataset, model = find_attacked(rules)
    text = (files("epsigma.challenge") / "readme.md").read_text(encoding="utf-8")
    filled = Template(text).substitute(
        balls="\n".join(rows),
        models=", ".join(study.names("models")),
        attacks=", ".join(study.names("attacks")),
        filters=", ".join(study.names("filters")) or "none",
        seconds=f"{rules.limits.seconds:,}",
        memory=f"{rules.limits.memory_mb:,}",
        dataset=dataset,
        model=model,
        count=first.images[dataset],
        budget=f"{first.name}={first.budget}",
        attack=EXAMPLES[first.norm][1],
        module=EXAMPLES[first.norm][0],
    )
    write_text(folder / "README.md", filled)


def find_attacked(rules: Rules) -> tuple[str, str]:
    """Find a data set and a model that are attacked in the first ball: not every model is."""
    ball = rules.balls[0]
    dataset, level = next(iter(ball.images)), Level(ball.name, ball.budget)
    cells = scored_cells(study_of(rules))
    return dataset, next(
        cell.model for cell in cells if (cell.dataset, cell.budget) == (dataset, level)
    )
