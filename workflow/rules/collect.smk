rule collect:
    """Put all cells into one table."""
    input:
        metrics=[METRICS.format(**cell.wildcards) for cell in CELLS],
    output:
        cells=report(
            "results/tables/cells.csv",
            caption="../report/cells.rst",
            category="Tables",
            labels={"table": "all cells"},
        ),
    log:
        "logs/tables/cells.log",
    params:
        settings={},
        made_of=digest(METRICS.format(**cell.wildcards) for cell in CELLS),
        code=code_digest("epsigma.stages.collect"),
    run:
        from epsigma.stages.collect import collect

        collect(job(wildcards, params, log), metrics=input.metrics, table=output.cells)


rule statistics:
    """Compare cells example by example: what the ledgers say, and no cell is needed for again."""
    input:
        cells="results/tables/cells.csv",
        ledgers=[LEDGER.format(**cell.wildcards) for cell in CELLS],
        clean=clean_ledgers(),
    output:
        **tables(),
    log:
        "logs/tables/statistics.log",
    params:
        settings=tabulate_settings(),
        made_of=digest(clean_ledgers()),
        code=code_digest("epsigma.stages.tabulate", *(kind.module for kind in TABLES.values())),
    run:
        from epsigma.stages.tabulate import tabulate

        tabulate(job(wildcards, params, log), **input, tables=list(output))


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
    params:
        settings=reference_settings(),
        code=code_digest("epsigma.stages.reference"),
    run:
        from epsigma.stages.reference import set_beside_published

        set_beside_published(job(wildcards, params, log), **input, **output)


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
    params:
        settings=CONFIGURED,
        code=code_digest("epsigma.stages.configuration"),
    run:
        from epsigma.stages.configuration import write_configuration

        write_configuration(job(wildcards, params, log), **output)
