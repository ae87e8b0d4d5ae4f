rule certify:
    """Prove that nothing in a ball fools a defended model, example by example."""
    input:
        inputs.filter_parts,
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
        attacked=targets.attacked_ledgers,
    output:
        metrics="results/{dataset}/{model}/seed~{seed}/proofs/linf/{budget}/{filter}/{strength}.json",
        ledger="results/{dataset}/{model}/seed~{seed}/proofs/linf/{budget}/{filter}/{strength}.parquet",
    log:
        "logs/{dataset}/{model}/seed~{seed}/proofs/linf/{budget}/{filter}/{strength}.log",
    params:
        recipe=recipes.certify,
        made_of=targets.digest_of_attacked,
    run:
        from epsigma.stages.certify import certify

        certify(
            jobs.one(wildcards, params, output, log),
            test=input.test,
            checkpoint=input.checkpoint,
            attacked=input.attacked,
            **output,
        )


rule smooth:
    """Certify the vote over the noise of a filter, example by example."""
    input:
        inputs.filter_parts,
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        metrics="results/{dataset}/{model}/seed~{seed}/proofs/smoothing/{filter}/{strength}.json",
        ledger="results/{dataset}/{model}/seed~{seed}/proofs/smoothing/{filter}/{strength}.parquet",
    log:
        "logs/{dataset}/{model}/seed~{seed}/proofs/smoothing/{filter}/{strength}.log",
    resources:
        mem_mb=resources.mem_mb,
        gpu=resources.gpu,
    params:
        recipe=recipes.smooth,
    run:
        from epsigma.stages.smooth import smooth

        job = jobs.one(wildcards, params, output, log)
        smooth(job, test=input.test, checkpoint=input.checkpoint, **output)


if drawings.wanted("model", "smoothing"):

    rule draw_smoothed:
        """Draw the figures of the vote over noise of a model."""
        input:
            smoothed="results/tables/smoothed.csv",
            seeds="results/tables/seeds.csv",
            checks="results/tables/checks.csv",
        output:
            figures=shown.figures("model", drawings.wanted("model", "smoothing")),
            others=shown.others("model", drawings.wanted("model", "smoothing")),
        log:
            "logs/figures/{dataset}/{model}/smoothed.log",
        params:
            recipe=recipes.draw_smoothed(),
        run:
            job = jobs.one(wildcards, params, output, log)
            apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)
