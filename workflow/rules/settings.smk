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
    how = "training" if model["checkpoint"] is None else "checkpoint"
    return {"model": model_settings(wildcards), how: model[how], "seed": int(wildcards.seed)}


def train_code(wildcards):
    return code_digest("epsigma.stages.train", *configuration.model_modules(STUDY, wildcards.model))


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


def attack_code(wildcards, *filters):
    model, _ = source_of(wildcards)
    return code_digest(
        "epsigma.stages.attack",
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
    return {
        "filter": {**filter, "gradient": kind.gradient},
        **({"eot_samples": samples} if kind.random else {}),
    }


def aware_code(wildcards):
    return attack_code(wildcards, module_of("filters", wildcards.filter))


def filter_settings(wildcards):
    check_levels(wildcards)
    return {"filter": configuration.settings(STUDY, "filters", wildcards.filter)}


def filter_code(wildcards):
    return code_digest("epsigma.stages.filter", module_of("filters", wildcards.filter))


def evaluate_settings(wildcards):
    """Told alike whether filtered sets are kept or not: keeping them makes nothing anew."""
    kind = configuration.attack_kind(STUDY, wildcards.attack)
    check_levels(wildcards)
    return {
        "model": model_settings(wildcards),
        **({"fooling": True} if kind.family == "fooling" else {}),
        **(filter_settings(wildcards) if is_made_blind(wildcards) else {}),
    }


def probe_model_settings(wildcards):
    return {"model": model_settings(wildcards)}


def evaluate_code(wildcards):
    filters = [module_of("filters", wildcards.filter)] if is_made_blind(wildcards) else []
    return code_digest(
        "epsigma.stages.evaluate", *configuration.model_modules(STUDY, wildcards.model), *filters
    )


def clean_settings(wildcards):
    return {"model": model_settings(wildcards), **filter_settings(wildcards)}


def clean_code(wildcards):
    return code_digest(
        "epsigma.stages.evaluate",
        *configuration.model_modules(STUDY, wildcards.model),
        module_of("filters", wildcards.filter),
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
        "fooling": configuration.attack_kind(STUDY, wildcards.attack).family == "fooling",
        "filters": filters_at_all_strengths([grid.NO_FILTER, wildcards.filter]),
    }


def gallery_code(wildcards):
    return code_digest(
        "epsigma.stages.gallery",
        module_of("filters", wildcards.filter),
        *configuration.model_modules(STUDY, wildcards.model),
    )


def spectrum_settings(wildcards):
    return {
        "budgets": configuration.block_levels(STUDY, "attacks", wildcards.attack),
        "fooling": configuration.attack_kind(STUDY, wildcards.attack).family == "fooling",
        "filters": filters_at_all_strengths(FILTERS),
    }


def spectrum_code(wildcards):
    return code_digest("epsigma.stages.spectrum", *(module_of("filters", name) for name in FILTERS))


def probe_model_code(wildcards):
    return code_digest("epsigma.stages.probe", *configuration.model_modules(STUDY, wildcards.model))


def probe_filter_settings(wildcards):
    kind = configuration.filter_kind(STUDY, wildcards.filter)
    return {**filter_settings(wildcards), "passes_all": dict(kind.passes_all)}


def probe_filter_code(wildcards):
    return code_digest("epsigma.stages.probe", module_of("filters", wildcards.filter))


def probe_attack_settings(wildcards):
    """Settings of the attack at the middle of its budgets, and what kind it is of."""
    check_levels(wildcards)
    budgets = configuration.block_levels(STUDY, "attacks", wildcards.attack)
    kind = configuration.attack_kind(STUDY, wildcards.attack)
    made = attack_settings(wildcards)
    return {
        **made,
        "attack": configuration.at_level(made["attack"], budgets[len(budgets) // 2]),
        **(known_filter_settings(wildcards) if wildcards.threat == grid.AWARE else {}),
        "norm": kind.norm,
        "family": kind.family,
        "swept": kind.swept,
        "effort": kind.effort,
        "traced": kind.traced,
    }


def probe_attack_code(wildcards):
    return code_digest(
        "epsigma.stages.probe",
        *configuration.attack_modules(STUDY, wildcards.attack),
        *configuration.model_modules(STUDY, wildcards.model),
        module_of("filters", wildcards.filter),
    )


def check_settings():
    filters = {name: configuration.filter_kind(STUDY, name) for name in FILTERS}
    return {
        **statistics_settings(),
        "filters": {
            name: {"gradient": kind.gradient, "random": kind.random}
            for name, kind in filters.items()
        },
    }


def statistics_settings():
    about = {}
    for name in names_of("attacks"):
        kind = configuration.attack_kind(STUDY, name)
        block = configuration.block(STUDY, "attacks", name)
        about[name] = {
            "family": kind.family,
            "norm": kind.norm,
            "source": block.get("attack"),
            "minimises": kind.minimises,
            "effort": kind.effort,
            "targeted": block.get("targets", "untargeted") != "untargeted",
        }
    return {"attacks": about}


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
        **{
            section: {block["name"]: block["kind"] for block in STUDY[section]}
            for section in ("datasets", "models")
        },
        "attacks": {
            name: {
                "kind": configuration.block(STUDY, "attacks", name)["kind"],
                **configuration.settings(STUDY, "attacks", name)["parameters"],
            }
            for name in names_of("attacks")
        },
    }


def draw_settings(wildcards):
    return {
        "norm": configuration.attack_kind(STUDY, wildcards.attack).norm,
        "filters": FILTERS,
    }


def draw_model_settings():
    norms = {name: configuration.attack_kind(STUDY, name).norm for name in names_of("attacks")}
    return {"norms": norms}
