rule calibrate:
    """Set a detector's threshold on training images that were held out."""
    input:
        inputs.calibrated_parts,
        images="results/data/{dataset}/train.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        threshold="results/{dataset}/{model}/seed~{seed}/detectors/{detector}.json",
    log:
        "logs/{dataset}/{model}/seed~{seed}/detectors/{detector}.log",
    resources:
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.calibrate,
    run:
        from epsigma.stages.calibrate import calibrate

        calibrate(jobs.one(wildcards, params, output, log), **input, **output)
