rule train:
    """Train a model on a data set, from a seed, or take the user's own weights."""
    input:
        unpack(own_weights),
        unpack(teacher),
        images="results/data/{dataset}/train.safetensors",
    output:
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
        curve="results/{dataset}/{model}/seed~{seed}/training.csv",
        spent="results/{dataset}/{model}/seed~{seed}/training.json",
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


rule train_teacher:
    """Train the teacher that a distilled model learns from: the same model, at the same T."""
    input:
        images="results/data/{dataset}/train.safetensors",
    output:
        checkpoint="results/{dataset}/{model}/seed~{seed}/teacher.ckpt",
        curve="results/{dataset}/{model}/seed~{seed}/teacher.csv",
        spent="results/{dataset}/{model}/seed~{seed}/teacher.json",
    log:
        "logs/{dataset}/{model}/seed~{seed}/train_teacher.log",
    resources:
        gpu=gpus,
    params:
        settings=teacher_settings,
        code=train_code,
    run:
        run_apart("epsigma.stages.train:train", job(wildcards, params, log), **input, **output)


rule train_autoencoder:
    """Train an autoencoder on a data set's clean images, from a seed."""
    input:
        images="results/data/{dataset}/train.safetensors",
    output:
        checkpoint="results/data/{dataset}/autoencoders/{autoencoder}/seed~{seed}/checkpoint.ckpt",
        curve="results/data/{dataset}/autoencoders/{autoencoder}/seed~{seed}/training.csv",
        spent="results/data/{dataset}/autoencoders/{autoencoder}/seed~{seed}/training.json",
    log:
        "logs/data/{dataset}/autoencoders/{autoencoder}/seed~{seed}.log",
    resources:
        gpu=gpus,
    params:
        settings=autoencoder_settings,
        code=autoencoder_code,
    run:
        run_apart(
            "epsigma.stages.train:train_autoencoder",
            job(wildcards, params, log),
            **input,
            **output,
        )
