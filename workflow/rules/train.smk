rule train:
    """Train a model on a data set, from a seed, or take the user's own weights."""
    input:
        unpack(own_weights),
        images="results/data/{dataset}/train.safetensors",
    output:
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
        curve="results/{dataset}/{model}/seed~{seed}/training.csv",
    log:
        "logs/{dataset}/{model}/seed~{seed}/train.log",
    resources:
        gpu=gpus,
    params:
        settings=train_settings,
        code=train_code,
    run:
        warm_up()
        run_apart("epsigma.stages.train:train", job(wildcards, params, log), **input, **output)
