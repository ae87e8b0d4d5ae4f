for planned in drawings.attack_rules():

    # Its outputs have to be listed beforehand, so there is a rule for each list of figures.
    rule:
        """Draw the figures of an attack on a model."""
        name:
            planned.name
        input:
            cells="results/tables/cells.csv",
            fallen="results/tables/fallen.csv",
            headline="results/tables/headline.csv",
            seeds="results/tables/seeds.csv",
            checks="results/tables/checks.csv",
        output:
            figures=shown.figures("attack", planned.drawn),
            others=shown.others("attack", planned.drawn),
        log:
            "logs/figures/{dataset}/{model}/{attack}.log",
        wildcard_constraints:
            **planned.constraints,
        params:
            recipe=recipes.draw_attack,
        run:
            job = jobs.one(wildcards, params, output, log)
            apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)


if drawings.wanted("attack", "traced"):

    rule draw_convergence:
        """Draw how the loss of an attack goes, step by step."""
        input:
            probes=targets.probes_of_attack,
        output:
            figures=shown.figures("attack", ["convergence"]),
            others=shown.others("attack", ["convergence"]),
        log:
            "logs/figures/{dataset}/{model}/{attack}.convergence.log",
        params:
            recipe=recipes.draw_convergence,
            made_of=targets.digest_of_probes,
        run:
            job = jobs.one(wildcards, params, output, log)
            apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)


for planned in drawings.filter_rules("draw_filters", early=False):

    rule:
        """Draw the figures of every filter against an attack."""
        name:
            planned.name
        input:
            cells="results/tables/cells.csv",
            seeds="results/tables/seeds.csv",
            checks="results/tables/checks.csv",
            # There are none, but this says that each figure is of a filter.
            galleries=[],
        output:
            figures=shown.figures("filter", of_filters(planned.drawn, OF_FILTERS)),
            others=shown.others("filter", of_filters(planned.drawn, OF_FILTERS)),
        log:
            "logs/figures/{dataset}/{model}/{attack}.filters.log",
        wildcard_constraints:
            **planned.constraints,
        params:
            recipe=recipes.draw_filters,
        run:
            job = jobs.one(wildcards, params, output, log)
            apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)


for planned in drawings.model_rules():

    rule:
        """Draw the figures of all attacks on a model."""
        name:
            planned.name
        input:
            cells="results/tables/cells.csv",
            attacks="results/tables/attacks.csv",
            worst_case="results/tables/worst_case.csv",
            seeds="results/tables/seeds.csv",
            checks="results/tables/checks.csv",
        output:
            figures=shown.figures("model", planned.drawn),
            others=shown.others("model", planned.drawn),
        log:
            "logs/figures/{dataset}/{model}.log",
        wildcard_constraints:
            **planned.constraints,
        params:
            recipe=recipes.draw_model(),
        run:
            job = jobs.one(wildcards, params, output, log)
            apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)
