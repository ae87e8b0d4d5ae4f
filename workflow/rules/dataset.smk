rule dataset:
    # data_dir is not a param: where known files lie changes nothing, for their content is checked;
    # of the user's own, names, sizes and times are watched.
    """Bring a data set into the project's form."""
    input:
        source=own_data,
    output:
        train="results/data/{dataset}/train.safetensors",
        test="results/data/{dataset}/test.safetensors",
    log:
        "logs/data/{dataset}.log",
    params:
        settings=dataset_settings,
        code=dataset_code,
        own=own_data_fingerprint,
    run:
        from epsigma.stages.dataset import dataset

        dataset(job(wildcards, params, log), data_dir=STUDY["data_dir"], **output)
