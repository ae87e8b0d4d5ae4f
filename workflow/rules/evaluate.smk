rule evaluate_clean:
    """Score the clean test images through a filter, or without one."""
    input:
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        ledger="results/{dataset}/{model}/seed~{seed}/ledger/clean/{filter}/{strength}.parquet",
    log:
        "logs/{dataset}/{model}/seed~{seed}/ledger/clean/{filter}/{strength}.log",
    # All other cells wait for it.
    priority: 2
    params:
        settings=clean_settings,
        code=clean_code,
    run:
        from epsigma.stages.evaluate import evaluate_clean

        evaluate_clean(job(wildcards, params, log), **input, **output)


rule evaluate:
    """Score a cell: its figures and a ledger of its examples."""
    input:
        images=scored_set,
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
        clean="results/{dataset}/{model}/seed~{seed}/ledger/clean/none/fixed.parquet",
    output:
        metrics="results/{dataset}/{model}/seed~{seed}/metrics/{threat}/{attack}/{budget}/{filter}/{strength}.json",
        ledger="results/{dataset}/{model}/seed~{seed}/ledger/{threat}/{attack}/{budget}/{filter}/{strength}.parquet",
    log:
        "logs/{dataset}/{model}/seed~{seed}/metrics/{threat}/{attack}/{budget}/{filter}/{strength}.log",
    # Before more is filtered: a set that is not kept is gone once it is scored.
    priority: 1
    params:
        settings=evaluate_settings,
        code=evaluate_code,
    run:
        from epsigma.stages.evaluate import evaluate

        evaluate(job(wildcards, params, log), **input, **output)
