# What the rules share: the checked configuration, the wildcards, and the functions that turn
# wildcards into a stage's settings and the digest of its code.
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import threading

# One core a cell; Snakemake runs the cells in parallel. Set before torch is first imported, it
# also makes results independent of how many cores there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

sys.path.insert(0, f"{workflow.basedir}/workflow")

from snakemake.exceptions import WorkflowError

from epsigma import configuration, grid
from epsigma.provenance import code_digest
from epsigma.stages.job import Job

try:
    STUDY = configuration.validate(config)
except configuration.ConfigurationError as error:
    raise WorkflowError(str(error)) from None

CELLS = list(grid.cells(STUDY))


def names_of(section):
    """The names of a section's blocks."""
    return [block["name"] for block in STUDY[section]]


FILTERS = names_of("filters")


wildcard_constraints:
    dataset=grid.NAME,
    model=grid.NAME,
    seed=r"0|[1-9]\d*",
    threat="|".join(grid.THREATS),
    attack=grid.NAME,
    budget=grid.LEVEL,
    filter=grid.NAME,
    strength=grid.LEVEL,


def module_of(section, name):
    return configuration.settings(STUDY, section, name)["implementation"].partition(":")[0]


def dataset_settings(wildcards):
    return configuration.settings(STUDY, "datasets", wildcards.dataset)


def dataset_code(wildcards):
    return code_digest("epsigma.stages.dataset", module_of("datasets", wildcards.dataset))


def model_settings(wildcards):
    return configuration.settings(STUDY, "models", wildcards.model)


def train_settings(wildcards):
    return {
        "model": model_settings(wildcards),
        "training": configuration.block(STUDY, "models", wildcards.model)["training"],
        "seed": int(wildcards.seed),
    }


def train_code(wildcards):
    return code_digest("epsigma.stages.train", module_of("models", wildcards.model))


def attack_settings(wildcards):
    return {
        "model": model_settings(wildcards),
        "attack": configuration.settings(STUDY, "attacks", wildcards.attack, wildcards.budget),
    }


def attack_code(wildcards):
    return code_digest(
        "epsigma.stages.attack",
        module_of("attacks", wildcards.attack),
        module_of("models", wildcards.model),
    )


def filter_settings(wildcards):
    return configuration.settings(STUDY, "filters", wildcards.filter, wildcards.strength)


def filter_code(wildcards):
    return code_digest("epsigma.stages.filter", module_of("filters", wildcards.filter))


def evaluate_settings(wildcards):
    return {"model": model_settings(wildcards)}


def evaluate_code(wildcards):
    return code_digest("epsigma.stages.evaluate", module_of("models", wildcards.model))


def kept_or_temp(path):
    """Mark a filtered set as temporary if it is not to be kept."""
    return path if STUDY["keep_filtered"] else temp(path)


def scored_set(wildcards):
    """The set that a cell scores: filtered, or, without a filter, the adversarial set itself."""
    if wildcards.filter == grid.NO_FILTER:
        return rules.filter.input.adversarial.format(**wildcards)
    return rules.filter.output.filtered.format(**wildcards)


def adversarial_sets(wildcards):
    """The adversarial sets of an attack, a budget each."""
    return [
        rules.attack.output.adversarial.format(**wildcards, budget=budget)
        for budget in configuration.block_levels(STUDY, "attacks", wildcards.attack)
    ]


def unfiltered_ledgers(wildcards):
    """The ledgers of an attack without a filter, a budget each."""
    none = {**wildcards, "filter": grid.NO_FILTER, "strength": grid.FIXED}
    return [
        rules.evaluate.output.ledger.format(**none, budget=budget)
        for budget in configuration.block_levels(STUDY, "attacks", wildcards.attack)
    ]


def filters_at_all_strengths(names):
    """How to make each filter at each of its strengths."""
    return [
        {
            "filter": name,
            "strength": strength,
            **configuration.settings(STUDY, "filters", name, strength),
        }
        for name in names
        for strength in configuration.block_levels(STUDY, "filters", name)
    ]


def gallery_settings(wildcards):
    return {
        "model": model_settings(wildcards),
        "budgets": configuration.block_levels(STUDY, "attacks", wildcards.attack),
        "filters": filters_at_all_strengths([grid.NO_FILTER, wildcards.filter]),
    }


def gallery_code(wildcards):
    return code_digest(
        "epsigma.stages.gallery",
        module_of("filters", wildcards.filter),
        module_of("models", wildcards.model),
    )


def spectrum_settings(wildcards):
    return {
        "budgets": configuration.block_levels(STUDY, "attacks", wildcards.attack),
        "filters": filters_at_all_strengths(FILTERS),
    }


def spectrum_code(wildcards):
    return code_digest("epsigma.stages.spectrum", *(module_of("filters", name) for name in FILTERS))


def first_seed(path):
    """Fill in the first seed: what shows single images or spectra shows its."""
    return path.replace("{seed}", str(STUDY["seeds"][0]))


def figures():
    """All figures of the study."""
    return [
        path.format(dataset=dataset, model=model, attack=attack, filter=filter)
        for dataset in names_of("datasets")
        for model in names_of("models")
        for attack in names_of("attacks")
        for outputs, filters in (
            (rules.draw_attack.output, [None]),
            (rules.draw_filter.output, FILTERS),
        )
        for filter in filters
        for path in outputs
    ]


def gpus(wildcards):
    return 1 if STUDY["device"] == "cuda" else 0


def job(wildcards, params, log):
    """What a stage is told beside its files."""
    return Job(dict(wildcards), params.settings, params.code, STUDY["device"], str(log))


def warm_up():
    """Import what the cells need while another process works, not when it is done."""
    if workflow.is_main_process:
        threading.Thread(target=importlib.import_module, args=["epsigma.stages.gallery"]).start()


def run_apart(function, job, **files):
    """Run a stage in a process of its own."""
    arguments = json.dumps({"job": dataclasses.asdict(job), "files": files})
    script = f"{workflow.basedir}/workflow/scripts/stage.py"
    if subprocess.run([sys.executable, script, function, arguments]).returncode:
        raise WorkflowError(f"{function} failed, see {job.log}")
