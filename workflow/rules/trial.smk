rule try_attack:
    """Try an attack that may fail on a few images, before anything is trained or attacked."""
    input:
        test="results/data/{dataset}/test.safetensors",
    output:
        trial="results/{dataset}/{model}/trials/{attack}.json",
    log:
        "logs/{dataset}/{model}/trials/{attack}.log",
    resources:
        gpu=resources.gpu,
    params:
        recipe=recipes.try_attack,
    run:
        job = jobs.one(wildcards, params, output, log)
        apart.run("epsigma.stages.trial:try_own_attack", job, **input, **output)
