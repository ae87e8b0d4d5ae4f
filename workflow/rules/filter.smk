rule filter:
    """Filter an adversarial set that was made without knowing the filter."""
    input:
        adversarial="results/{dataset}/{model}/seed~{seed}/adversarial/blind/{attack}/{budget}.safetensors",
    output:
        filtered=temp_unless(
            STUDY["keep_filtered"],
            "results/{dataset}/{model}/seed~{seed}/filtered/blind/{attack}/{budget}/{filter}/{strength}.safetensors",
        ),
    log:
        "logs/{dataset}/{model}/seed~{seed}/filtered/blind/{attack}/{budget}/{filter}/{strength}.log",
    resources:
        gpu=gpus,
    params:
        settings=filter_settings,
        code=filter_code,
    run:
        from epsigma.stages.filter import filter_set

        filter_set(job(wildcards, params, log), **input, **output)
