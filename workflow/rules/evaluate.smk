rule evaluate_clean:
    """Score the clean test images through a filter, or without one."""
    input:
        inputs.defence_parts,
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        ledger="results/{dataset}/{model}/seed~{seed}/ledger/clean/{filter}/{strength}.parquet",
    log:
        "logs/{dataset}/{model}/seed~{seed}/ledger/clean/{filter}/{strength}.log",
    # All other cells wait for it.
    priority: 2
    resources:
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.evaluate_clean,
    run:
        from epsigma.stages.evaluate import evaluate_clean

        for job, files in jobs.each(wildcards, input, output, params, log):
            evaluate_clean(job, **files)


rule evaluate:
    """Score a cell: its figures and a ledger of its examples. Attack it first if no set is kept."""
    input:
        inputs.scored_parts,
        # Of a cell whose sets are not kept: it is attacked here.
        test=inputs.attacked_images,
        source=inputs.attacked_source,
        direction=inputs.scored_direction,
        images=inputs.filtered_set,
        adversarial=inputs.unfiltered_set,
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
        clean="results/{dataset}/{model}/seed~{seed}/ledger/clean/none/fixed.parquet",
    output:
        metrics="results/{dataset}/{model}/seed~{seed}/metrics/{threat}/{attack}/{budget}/{filter}/{strength}.json",
        ledger="results/{dataset}/{model}/seed~{seed}/ledger/{threat}/{attack}/{budget}/{filter}/{strength}.parquet",
    log:
        "logs/{dataset}/{model}/seed~{seed}/metrics/{threat}/{attack}/{budget}/{filter}/{strength}.log",
    wildcard_constraints:
        attack=ON_IMAGES,
    # Before more is filtered: a set that is not kept is gone once it is scored.
    priority: 1
    resources:
        gpu=resources.gpu_to_score,
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.evaluate,
        attack=recipes.attack_when_scored,
    run:
        from epsigma.stages.attack import attack
        from epsigma.stages.differentiate import differentiate
        from epsigma.stages.evaluate import evaluate

        jobs.score_each(attack, differentiate, evaluate, wildcards, input, output, params, log)
