# What a stage's files depend on, beside its inputs: its part of the configuration, and the digest of
# its code. Each is one param, so that Snakemake notices when it changes.


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
