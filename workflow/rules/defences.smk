rule cost:
    # Timed: it takes all cores, so that no other job runs beside it.
    """Measure what the defences of a data set cost in training and for an image."""
    input:
        files=inputs.spent_on_defences,
        test="results/data/{dataset}/test.safetensors",
    output:
        cost="results/data/{dataset}/cost.csv",
    log:
        "logs/data/{dataset}/cost.log",
    threads: workflow.resource_settings.cores or 1
    params:
        recipe=recipes.cost,
    run:
        job = jobs.one(wildcards, params, output, log)
        apart.run("epsigma.stages.cost:measure_cost", job, **input, **output)


rule defences:
    """Set what each defence keeps beside what it costs."""
    input:
        robust="results/tables/robust.csv",
        clean="results/tables/clean.csv",
        costs=targets.costs(),
    output:
        defences="results/tables/defences.csv",
        page=shown.table("results/tables/defences.html", "defences and their cost"),
    log:
        "logs/tables/defences.log",
    localrule: True
    params:
        recipe=recipes.defences(),
    run:
        from epsigma.stages.defences import set_beside_cost

        set_beside_cost(jobs.one(wildcards, params, output, log), **input, **output)


rule atlas:
    """Set all filters side by side, each at its best strength."""
    input:
        defences="results/tables/defences.csv",
        cells="results/tables/cells.csv",
        seeds="results/tables/seeds.csv",
    output:
        atlas="results/tables/atlas.csv",
        page=shown.table("results/tables/atlas.html", "atlas of the filters"),
    log:
        "logs/tables/atlas.log",
    localrule: True
    params:
        recipe=recipes.defences("atlas"),
    run:
        from epsigma.stages.atlas import set_side_by_side

        set_side_by_side(jobs.one(wildcards, params, output, log), **input, **output)


if drawings.wanted("dataset"):

    rule draw_defences:
        """Draw the figures of a data set: what defences keep against what they cost."""
        input:
            defences="results/tables/defences.csv",
            atlas="results/tables/atlas.csv",
            seeds="results/tables/seeds.csv",
        output:
            figures=shown.figures("dataset", drawings.wanted("dataset")),
            others=shown.others("dataset", drawings.wanted("dataset")),
        log:
            "logs/figures/{dataset}/defences.log",
        params:
            recipe=recipes.draw_dataset(),
        run:
            job = jobs.one(wildcards, params, output, log)
            apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)


if drawings.wanted("model", "detectors"):

    rule draw_detectors:
        """Draw the figures of the detectors of a model."""
        input:
            roc="results/tables/roc.csv",
            detectors="results/tables/detectors.csv",
        output:
            figures=shown.figures("model", drawings.wanted("model", "detectors")),
            others=shown.others("model", drawings.wanted("model", "detectors")),
        log:
            "logs/figures/{dataset}/{model}/detectors.log",
        params:
            recipe=recipes.draw_detectors(),
        run:
            job = jobs.one(wildcards, params, output, log)
            apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)
