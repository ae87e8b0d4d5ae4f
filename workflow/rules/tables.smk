rule collect:
    """Collect the figures of all cells into one table."""
    input:
        metrics=targets.metrics,
        proofs=targets.proofs(),
    output:
        cells=report(
            "results/tables/cells.csv",
            caption="../report/cells.rst",
            category="Tables",
            labels={"table": "all cells"},
        ),
    log:
        "logs/tables/cells.log",
    localrule: True
    params:
        recipe=recipes.collect(),
        made_of=digest_of([*targets.metrics, *targets.proofs()]),
    run:
        from epsigma.stages.collect import collect

        job = jobs.one(wildcards, params, output, log)
        collect(job, **input, table=output.cells)


rule tabulate:
    """Compare cells example by example: all that needs their ledgers."""
    input:
        cells="results/tables/cells.csv",
        ledgers=targets.ledgers,
        clean=targets.clean_ledgers(),
        smoothed=targets.smoothed_ledgers(),
    output:
        shown=[
            report(
                f"results/tables/{name}.csv",
                caption=f"../report/{name}.rst",
                category="Tables",
                labels={"table": table.label},
            )
            for name, table in TABLES.items()
            if table.label
        ],
        others=[f"results/tables/{name}.csv" for name, table in TABLES.items() if not table.label],
    log:
        "logs/tables/tables.log",
    params:
        recipe=recipes.tabulate(),
        made_of=digest_of([*targets.clean_ledgers(), *targets.smoothed_ledgers()]),
    run:
        from epsigma.stages.tabulate import tabulate

        tabulate(jobs.one(wildcards, params, output, log), **input, tables=[*output])


rule reference:
    """Set the study's figures beside the published ones."""
    input:
        cells="results/tables/cells.csv",
        clean="results/tables/clean.csv",
        distortion="results/tables/distortion.csv",
    output:
        reference="results/tables/reference.csv",
        page=report(
            "results/tables/reference.html",
            caption="../report/reference.rst",
            category="Tables",
            labels={"table": "beside published figures"},
        ),
    log:
        "logs/tables/reference.log",
    localrule: True
    params:
        recipe=recipes.reference(),
    run:
        from epsigma.stages.reference import set_beside_published

        set_beside_published(jobs.one(wildcards, params, output, log), **input, **output)


rule configuration:
    """Write down the configuration of the run, defaults included."""
    output:
        configuration=report(
            "results/tables/configuration.yaml",
            caption="../report/configuration.rst",
            category="Tables",
            labels={"table": "configuration"},
        ),
    log:
        "logs/tables/configuration.log",
    localrule: True
    params:
        recipe=recipes.configuration(plan.configured),
    run:
        from epsigma.stages.configuration import write_configuration

        write_configuration(jobs.one(wildcards, params, output, log), **output)
