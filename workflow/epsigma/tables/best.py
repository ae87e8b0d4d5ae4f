"""The strength of each filter that keeps most, from `defences.csv`."""

import pandas as pd

from epsigma.tables.intervals import add_rate, with_bounds
from epsigma.tables.strengths import choose_strengths, keep_most_attacked
from epsigma.vocabulary import AWARE, BLIND

# Microseconds an image, in batches of 1,000.
COST = "microseconds_1000"
# What tells what is chosen apart, but for the strength.
KEYS = ["dataset", "norm", "budget_name", "budget", "model", "filter"]


def best_strengths(defences: pd.DataFrame) -> pd.DataFrame:
    """Choose, of each model, filter and budget, the strength of the highest aware accuracy.

    Where no attacker is aware, that of the highest blind one. Only strengths compete that as many
    attacks met as any other of the filter (`keep_most_attacked`). The validation images choose
    (`epsigma.tables.strengths`); the accuracies are of the other test images. Seeds are averaged,
    and the interval is Wilson's of one, or that of `add_intervals` of several. `blind_images` and
    `aware_images` are how many images these are of, where some attacks are on fewer than all.
    """
    several = defences["seed"].nunique() > 1
    for of in (AWARE, BLIND):
        defences = keep_most_attacked(defences, f"{of}_attacks", KEYS)
    bound = "test_seeds" if several else "test"
    rates = pd.concat([defences, *(_split_rate(defences, of) for of in (BLIND, AWARE))], axis=1)
    groups = rates.groupby([*KEYS, "strength"], dropna=False, sort=False)
    means = {COST: groups[COST].mean()}
    for of in (BLIND, AWARE):
        means[f"{of}_validation"] = groups[f"{of}_validation"].mean()
        means[of] = groups[f"{of}_test"].mean()
        means[f"{of}_images"] = groups[f"{of}_images"].max()
        means[f"{of}_low"] = groups[f"{of}_{bound}_low"].min()
        means[f"{of}_high"] = groups[f"{of}_{bound}_high"].max()
    table = pd.DataFrame(means).reset_index()
    table["validation"] = table[f"{AWARE}_validation"].fillna(table[f"{BLIND}_validation"])
    return choose_strengths(table, "validation", KEYS)


def _split_rate(defences: pd.DataFrame, of: str) -> pd.DataFrame:
    """Make of the counts of an attacker the accuracies of the images that choose and that score."""
    parts = pd.DataFrame(
        {
            "chose": defences[f"{of}_n_validation"],
            "right": defences[f"{of}_n_correct_validation"],
            "n": defences[f"{of}_n"] - defences[f"{of}_n_validation"],
            "n_correct": defences[f"{of}_n_correct"] - defences[f"{of}_n_correct_validation"],
        }
    )
    add_rate(parts, f"{of}_validation", "right", "chose")
    add_rate(parts, f"{of}_test", "n_correct")
    parts[f"{of}_images"] = parts["n"].where(defences[f"{of}_n"] < defences["clean_n"])
    return parts[[f"{of}_validation", f"{of}_images", *with_bounds(f"{of}_test")]]
