rule filter:
    """Filter an adversarial set."""
    input:
        adversarial="results/{dataset}/{model}/seed~{seed}/adversarial/{threat}/{attack}/{budget}.safetensors",
    output:
        filtered=kept_or_temp(
            "results/{dataset}/{model}/seed~{seed}/filtered/{threat}/{attack}/{budget}/{filter}/{strength}.safetensors"
        ),
    log:
        "logs/{dataset}/{model}/seed~{seed}/filtered/{threat}/{attack}/{budget}/{filter}/{strength}.log",
    resources:
        gpu=gpus,
    params:
        settings=filter_settings,
        code=filter_code,
    run:
        from epsigma.stages.filter import filter_set

        filter_set(job(wildcards, params, log), **input, **output)
