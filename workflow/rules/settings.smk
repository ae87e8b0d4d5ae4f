from snakemake.iocontainers import Wildcards

# What a stage's files depend on, beside its inputs: its part of the configuration, and the digest of
# its code. Each is one param, so that Snakemake notices when it changes.


def module_of(section, name):
    return configuration.settings(STUDY, section, name)["implementation"].partition(":")[0]


def dataset_settings(wildcards):
    return configuration.settings(STUDY, "datasets", wildcards.dataset)


def dataset_code(wildcards):
    return code_digest("epsigma.stages.dataset", module_of("datasets", wildcards.dataset))


def own_data_fingerprints():
    """What tells one state of the user's own data from another, by the data set's name.

    Asked at once, not by the rule: of a file that exists already, Snakemake would keep quiet about
    a source that must not be read. One that is missing is only an error if it is needed.
    """
    found = {}
    for name in names_of("datasets"):
        path = configuration.own_data(STUDY, name)
        try:
            found[name] = path and fingerprint(Path(STUDY["data_dir"]), path)
        except FileNotFoundError:
            found[name] = None
        except (OSError, ValueError) as error:
            raise WorkflowError(f"the data set {name}: {error}") from None
    return found


OWN_DATA = own_data_fingerprints()


def own_data_fingerprint(wildcards):
    return OWN_DATA[wildcards.dataset]


def model_settings(wildcards):
    return configuration.settings(STUDY, "models", wildcards.model)


def train_settings(wildcards):
    model = configuration.block(STUDY, "models", wildcards.model)
    # Weights from a file are not trained: how they would be changes nothing.
    how = (
        {"training": configuration.training_settings(STUDY, wildcards.model)}
        if model["checkpoint"] is None
        else {"checkpoint": model["checkpoint"]}
    )
    return {"model": model_settings(wildcards), **how, "seed": int(wildcards.seed)}


def teacher_settings(wildcards):
    return {**train_settings(wildcards), "teaches": True}


def train_code(wildcards):
    return code_digest(
        "epsigma.stages.train",
        *configuration.model_modules(STUDY, wildcards.model),
        *configuration.training_modules(STUDY, wildcards.model),
    )


def autoencoder_settings(wildcards):
    block = configuration.block(STUDY, "autoencoders", wildcards.autoencoder)
    # In whatever order the configuration has them.
    training = {name: value for name, value in sorted(block["training"].items()) if name != "noise"}
    objective = {
        "implementation": "epsigma.training.denoising:Denoising",
        "parameters": {"noise": block["training"]["noise"]},
    }
    return {
        "model": configuration.settings(STUDY, "autoencoders", wildcards.autoencoder),
        "training": {**training, "objective": objective},
        "seed": int(wildcards.seed),
    }


def autoencoder_code(wildcards):
    how = configuration.settings(STUDY, "autoencoders", wildcards.autoencoder)
    made_by = how["implementation"].partition(":")[0]
    return code_digest("epsigma.stages.train", "epsigma.training.denoising", made_by)


def calibrate_settings(wildcards):
    """Settings of a detector, without its name: it has no threshold yet."""
    made = configuration.detector_settings(STUDY, wildcards.detector)
    names = [part["autoencoder"] for part in configuration.needs(made) if "autoencoder" in part]
    trained = [configuration.block(STUDY, "autoencoders", name) for name in names]
    trained.append(configuration.block(STUDY, "models", wildcards.model))
    block = configuration.block(STUDY, "detectors", wildcards.detector)
    return {
        "model": model_settings(wildcards),
        "detector": {name: value for name, value in made.items() if name != "detector"},
        "rate": block["false_positive_rate"],
        # What all of them held out.
        "validation": min(one["training"]["validation"] for one in trained),
        "seed": int(wildcards.seed),
    }


def calibrate_code(wildcards):
    return code_digest(
        "epsigma.stages.calibrate",
        *configuration.model_modules(STUDY, wildcards.model),
        *configuration.detector_modules(STUDY, wildcards.detector),
    )


def watch_settings(wildcards):
    """The detectors that look at what a filter is given."""
    names = configuration.watching(STUDY, wildcards.filter)
    made = [configuration.detector_settings(STUDY, name) for name in names]
    return {"detectors": made} if made else {}


def filter_modules(wildcards, *, watched=True):
    """The modules of a filter, and of the detectors that look at what it is given."""
    names = configuration.watching(STUDY, wildcards.filter) if watched else []
    return [
        *configuration.filter_modules(STUDY, wildcards.filter),
        *(one for name in names for one in configuration.detector_modules(STUDY, name)),
    ]


def source_of(wildcards):
    """The model and the seed that an adversarial set is made on."""
    attack = configuration.block(STUDY, "attacks", wildcards.attack)
    return grid.source_of(attack, wildcards.model, int(wildcards.seed))


def check_levels(wildcards):
    """Refuse a budget or a strength that is none; of a column, paths do not say them."""
    for section, wildcard in (("attacks", "budget"), ("filters", "strength")):
        if wildcard in wildcards.keys():
            name = wildcards[section[:-1]]
            configuration.check_level(STUDY, section, name, wildcards[wildcard])


def attack_settings(wildcards):
    check_levels(wildcards)
    model, seed = source_of(wildcards)
    is_transfer = configuration.attack_kind(STUDY, wildcards.attack).family == "transfer"
    return {
        "model": configuration.settings(STUDY, "models", model),
        "attack": configuration.attack_settings(STUDY, wildcards.attack),
        # Another source is another checkpoint, which nothing else that is watched would tell.
        **({"source": [model, seed]} if is_transfer else {}),
    }


def stage_of(wildcards, stage):
    """The module of a stage: fooling images have their own."""
    inside = "epsigma.stages.fooling" if wildcards.attack in FOOLING else "epsigma.stages"
    return f"{inside}.{stage}"


def attack_code(wildcards, *filters):
    model, _ = source_of(wildcards)
    return code_digest(
        stage_of(wildcards, "attack"),
        *configuration.attack_modules(STUDY, wildcards.attack),
        *configuration.model_modules(STUDY, model),
        *filters,
    )


def aware_settings(wildcards):
    return {**attack_settings(wildcards), **known_filter_settings(wildcards)}


def known_filter_settings(wildcards):
    """What an attacker who knows the filter is told of it."""
    kind = configuration.filter_kind(STUDY, wildcards.filter)
    filter = configuration.settings(STUDY, "filters", wildcards.filter)
    samples = configuration.block(STUDY, "attacks", wildcards.attack)["eot_samples"]
    draws = configuration.is_random(STUDY, wildcards.filter)
    return {
        "filter": {**filter, "gradient": kind.gradient},
        **({"eot_samples": samples} if draws else {}),
        **watch_settings(wildcards),
    }


def aware_code(wildcards):
    return attack_code(wildcards, *filter_modules(wildcards))


def filter_settings(wildcards):
    check_levels(wildcards)
    return {"filter": configuration.settings(STUDY, "filters", wildcards.filter)}


def filter_code(wildcards):
    return code_digest("epsigma.stages.filter", *filter_modules(wildcards, watched=False))


def evaluate_settings(wildcards):
    """Told alike whether filtered sets are kept or not: keeping them makes nothing anew."""
    check_levels(wildcards)
    return {
        "model": model_settings(wildcards),
        **(filter_settings(wildcards) if may_be_filtered_when_scored(wildcards) else {}),
        **watch_settings(wildcards),
        **({"requantise": True} if STUDY["requantise"] and wildcards.attack not in FOOLING else {}),
    }


def may_be_filtered_when_scored(wildcards):
    return is_made_blind(wildcards) or is_filtered_when_scored(wildcards)


def probe_model_settings(wildcards):
    return {"model": model_settings(wildcards)}


def evaluate_code(wildcards):
    filters = filter_modules(wildcards) if may_be_filtered_when_scored(wildcards) else []
    return code_digest(
        stage_of(wildcards, "evaluate"),
        *configuration.model_modules(STUDY, wildcards.model),
        *filters,
    )


def clean_settings(wildcards):
    return {
        "model": model_settings(wildcards),
        **filter_settings(wildcards),
        **watch_settings(wildcards),
    }


def clean_code(wildcards):
    return code_digest(
        "epsigma.stages.evaluate",
        *configuration.model_modules(STUDY, wildcards.model),
        *filter_modules(wildcards),
    )


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
        "filters": filters_at_all_strengths([vocabulary.NO_FILTER, wildcards.filter]),
        **watch_settings(wildcards),
    }


def gallery_code(wildcards):
    return code_digest(
        stage_of(wildcards, "gallery"),
        *filter_modules(wildcards),
        *configuration.model_modules(STUDY, wildcards.model),
    )


def spectrum_settings(wildcards):
    return {
        "budgets": configuration.block_levels(STUDY, "attacks", wildcards.attack),
        "filters": filters_at_all_strengths(FILTERS),
    }


def spectrum_code(wildcards):
    modules = [configuration.filter_modules(STUDY, name) for name in FILTERS]
    return code_digest(stage_of(wildcards, "spectrum"), *(one for some in modules for one in some))


def probe_model_code(wildcards):
    return code_digest("epsigma.stages.probe", *configuration.model_modules(STUDY, wildcards.model))


def probe_filter_settings(wildcards):
    kind = configuration.filter_kind(STUDY, wildcards.filter)
    settings = filter_settings(wildcards)
    # What passes all alone does not when others follow.
    passes_all = {} if "then" in settings["filter"] else dict(kind.passes_all)
    return {**settings, "passes_all": passes_all}


def probe_filter_code(wildcards):
    return code_digest("epsigma.stages.probe", *filter_modules(wildcards, watched=False))


def probe_attack_settings(wildcards):
    """Settings of the attack at the middle of its budgets, and what kind it is of."""
    check_levels(wildcards)
    budgets = configuration.block_levels(STUDY, "attacks", wildcards.attack)
    kind = configuration.attack_kind(STUDY, wildcards.attack)
    made = attack_settings(wildcards)
    return {
        **made,
        "attack": configuration.at_level(made["attack"], budgets[len(budgets) // 2]),
        **(known_filter_settings(wildcards) if wildcards.threat == vocabulary.AWARE else {}),
        "norm": kind.norm,
        "family": kind.family,
        "swept": kind.swept,
        "effort": kind.effort,
        "traced": kind.traced,
    }


def probe_attack_code(wildcards):
    return code_digest(
        stage_of(wildcards, "probe"),
        *configuration.attack_modules(STUDY, wildcards.attack),
        *configuration.model_modules(STUDY, wildcards.model),
        *filter_modules(wildcards),
    )


def defence_entry(dataset, defence):
    """What the cost of a defence is measured on."""
    cell = Wildcards(fromdict={"dataset": dataset, "seed": STUDY["seeds"][0], **defence})
    made = {
        "cell": defence,
        "model": model_settings(cell),
        "filter": configuration.settings(STUDY, "filters", cell.filter, cell.strength),
        **watch_settings(cell),
    }
    parts = configuration.needs(made)
    autoencoders = [path_of_part(part, cell) for part in parts if "autoencoder" in part]
    undefended = configuration.block(STUDY, "models", cell.model)["defends"] or cell.model
    return {
        **configuration.located(made, lambda found: path_of_part(found, cell)),
        "checkpoint": CHECKPOINT.format(**cell),
        "trained": spent_in_training(dataset, cell.model),
        "undefended": spent_in_training(dataset, undefended),
        "autoencoders": [
            path.replace("checkpoint.ckpt", "training.json") for path in dict.fromkeys(autoencoders)
        ],
    }


def cost_settings(wildcards):
    found = defences_of(wildcards.dataset)
    return {"defences": [defence_entry(wildcards.dataset, defence) for defence in found]}


def cost_inputs(wildcards):
    """What the cost of the defences of a data set is measured on: checkpoints, thresholds."""
    paths = []
    for entry in cost_settings(wildcards)["defences"]:
        paths += [entry["checkpoint"], *entry["trained"], *entry["undefended"]]
        paths += entry["autoencoders"]
        paths += [
            found.get("checkpoint", found.get("threshold")) for found in configuration.needs(entry)
        ]
    return list(dict.fromkeys(paths))


def cost_code(wildcards):
    cells = [Wildcards(fromdict=defence) for defence in defences_of(wildcards.dataset)]
    models = {cell.model for cell in cells}
    modules = [one for model in sorted(models) for one in configuration.model_modules(STUDY, model)]
    filters = {cell.filter: cell for cell in cells}
    modules += [one for name in sorted(filters) for one in filter_modules(filters[name])]
    return code_digest("epsigma.stages.cost", *dict.fromkeys(modules))


def statistics_settings():
    about = {}
    for name in names_of("attacks"):
        kind = configuration.attack_kind(STUDY, name)
        block = configuration.block(STUDY, "attacks", name)
        about[name] = {
            "family": kind.family,
            "norm": kind.norm,
            "source": block.get("attack"),
            "source_model": block.get("source_model"),
            "minimises": kind.minimises,
            "effort": kind.effort,
            "targeted": block.get("targets", "untargeted") != "untargeted",
        }
    filters = {
        name: {
            "kind": configuration.block(STUDY, "filters", name)["kind"],
            "gradient": configuration.filter_gradient(STUDY, name),
            "random": configuration.is_random(STUDY, name),
            "detectors": configuration.watching(STUDY, name),
            "learnt": any(configuration.needs(configuration.settings(STUDY, "filters", name))),
        }
        for name in FILTERS
    }
    return {
        "attacks": about,
        "filters": filters,
        "defends": {block["name"]: block["defends"] for block in STUDY["models"]},
        "requantise": STUDY["requantise"],
        "rates": {block["name"]: block["false_positive_rate"] for block in STUDY["detectors"]},
    }


def card_settings(wildcards):
    kind = configuration.attack_kind(STUDY, wildcards.attack)
    described = {**configuration.general_keys("attacks"), **kind.parameters}
    return {
        "block": configuration.block(STUDY, "attacks", wildcards.attack),
        "implementation": kind.implementation,
        "descriptions": {name: about.get("description", "") for name, about in described.items()},
    }


def card_code(wildcards):
    modules = configuration.attack_modules(STUDY, wildcards.attack)
    return code_digest("epsigma.stages.card", *modules)


def reference_settings():
    return {
        "datasets": {block["name"]: block["kind"] for block in STUDY["datasets"]},
        "models": {name: configuration.model_label(STUDY, name) for name in names_of("models")},
        "attacks": {
            name: {
                "kind": configuration.block(STUDY, "attacks", name)["kind"],
                **configuration.settings(STUDY, "attacks", name)["parameters"],
            }
            for name in names_of("attacks")
        },
    }


def draw_settings(wildcards):
    return {"norm": configuration.attack_kind(STUDY, wildcards.attack).norm}


def draw_filters_settings(wildcards):
    return {**draw_settings(wildcards), "filters": filters_met(wildcards.model, wildcards.attack)}


def draw_model_settings():
    norms = {name: configuration.attack_kind(STUDY, name).norm for name in names_of("attacks")}
    return {"norms": norms}
