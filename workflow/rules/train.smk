rule train:
    """Train a model on a data set, from a seed, or take the user's own weights."""
    input:
        inputs.learnt_parts,
        unpack(inputs.own_weights),
        unpack(inputs.teacher),
        images=inputs.learnt_images,
    output:
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
        curve="results/{dataset}/{model}/seed~{seed}/training.csv",
        spent="results/{dataset}/{model}/seed~{seed}/training.json",
    log:
        "logs/{dataset}/{model}/seed~{seed}/train.log",
    # All that is attacked or filtered waits for training, which takes long.
    priority: 2
    resources:
        gpu=resources.gpu,
    params:
        recipe=recipes.train,
    run:
        apart.warm_up()
        job = jobs.one(wildcards, params, output, log)
        apart.run("epsigma.stages.train:train", job, **input, **output)


rule train_teacher:
    """Train the teacher that a distilled model learns from: the same model, at the same T."""
    input:
        inputs.learnt_parts,
        images="results/data/{dataset}/train.safetensors",
    output:
        checkpoint="results/{dataset}/{model}/seed~{seed}/teacher.ckpt",
        curve="results/{dataset}/{model}/seed~{seed}/teacher.csv",
        spent="results/{dataset}/{model}/seed~{seed}/teacher.json",
    log:
        "logs/{dataset}/{model}/seed~{seed}/train_teacher.log",
    priority: 2
    resources:
        gpu=resources.gpu,
    params:
        recipe=recipes.train_teacher,
    run:
        job = jobs.one(wildcards, params, output, log)
        apart.run("epsigma.stages.train:train", job, **input, **output)


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
    priority: 2
    resources:
        gpu=resources.gpu,
    params:
        recipe=recipes.train_autoencoder,
    run:
        job = jobs.one(wildcards, params, output, log)
        apart.run("epsigma.stages.train:train_autoencoder", job, **input, **output)
