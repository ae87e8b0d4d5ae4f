# Fooling images are made for each class, not of a test image, and counted by their confidence: the
# attacks that make them have rules of their own.


rule fool:
    """Make images that the bare classifier is to accept."""
    input:
        inputs.trials,
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        adversarial="results/{dataset}/{model}/seed~{seed}/adversarial/blind/{attack}/{budget}.safetensors",
    log:
        "logs/{dataset}/{model}/seed~{seed}/adversarial/blind/{attack}/{budget}.log",
    wildcard_constraints:
        attack=FOOLING,
    resources:
        gpu=resources.gpu,
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.attack,
    run:
        from epsigma.stages.fooling.attack import fool

        for job, files in jobs.each(wildcards, input, output, params, log):
            fool(job, **files)


rule fool_aware:
    """Make images that the filter and the classifier are to accept, and filter them."""
    input:
        inputs.trials,
        inputs.attacked_parts,
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        **outputs.of_aware_attack(
            adversarial="results/{dataset}/{model}/seed~{seed}/adversarial/aware/{attack}/{budget}/{filter}/{strength}.safetensors",
            filtered="results/{dataset}/{model}/seed~{seed}/filtered/aware/{attack}/{budget}/{filter}/{strength}.safetensors",
        ),
    log:
        "logs/{dataset}/{model}/seed~{seed}/adversarial/aware/{attack}/{budget}/{filter}/{strength}.log",
    wildcard_constraints:
        attack=FOOLING,
    resources:
        gpu=resources.gpu,
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.attack_aware,
    run:
        from epsigma.stages.fooling.attack import fool

        for job, files in jobs.each(wildcards, input, output, params, log):
            fool(job, **files)


rule evaluate_fooling:
    """Score a cell of fooling images."""
    input:
        inputs.scored_parts,
        images=inputs.filtered_set,
        adversarial=inputs.unfiltered_set,
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        metrics="results/{dataset}/{model}/seed~{seed}/metrics/{threat}/{attack}/{budget}/{filter}/{strength}.json",
        ledger="results/{dataset}/{model}/seed~{seed}/ledger/{threat}/{attack}/{budget}/{filter}/{strength}.parquet",
    log:
        "logs/{dataset}/{model}/seed~{seed}/metrics/{threat}/{attack}/{budget}/{filter}/{strength}.log",
    wildcard_constraints:
        attack=FOOLING,
    # Before more is filtered: a set that is not kept is gone once it is scored.
    priority: 1
    resources:
        gpu=resources.gpu_to_score,
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.evaluate,
    run:
        from epsigma.stages.fooling.evaluate import evaluate_fooling

        for job, files in jobs.each(wildcards, input, output, params, log):
            evaluate_fooling(job, **files)


rule probe_fooling:
    """Make fooling images for twice as long."""
    input:
        inputs.attacked_parts,
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        facts="results/{dataset}/{model}/seed~{seed}/probes/{threat}/{attack}/{filter}/{strength}.json",
    log:
        "logs/{dataset}/{model}/seed~{seed}/probes/{threat}/{attack}/{filter}/{strength}.log",
    wildcard_constraints:
        attack=FOOLING,
    resources:
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.probe_attack,
    run:
        from epsigma.stages.fooling.probe import probe_fooling

        for job, files in jobs.each(wildcards, input, output, params, log, sweeps=["strength"]):
            probe_fooling(job, **files)
