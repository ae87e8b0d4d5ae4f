rule calibrate:
    """Set a detector's threshold on training images that were held out."""
    input:
        parts_of(calibrate_settings),
        images="results/data/{dataset}/train.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        threshold="results/{dataset}/{model}/seed~{seed}/detectors/{detector}.json",
    log:
        "logs/{dataset}/{model}/seed~{seed}/detectors/{detector}.log",
    params:
        settings=calibrate_settings,
        code=calibrate_code,
    run:
        from epsigma.stages.calibrate import calibrate

        calibrate(job(wildcards, params, log), **input, **output)
