"""Where files lie: the patterns of paths, by the wildcards of the rules that make them.

A rule spells its own output out. What reads it finds it here, and a test holds both together.
"""

from collections.abc import Mapping
from typing import Any

from epsigma.cell import LEVEL, MODEL, NAME
from epsigma.vocabulary import FIXED, NO_FILTER, THREATS

# The wildcards, as regular expressions.
CONSTRAINTS = {
    "dataset": NAME,
    "model": MODEL,
    "seed": r"0|[1-9]\d*",
    "threat": "|".join(THREATS),
    "attack": NAME,
    "budget": LEVEL,
    "filter": NAME,
    "strength": LEVEL,
    "autoencoder": NAME,
    "detector": NAME,
}
# The wildcards of the filter that is none.
UNFILTERED = {"filter": NO_FILTER, "strength": FIXED}

RESULTS = "results/"
DATA = "results/data/{dataset}"
TRAIN = f"{DATA}/train.safetensors"
TEST = f"{DATA}/test.safetensors"
MODEL_FOLDER = "results/{dataset}/{model}/seed~{seed}"
SWEEP = "{attack}/{budget}/{filter}/{strength}"

CHECKPOINT = f"{MODEL_FOLDER}/checkpoint.ckpt"
TEACHER = f"{MODEL_FOLDER}/teacher.ckpt"
SPENT = f"{MODEL_FOLDER}/training.json"
SPENT_BY_TEACHER = f"{MODEL_FOLDER}/teacher.json"
AUTOENCODER = f"{DATA}/autoencoders/{{autoencoder}}/seed~{{seed}}/checkpoint.ckpt"
SPENT_BY_AUTOENCODER = f"{DATA}/autoencoders/{{autoencoder}}/seed~{{seed}}/training.json"
THRESHOLD = f"{MODEL_FOLDER}/detectors/{{detector}}.json"
BLIND_SET = f"{MODEL_FOLDER}/adversarial/blind/{{attack}}/{{budget}}.safetensors"
DIRECTION = f"{MODEL_FOLDER}/direction/{{threat}}/{{attack}}/{{filter}}/{{strength}}.safetensors"
AWARE_SET = f"{MODEL_FOLDER}/adversarial/aware/{SWEEP}.safetensors"
FILTERED_BLIND_SET = f"{MODEL_FOLDER}/filtered/blind/{SWEEP}.safetensors"
FILTERED_AWARE_SET = f"{MODEL_FOLDER}/filtered/aware/{SWEEP}.safetensors"
METRICS = f"{MODEL_FOLDER}/metrics/{{threat}}/{SWEEP}.json"
LEDGER = f"{MODEL_FOLDER}/ledger/{{threat}}/{SWEEP}.parquet"
CLEAN_LEDGER = f"{MODEL_FOLDER}/ledger/clean/{{filter}}/{{strength}}.parquet"
FILTER_PROBE = f"{DATA}/probes/{{filter}}/{{strength}}.json"
MODEL_PROBE = f"{MODEL_FOLDER}/probes/model.json"
ATTACK_PROBE = f"{MODEL_FOLDER}/probes/{{threat}}/{{attack}}/{{filter}}/{{strength}}.json"
TRIAL = "results/{dataset}/{model}/trials/{attack}.json"
SPECTRUM = f"{MODEL_FOLDER}/spectrum/blind/{{attack}}.csv"
GALLERY = f"{MODEL_FOLDER}/gallery/blind/{{attack}}/{{filter}}.safetensors"
PROOFS = f"{MODEL_FOLDER}/proofs/linf/{{budget}}/{{filter}}/{{strength}}.json"
SMOOTHED = f"{MODEL_FOLDER}/proofs/smoothing/{{filter}}/{{strength}}.parquet"
COST = f"{DATA}/cost.csv"
CONVERGENCE = "results/figures/{dataset}/{model}/{attack}/convergence.svg"
CARD = "results/cards/{dataset}/{model}/{attack}.html"


def path_of_part(part: Mapping[str, Any], wildcards: Mapping[str, Any]) -> str:
    """Say where an autoencoder's checkpoint or a detector's threshold lies.

    Args:
        part: of settings, as `epsigma.plan.settings.find_parts` yields it.
        wildcards: of the job that needs it, with a `seed`.
    """
    pattern = AUTOENCODER if "autoencoder" in part else THRESHOLD
    return pattern.format(**{**wildcards, **part})


def prefix_of(path: str) -> str:
    """Say what stands before `results/`: the prefix of a workflow that imports this one."""
    return path[: path.index(RESULTS)]
