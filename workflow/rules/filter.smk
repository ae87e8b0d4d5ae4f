rule filter:
    """Filter an adversarial set that was made without knowing the filter, to keep it."""
    input:
        inputs.filter_parts,
        adversarial=inputs.blind_set,
    output:
        filtered="results/{dataset}/{model}/seed~{seed}/filtered/blind/{attack}/{budget}/{filter}/{strength}.safetensors",
    log:
        "logs/{dataset}/{model}/seed~{seed}/filtered/blind/{attack}/{budget}/{filter}/{strength}.log",
    resources:
        gpu=resources.gpu,
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.filter,
    run:
        from epsigma.stages.filter import filter_set

        for job, files in jobs.each(wildcards, input, output, params, log):
            filter_set(job, **files)
