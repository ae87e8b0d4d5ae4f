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
        gpu=resources.gpu,
    params:
        recipe=recipes.smooth,
    run:
        from epsigma.stages.smooth import smooth

        job = jobs.one(wildcards, params, output, log)
        smooth(job, test=input.test, checkpoint=input.checkpoint, **output)


rule draw_smoothed:
    """Draw the figures of the vote over noise of a model."""
    input:
        smoothed="results/tables/smoothed.csv",
        seeds="results/tables/seeds.csv",
        checks="results/tables/checks.csv",
    output:
        figures=[
            report(
                f"results/figures/{{dataset}}/{{model}}/{name}.svg",
                caption=f"../report/model_{name}.rst",
                category="Figures, {model} on {dataset}",
                labels={"attack": "all", "filter": figure.filter, "figure": figure.label},
            )
            for name, figure in figures_of("model", smoothing=True).items()
        ],
        png=expand(
            "results/figures/{{dataset}}/{{model}}/{name}.png",
            name=figures_of("model", smoothing=True),
        ),
    log:
        "logs/figures/{dataset}/{model}/smoothed.log",
    params:
        recipe=recipes.draw_smoothed(),
    run:
        job = jobs.one(wildcards, params, output, log)
        apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)
