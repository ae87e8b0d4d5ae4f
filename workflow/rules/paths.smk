# Where the files of cells lie, and which files a rule reads or a study asks for, where a pattern
# alone does not say it.
TEST = "results/data/{dataset}/test.safetensors"
MODEL = "{dataset}/{model}/seed~{seed}"
CHECKPOINT = f"results/{MODEL}/checkpoint.ckpt"
CELL = "{attack}/{budget}/{filter}/{strength}"
BLIND_SET = f"results/{MODEL}/adversarial/blind/{{attack}}/{{budget}}.safetensors"
AWARE_SET = f"results/{MODEL}/adversarial/aware/{CELL}.safetensors"
FILTERED_SET = f"results/{MODEL}/filtered/{{threat}}/{CELL}.safetensors"
FILTERED_BLIND_SET = FILTERED_SET.replace("{threat}", grid.BLIND)
FILTERED_AWARE_SET = FILTERED_SET.replace("{threat}", grid.AWARE)
METRICS = f"results/{MODEL}/metrics/{{threat}}/{CELL}.json"
LEDGER = f"results/{MODEL}/ledger/{{threat}}/{CELL}.parquet"
CLEAN_LEDGER = f"results/{MODEL}/ledger/clean/{{filter}}/{{strength}}.parquet"
FILTER_FACTS = "results/data/{dataset}/probes/{filter}/{strength}.json"
ATTACK_FACTS = f"results/{MODEL}/probes/{{threat}}/{{attack}}/{{filter}}/{{strength}}.json"
# The wildcards of the filter that is none.
UNFILTERED = {"filter": grid.NO_FILTER, "strength": grid.FIXED}
UNFILTERED_LEDGER = f"results/{MODEL}/ledger/clean/{grid.NO_FILTER}/{grid.FIXED}.parquet"


def digest(paths):
    """Tell one list of files from another, where a rule reads as many as the study asks for."""
    return hashlib.sha256("\n".join(paths).encode()).hexdigest()[:16]


def own_data(wildcards):
    """The user's own file or folder that a data set is read from; none if it is a known one."""
    path = configuration.own_data(STUDY, wildcards.dataset)
    try:
        return [str(locate(Path(STUDY["data_dir"]), path))] if path else []
    except (OSError, ValueError) as error:
        raise WorkflowError(f"the data set {wildcards.dataset}: {error}") from None


def temp_unless(kept, paths):
    """Mark sets as temporary, to be removed as soon as they are scored, unless they are kept."""
    return paths if kept else [temp(path) for path in paths]


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
    return CHECKPOINT.format(dataset=wildcards.dataset, model=model, seed=seed)


def blind_set(wildcards):
    """The adversarial set of an attacker who does not know the filter."""
    return BLIND_SET.format(**wildcards)


def is_made_blind(wildcards):
    """Whether a cell's set is to pass a filter that the attacker did not know."""
    return wildcards.threat == grid.BLIND and wildcards.filter != grid.NO_FILTER


def is_filtered_when_scored(wildcards):
    """Whether a cell's set has yet to pass the filter: one that is not kept is not written."""
    return is_made_blind(wildcards) and not STUDY["keep_filtered"]


def scored_set(wildcards):
    """The set that a cell is scored on: filtered, or, if it has not passed one, adversarial."""
    if wildcards.threat == grid.AWARE or (is_made_blind(wildcards) and STUDY["keep_filtered"]):
        return FILTERED_SET.format(**wildcards)
    return blind_set(wildcards)


def scored(wildcards):
    """What scoring a cell reads, by the stage's names for it."""
    images = "adversarial" if is_filtered_when_scored(wildcards) else "images"
    return {
        images: scored_set(wildcards),
        "checkpoint": CHECKPOINT.format(**wildcards),
        "clean": UNFILTERED_LEDGER.format(**wildcards),
    }


def adversarial_sets(wildcards):
    """The adversarial sets of an attack, a budget each."""
    return [
        BLIND_SET.format(**wildcards, budget=budget)
        for budget in configuration.block_levels(STUDY, "attacks", wildcards.attack)
    ]


def unfiltered_ledgers(wildcards):
    """The ledgers of an attack without a filter, a budget each."""
    none = {**wildcards, **UNFILTERED}
    return [
        LEDGER.format(**none, budget=budget)
        for budget in configuration.block_levels(STUDY, "attacks", wildcards.attack)
    ]


def clean_ledgers():
    """The ledgers of the clean images, through every filter and without one."""
    return [
        CLEAN_LEDGER.format(
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
        FILTER_FACTS.format(dataset=dataset, filter=filter, strength=strength)
        for dataset in names_of("datasets")
        for filter in [grid.NO_FILTER, *FILTERS]
        for strength in configuration.block_levels(STUDY, "filters", filter)
    ]


def attack_probes(**of):
    """What was measured of attacks that look at what they attack, on each such target."""
    targets = {
        ATTACK_FACTS.format(**cell.wildcards): None
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
