# Where the files of cells lie, and which files a rule reads or a study asks for, where a pattern
# alone does not say it.
TEST = "results/data/{dataset}/test.safetensors"
MODEL = "{dataset}/{model}/seed~{seed}"
CHECKPOINT = f"results/{MODEL}/checkpoint.ckpt"
CELL = "{attack}/{budget}/{filter}/{strength}"
BLIND_SET = f"results/{MODEL}/adversarial/blind/{{attack}}/{{budget}}.safetensors"
AWARE_SET = f"results/{MODEL}/adversarial/aware/{CELL}.safetensors"
FILTERED_SET = f"results/{MODEL}/filtered/{{threat}}/{CELL}.safetensors"
FILTERED_BLIND_SET = FILTERED_SET.replace("{threat}", vocabulary.BLIND)
FILTERED_AWARE_SET = FILTERED_SET.replace("{threat}", vocabulary.AWARE)
METRICS = f"results/{MODEL}/metrics/{{threat}}/{CELL}.json"
LEDGER = f"results/{MODEL}/ledger/{{threat}}/{CELL}.parquet"
CLEAN_LEDGER = f"results/{MODEL}/ledger/clean/{{filter}}/{{strength}}.parquet"
FILTER_FACTS = "results/data/{dataset}/probes/{filter}/{strength}.json"
AUTOENCODER = "results/data/{dataset}/autoencoders/{autoencoder}/seed~{seed}/checkpoint.ckpt"
THRESHOLD = f"results/{MODEL}/detectors/{{detector}}.json"
ATTACK_FACTS = f"results/{MODEL}/probes/{{threat}}/{{attack}}/{{filter}}/{{strength}}.json"
# The wildcards of the filter that is none.
UNFILTERED = {"filter": vocabulary.NO_FILTER, "strength": vocabulary.FIXED}
UNFILTERED_LEDGER = (
    f"results/{MODEL}/ledger/clean/{vocabulary.NO_FILTER}/{vocabulary.FIXED}.parquet"
)


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


def teacher(wildcards):
    """The checkpoint of the teacher that a model learns from, if it has one."""
    path = "results/{dataset}/{model}/seed~{seed}/teacher.ckpt".format(**wildcards)
    return {"teacher": path} if configuration.has_teacher(STUDY, wildcards.model) else {}


def path_of_part(found, wildcards):
    """Where an autoencoder or a detector's threshold lies; those of no seed are the first one's."""
    pattern = AUTOENCODER if "autoencoder" in found else THRESHOLD
    return pattern.format(**{"seed": STUDY["seeds"][0], **wildcards, **found})


def parts_of(settings_of):
    """What a rule reads of that which is trained apart, from the function of its settings."""
    return lambda wildcards: [
        path_of_part(found, wildcards) for found in configuration.needs(settings_of(wildcards))
    ]


def source_checkpoint(wildcards):
    """The classifier that is attacked: of a transfer, another than the one that is scored."""
    model, seed = source_of(wildcards)
    return CHECKPOINT.format(dataset=wildcards.dataset, model=model, seed=seed)


def blind_set(wildcards):
    """The adversarial set of an attacker who does not know the filter."""
    return BLIND_SET.format(**wildcards)


def is_made_blind(wildcards):
    """Whether a cell's set is to pass a filter that the attacker did not know."""
    return wildcards.threat == vocabulary.BLIND and wildcards.filter != vocabulary.NO_FILTER


# Detectors look at images before the filter, and so does what rounds them to 8 bits.
SCORED_RAW = STUDY["requantise"] or any(block["detectors"] for block in STUDY["filters"])


def is_filtered_when_scored(wildcards):
    """Whether a cell's set has yet to pass the filter: one that is not kept is not written."""
    if SCORED_RAW:
        return wildcards.filter != vocabulary.NO_FILTER
    return is_made_blind(wildcards) and not STUDY["keep_filtered"]


def scored_set(wildcards):
    """The set that a cell is scored on: filtered, or, if it has not passed one, adversarial."""
    if is_filtered_when_scored(wildcards) or wildcards.filter == vocabulary.NO_FILTER:
        made = AWARE_SET if wildcards.threat == vocabulary.AWARE else BLIND_SET
        return made.format(**wildcards)
    return FILTERED_SET.format(**wildcards)


def defences_of(dataset):
    """The models with what stands in front of them: names and levels, as wildcards."""
    seed = STUDY["seeds"][0]
    found = {
        (cell.model, cell.filter, str(cell.strength)): None
        for cell in CELLS
        if (cell.dataset, cell.seed) == (dataset, seed)
    }
    names = ("model", "filter", "strength")
    return [dict(zip(names, values, strict=True)) for values in found]


def spent_in_training(dataset, model):
    """What training a model spent, and its teacher."""
    folder = f"results/{dataset}/{model}/seed~{STUDY['seeds'][0]}"
    taught = configuration.has_teacher(STUDY, model)
    return [f"{folder}/training.json", *([f"{folder}/teacher.json"] if taught else [])]


def kept_sets():
    """Filtered sets that are to be kept, and that no cell is scored on."""
    return [
        FILTERED_BLIND_SET.format(**cell.wildcards)
        for cell in CELLS
        if SCORED_RAW
        and STUDY["keep_filtered"]
        and cell.threat == vocabulary.BLIND
        and cell.filter != vocabulary.NO_FILTER
    ]


def scored(wildcards):
    """What scoring a cell reads, by the stage's names for it."""
    images = "adversarial" if is_filtered_when_scored(wildcards) else "images"
    return {
        images: scored_set(wildcards),
        "checkpoint": CHECKPOINT.format(**wildcards),
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
        for filter in [vocabulary.NO_FILTER, *FILTERS]
        if grid.is_for(configuration.block(STUDY, "filters", filter), model)
        for strength in configuration.block_levels(STUDY, "filters", filter)
    ]


def conformance_probes():
    """What was measured of every filter, on the images of every data set."""
    return [
        FILTER_FACTS.format(dataset=dataset, filter=filter, strength=strength)
        for dataset in names_of("datasets")
        for filter in [vocabulary.NO_FILTER, *FILTERS]
        for strength in configuration.block_levels(STUDY, "filters", filter)
    ]


def attack_probes(**of):
    """What was measured of attacks that look at what they attack, on each such target."""
    targets = {
        ATTACK_FACTS.format(**cell.wildcards): None
        for cell in CELLS
        if configuration.attack_kind(STUDY, cell.attack).looks
        and (cell.threat == vocabulary.AWARE or cell.filter == vocabulary.NO_FILTER)
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


def filters_met(model, attack):
    """The filters that an attack on a model meets, in the configuration's order."""
    met = {
        cell.filter
        for cell in CELLS
        if (cell.model, cell.attack, cell.threat) == (model, attack, vocabulary.BLIND)
    }
    return [name for name in FILTERS if name in met]


def filter_groups():
    """The models and attacks that meet the same filters, by the name of the rule that draws them.

    One rule if all meet the same.
    """
    pairs = {(cell.model, cell.attack): None for cell in CELLS}
    groups = {}
    for model, attack in pairs:
        filters = tuple(filters_met(model, attack))
        if filters:
            groups.setdefault((attack, filters), []).append(model)
    different = {filters for _, filters in groups}
    if len(different) == 1:
        return {"draw_filters": SimpleNamespace(filters=list(*different), constraints={})}
    return {
        f"draw_filters_{number}": SimpleNamespace(
            filters=list(filters),
            constraints={"attack": attack, "model": "|".join(map(re.escape, models))},
        )
        for number, ((attack, filters), models) in enumerate(groups.items(), start=1)
    }


def figures():
    """All figures of the study."""
    watched = {block["name"] for block in STUDY["filters"] if block["detectors"]}
    with_detectors = {(cell.dataset, cell.model): None for cell in CELLS if cell.filter in watched}
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
            for path in rules.draw_attack.output
        ),
        *(
            f"results/figures/{dataset}/{model}/{attack}/{filter}/{figure}"
            for dataset, model, attack in of_attacks
            for filter in filters_met(model, attack)
            for figure in ("accuracy.svg", "accuracy.png", "gallery.svg", "gallery.png")
        ),
        *(
            path.format(dataset=dataset, model=model)
            for dataset, model in with_detectors
            for path in rules.draw_detectors.output
        ),
        *(
            path.format(dataset=dataset)
            for dataset in (names_of("datasets") if STUDY["measure_cost"] else ())
            for path in rules.draw_defences.output
        ),
    ]


def settled():
    """The table of what defences keep and cost, if the study asks for it."""
    return list(rules.defences.output) if STUDY["measure_cost"] else []
