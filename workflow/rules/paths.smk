# Which files a rule reads or a study asks for, where a pattern alone does not say it.


def own_data(wildcards):
    """The user's own file or folder that a data set is read from; none if it is a known one."""
    path = configuration.own_data(STUDY, wildcards.dataset)
    try:
        return [str(locate(Path(STUDY["data_dir"]), path))] if path else []
    except (OSError, ValueError) as error:
        raise WorkflowError(f"the data set {wildcards.dataset}: {error}") from None


def temp_unless(kept, path):
    """Mark a set as temporary, to be removed as soon as it is scored, unless it is to be kept."""
    return path if kept else temp(path)


def if_kept(kept, **outputs):
    """Name outputs of a rule that are only made if they are to be kept."""
    return outputs if kept else {}


def own_weights(wildcards):
    """The user's own weights of a model, if it has some."""
    path = configuration.block(STUDY, "models", wildcards.model)["checkpoint"]
    return {} if path is None else {"weights": path}


def source_checkpoint(wildcards):
    """The classifier that is attacked: of a transfer, another than the one that is scored."""
    model, seed = source_of(wildcards)
    source = {"dataset": wildcards.dataset, "model": model, "seed": seed}
    return rules.train.output.checkpoint.format(**source)


def scored_set(wildcards):
    """The set that a cell scores: filtered, or, without a filter, the adversarial set itself."""
    if wildcards.threat == grid.AWARE:
        return rules.attack_aware.output.filtered.format(**wildcards)
    if wildcards.filter == grid.NO_FILTER:
        return rules.attack.output.adversarial.format(**wildcards)
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


def clean_ledgers():
    """The ledgers of the clean images, through every filter and without one."""
    return [
        rules.evaluate_clean.output.ledger.format(
            dataset=dataset, model=model, seed=seed, filter=filter, strength=strength
        )
        for dataset in names_of("datasets")
        for model in names_of("models")
        for seed in STUDY["seeds"]
        for filter in [grid.NO_FILTER, *FILTERS]
        for strength in configuration.block_levels(STUDY, "filters", filter)
    ]


def conformance_probes():
    """What was measured of every filter, on the images of every data set."""
    return [
        rules.probe_filter.output.facts.format(dataset=dataset, filter=filter, strength=strength)
        for dataset in names_of("datasets")
        for filter in [grid.NO_FILTER, *FILTERS]
        for strength in configuration.block_levels(STUDY, "filters", filter)
    ]


def attack_probes(**of):
    """What was measured of attacks that look at what they attack, on each such target."""
    targets = {
        rules.probe_attack.output.facts.format(**cell.wildcards): None
        for cell in CELLS
        if configuration.attack_kind(STUDY, cell.attack).looks
        and (cell.threat == grid.AWARE or cell.filter == grid.NO_FILTER)
        and of.items() <= cell.wildcards.items()
    }
    return list(targets)


def probes_of_attack(wildcards):
    """What was measured of an attack on a model of the first seed."""
    return attack_probes(**wildcards, seed=str(STUDY["seeds"][0]))


def first_seed(path):
    """Fill in the first seed: what shows single images or spectra shows its."""
    return path.replace("{seed}", str(STUDY["seeds"][0]))


def cards():
    """The cards of all attacks on all models."""
    of_attacks = {(cell.dataset, cell.model, cell.attack): None for cell in CELLS}
    return [
        rules.card.output.card.format(dataset=dataset, model=model, attack=attack)
        for dataset, model, attack in of_attacks
    ]


def figures():
    """All figures of the study."""
    of_models = {(cell.dataset, cell.model): None for cell in CELLS}
    of_attacks = {(cell.dataset, cell.model, cell.attack): None for cell in CELLS}
    return [
        *(
            path.format(dataset=dataset, model=model)
            for dataset, model in of_models
            for path in rules.draw_model.output
        ),
        *(
            path.format(dataset=dataset, model=model, attack=attack)
            for dataset, model, attack in of_attacks
            for path in [*rules.draw_attack.output, *rules.draw_filters.output]
        ),
    ]
