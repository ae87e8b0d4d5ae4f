rule probe_model:
    """Ask a classifier what the checks want to know."""
    input:
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        facts="results/{dataset}/{model}/seed~{seed}/probes/model.json",
    log:
        "logs/{dataset}/{model}/seed~{seed}/probes/model.log",
    resources:
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.probe_model,
    run:
        from epsigma.stages.probe import probe_model

        probe_model(jobs.one(wildcards, params, output, log), **input, **output)


rule probe_filter:
    """Hold a filter against its definition."""
    input:
        inputs.filter_parts,
        test="results/data/{dataset}/test.safetensors",
    output:
        facts="results/data/{dataset}/probes/{filter}/{strength}.json",
    log:
        "logs/data/{dataset}/probes/{filter}/{strength}.log",
    resources:
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.probe_filter,
    run:
        from epsigma.stages.probe import probe_filter

        for job, files in jobs.each(wildcards, input, output, params, log):
            probe_filter(job, **files)


rule probe_attack:
    """Try an attack without bounds and for twice as long, and look at its gradients."""
    input:
        inputs.attacked_parts,
        ledger=inputs.probed_cells,
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        facts="results/{dataset}/{model}/seed~{seed}/probes/{threat}/{attack}/{filter}/{strength}.json",
    log:
        "logs/{dataset}/{model}/seed~{seed}/probes/{threat}/{attack}/{filter}/{strength}.log",
    wildcard_constraints:
        attack=ON_IMAGES,
    resources:
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.probe_attack,
    run:
        from epsigma.stages.probe import probe_attack

        for job, files in jobs.each(wildcards, input, output, params, log, sweeps=["strength"]):
            probe_attack(job, **files)
