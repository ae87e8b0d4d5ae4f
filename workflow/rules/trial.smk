rule try_attack:
    # Before all that is ready, too, when it is. If it fails, nothing else is begun.
    """Try an attack that may fail on a few images, before it is run."""
    input:
        test="results/data/{dataset}/test.safetensors",
    output:
        trial="results/{dataset}/{model}/trials/{attack}.json",
    log:
        "logs/{dataset}/{model}/trials/{attack}.log",
    priority: 3
    resources:
        gpu=resources.gpu,
    params:
        recipe=recipes.try_attack,
    run:
        job = jobs.trial(wildcards, params, output, log)
        apart.run_first("epsigma.stages.trial:try_own_attack", job, **input, **output)
