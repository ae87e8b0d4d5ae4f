rule attack:
    """Attack the bare classifier on every test image."""
    input:
        test="results/data/{dataset}/test.safetensors",
        checkpoint=source_checkpoint,
    output:
        adversarial="results/{dataset}/{model}/seed~{seed}/adversarial/blind/{attack}/{budget}.safetensors",
    log:
        "logs/{dataset}/{model}/seed~{seed}/adversarial/blind/{attack}/{budget}.log",
    resources:
        gpu=gpus,
    params:
        settings=attack_settings,
        code=attack_code,
    run:
        from epsigma.stages.attack import attack

        attack(job(wildcards, params, log), **input, **output)


rule attack_aware:
    # The filter is part of what is attacked, so what it makes of the set is written in one go.
    """Attack the filter and the classifier as one, and filter what comes out."""
    input:
        test="results/data/{dataset}/test.safetensors",
        checkpoint=source_checkpoint,
    output:
        **if_kept(
            STUDY["keep_aware"],
            adversarial="results/{dataset}/{model}/seed~{seed}/adversarial/aware/{attack}/{budget}/{filter}/{strength}.safetensors",
        ),
        filtered=temp_unless(
            STUDY["keep_filtered"],
            "results/{dataset}/{model}/seed~{seed}/filtered/aware/{attack}/{budget}/{filter}/{strength}.safetensors",
        ),
    log:
        "logs/{dataset}/{model}/seed~{seed}/adversarial/aware/{attack}/{budget}/{filter}/{strength}.log",
    resources:
        gpu=gpus,
    params:
        settings=aware_settings,
        code=aware_code,
    run:
        from epsigma.stages.attack import attack

        attack(job(wildcards, params, log), **input, **output)
