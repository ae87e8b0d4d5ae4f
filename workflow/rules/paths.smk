# Which files a rule reads or a study asks for, where a pattern alone does not say it.


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


def first_seed(path):
    """Fill in the first seed: what shows single images or spectra shows its."""
    return path.replace("{seed}", str(STUDY["seeds"][0]))


def figures():
    """All figures of the study."""
    return [
        path.format(dataset=dataset, model=model, attack=attack)
        for dataset in names_of("datasets")
        for model in names_of("models")
        for attack in names_of("attacks")
        for path in (*rules.draw_attack.output, *rules.draw_filters.output)
    ]
