rule dataset:
    # data_dir is not watched: where known files lie changes nothing, for their content is checked;
    # of the user's own, names, sizes and times are watched.
    """Bring a data set into the project's form."""
    input:
        source=inputs.own_data,
    output:
        train="results/data/{dataset}/train.safetensors",
        test="results/data/{dataset}/test.safetensors",
    log:
        "logs/data/{dataset}.log",
    # It may have to be downloaded, which compute nodes often can't.
    localrule: True
    params:
        recipe=recipes.dataset,
        own=inputs.own_data_state,
    run:
        from epsigma.stages.dataset import dataset

        dataset(jobs.one(wildcards, params, output, log), data_dir=study.data_dir, **output)
