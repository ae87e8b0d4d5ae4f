rule draw_attack:
    """Draw the figures of an attack on a model."""
    input:
        cells="results/tables/cells.csv",
        fallen="results/tables/fallen.csv",
        headline="results/tables/headline.csv",
        seeds="results/tables/seeds.csv",
        checks="results/tables/checks.csv",
        spectrum=inputs.spectrum_of_first_seed,
        probes=targets.probes_of_attack,
    output:
        figures=[
            report(
                f"results/figures/{{dataset}}/{{model}}/{{attack}}/{name}.svg",
                caption=f"../report/attack_{name}.rst",
                category="Figures, {model} on {dataset}",
                labels={"attack": "{attack}", "filter": figure.filter, "figure": figure.label},
            )
            for name, figure in FIGURES["attack"].items()
        ],
        png=expand(
            "results/figures/{{dataset}}/{{model}}/{{attack}}/{name}.png", name=FIGURES["attack"]
        ),
    log:
        "logs/figures/{dataset}/{model}/{attack}.log",
    params:
        recipe=recipes.draw_attack,
        made_of=targets.digest_of_probes,
    run:
        job = jobs.one(wildcards, params, output, log)
        apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)


for planned in targets.filter_rules():

    # Its outputs have to be listed beforehand, so there is a rule for each list of filters.
    rule:
        """Draw the figures of every filter against an attack."""
        name:
            planned.name
        input:
            cells="results/tables/cells.csv",
            seeds="results/tables/seeds.csv",
            checks="results/tables/checks.csv",
            galleries=inputs.galleries_of(planned.filters),
        output:
            figures=[
                report(
                    f"results/figures/{{dataset}}/{{model}}/{{attack}}/{filter}/{name}.svg",
                    caption=f"../report/filter_{name}.rst",
                    category="Figures, {model} on {dataset}",
                    labels={"attack": "{attack}", "filter": filter, "figure": figure.label},
                )
                for filter in planned.filters
                for name, figure in FIGURES["filter"].items()
            ],
            png=expand(
                "results/figures/{{dataset}}/{{model}}/{{attack}}/{filter}/{name}.png",
                filter=planned.filters,
                name=FIGURES["filter"],
            ),
        log:
            "logs/figures/{dataset}/{model}/{attack}.filters.log",
        wildcard_constraints:
            **planned.constraints,
        params:
            recipe=recipes.draw_filters,
        run:
            job = jobs.one(wildcards, params, output, log)
            apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)


rule draw_model:
    """Draw the figures of all attacks on a model."""
    input:
        cells="results/tables/cells.csv",
        attacks="results/tables/attacks.csv",
        worst_case="results/tables/worst_case.csv",
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
            for name, figure in figures_of("model").items()
        ],
        png=expand("results/figures/{{dataset}}/{{model}}/{name}.png", name=figures_of("model")),
    log:
        "logs/figures/{dataset}/{model}.log",
    params:
        recipe=recipes.draw_model(),
    run:
        job = jobs.one(wildcards, params, output, log)
        apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)
