rule attack:
    """Attack the bare classifier on every test image."""
    input:
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
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
