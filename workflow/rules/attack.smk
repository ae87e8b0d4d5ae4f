rule differentiate:
    # Of an attack that steps along the same direction whatever its budget.
    """Find the directions of an attack on the classifier, or on it behind a filter."""
    input:
        inputs.trials,
        inputs.attacked_parts,
        test="results/data/{dataset}/test.safetensors",
        checkpoint=inputs.source_checkpoint,
    output:
        direction="results/{dataset}/{model}/seed~{seed}/direction/{threat}/{attack}/{filter}/{strength}.safetensors",
    log:
        "logs/{dataset}/{model}/seed~{seed}/direction/{threat}/{attack}/{filter}/{strength}.log",
    wildcard_constraints:
        attack=ON_IMAGES,
    resources:
        gpu=resources.gpu,
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.differentiate,
    run:
        from epsigma.stages.differentiate import differentiate

        differentiate(jobs.one(wildcards, params, output, log), **input, **output)


rule attack:
    """Attack the bare classifier on every test image."""
    input:
        inputs.trials,
        direction=inputs.blind_direction,
        test="results/data/{dataset}/test.safetensors",
        checkpoint=inputs.source_checkpoint,
    output:
        adversarial="results/{dataset}/{model}/seed~{seed}/adversarial/blind/{attack}/{budget}.safetensors",
    log:
        "logs/{dataset}/{model}/seed~{seed}/adversarial/blind/{attack}/{budget}.log",
    wildcard_constraints:
        attack=ON_IMAGES,
    resources:
        gpu=resources.gpu,
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.attack,
    run:
        from epsigma.stages.attack import attack
        from epsigma.stages.differentiate import differentiate

        jobs.attack_each(attack, differentiate, wildcards, input, output, params, log)


rule attack_aware:
    # The filter is part of what is attacked, so what it makes of the set is written in one go.
    """Attack the filter and the classifier as one, and filter what comes out."""
    input:
        inputs.trials,
        inputs.attacked_parts,
        direction=inputs.aware_direction,
        test="results/data/{dataset}/test.safetensors",
        checkpoint=inputs.source_checkpoint,
    output:
        **outputs.of_aware_attack(
            adversarial="results/{dataset}/{model}/seed~{seed}/adversarial/aware/{attack}/{budget}/{filter}/{strength}.safetensors",
            filtered="results/{dataset}/{model}/seed~{seed}/filtered/aware/{attack}/{budget}/{filter}/{strength}.safetensors",
        ),
    log:
        "logs/{dataset}/{model}/seed~{seed}/adversarial/aware/{attack}/{budget}/{filter}/{strength}.log",
    wildcard_constraints:
        attack=ON_IMAGES,
    resources:
        gpu=resources.gpu,
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.attack_aware,
    run:
        from epsigma.stages.attack import attack
        from epsigma.stages.differentiate import differentiate

        jobs.attack_each(attack, differentiate, wildcards, input, output, params, log)
