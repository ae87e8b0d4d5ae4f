rule cost:
    # Timed: it takes all cores, so that no other job runs beside it.
    """Measure what the defences of a data set cost in training and for an image."""
    input:
        cost_inputs,
        test="results/data/{dataset}/test.safetensors",
    output:
        cost="results/data/{dataset}/cost.csv",
    log:
        "logs/data/{dataset}/cost.log",
    threads: workflow.resource_settings.cores or 1
    params:
        settings=cost_settings,
        code=cost_code,
    run:
        run_apart(
            "epsigma.stages.cost:measure_cost", job(wildcards, params, log), **input, **output
        )


rule defences:
    """Set what each defence keeps beside what it costs."""
    input:
        robust="results/tables/robust.csv",
        clean="results/tables/clean.csv",
        costs=expand(rules.cost.output.cost, dataset=names_of("datasets")),
    output:
        defences="results/tables/defences.csv",
        page=report(
            "results/tables/defences.html",
            caption="../report/defences.rst",
            category="Tables",
            labels={"table": "defences and their cost"},
        ),
    log:
        "logs/tables/defences.log",
    params:
        settings={},
        code=code_digest("epsigma.stages.defences"),
    run:
        from epsigma.stages.defences import set_beside_cost

        set_beside_cost(job(wildcards, params, log), **input, **output)


rule draw_defences:
    """Draw what defences keep against what they cost."""
    input:
        defences="results/tables/defences.csv",
    output:
        figure=report(
            "results/figures/{dataset}/defences.svg",
            caption="../report/defences_figure.rst",
            category="Defences on {dataset}",
            labels={"figure": "accuracy against cost"},
        ),
        png="results/figures/{dataset}/defences.png",
    log:
        "logs/figures/{dataset}/defences.log",
    params:
        settings={},
        code=code_digest("epsigma.stages.draw"),
    run:
        run_apart(
            "epsigma.stages.draw:draw_defences",
            job(wildcards, params, log),
            **input,
            figure=output.figure,
        )


rule draw_detectors:
    """Draw the ROC curves of the detectors of a model."""
    input:
        curves="results/tables/roc.csv",
        detectors="results/tables/detectors.csv",
    output:
        roc=report(
            "results/figures/{dataset}/{model}/detectors.svg",
            caption="../report/roc.rst",
            category="Figures, {model} on {dataset}",
            labels={"attack": "all", "filter": "all", "figure": "ROC of the detectors"},
        ),
        png="results/figures/{dataset}/{model}/detectors.png",
    log:
        "logs/figures/{dataset}/{model}/detectors.log",
    params:
        settings={"seed": STUDY["seeds"][0]},
        code=code_digest("epsigma.stages.draw"),
    run:
        run_apart(
            "epsigma.stages.draw:draw_detectors",
            job(wildcards, params, log),
            **input,
            roc=output.roc,
        )
