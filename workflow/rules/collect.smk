rule collect:
    """Put all cells into one table."""
    input:
        metrics=[rules.evaluate.output.metrics.format(**cell.wildcards) for cell in CELLS],
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
        code=code_digest("epsigma.stages.collect"),
    run:
        from epsigma.stages.collect import collect

        collect(job(wildcards, params, log), metrics=input.metrics, table=output.cells)


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
        settings=STUDY,
        code=code_digest("epsigma.stages.collect"),
    run:
        from epsigma.stages.collect import write_configuration

        write_configuration(job(wildcards, params, log), **output)
