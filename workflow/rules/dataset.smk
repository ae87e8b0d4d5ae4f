rule dataset:
    # data_dir is not a param: the files' content is checked, so where they lie changes nothing.
    """Bring a data set into the project's form."""
    output:
        train="results/data/{dataset}/train.safetensors",
        test="results/data/{dataset}/test.safetensors",
    log:
        "logs/data/{dataset}.log",
    params:
        settings=dataset_settings,
        code=dataset_code,
    run:
        from epsigma.stages.dataset import dataset

        dataset(job(wildcards, params, log), data_dir=STUDY["data_dir"], **output)
