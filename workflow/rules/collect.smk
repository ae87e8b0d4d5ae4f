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
        paired="results/tables/paired.csv",
        classes="results/tables/classes.csv",
        worst_case=report(
            "results/tables/worst_case.csv",
            caption="../report/worst_case.rst",
            category="Tables",
            labels={"table": "worst case over attacks"},
        ),
        smallest=report(
            "results/tables/smallest.csv",
            caption="../report/smallest.rst",
            category="Tables",
            labels={"table": "smallest budgets"},
        ),
        fallen="results/tables/fallen.csv",
        distortion=report(
            "results/tables/distortion.csv",
            caption="../report/distortion.rst",
            category="Tables",
            labels={"table": "attacks that aim, or perturb little"},
        ),
        fooling=report(
            "results/tables/fooling.csv",
            caption="../report/fooling.rst",
            category="Tables",
            labels={"table": "fooling images"},
        ),
        detection=report(
            "results/tables/detection.csv",
            caption="../report/detection.rst",
            category="Tables",
            labels={"table": "detected and corrected"},
        ),
        detectors=report(
            "results/tables/detectors.csv",
            caption="../report/detectors.rst",
            category="Tables",
            labels={"table": "detectors"},
        ),
        curves="results/tables/roc.csv",
        robust="results/tables/robust.csv",
        clean_cells="results/tables/clean.csv",
        headline=report(
            "results/tables/headline.csv",
            caption="../report/headline.rst",
            category="Tables",
            labels={"table": "what each filter is worth"},
        ),
    log:
        "logs/tables/statistics.log",
    params:
        settings=statistics_settings(),
        made_of=digest(clean_ledgers()),
        code=code_digest("epsigma.stages.statistics"),
    run:
        from epsigma.stages.statistics import make_statistics

        make_statistics(job(wildcards, params, log), **input, **output)


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
        code=code_digest("epsigma.stages.collect"),
    run:
        from epsigma.stages.collect import set_beside_published

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
        code=code_digest("epsigma.stages.collect"),
    run:
        from epsigma.stages.collect import write_configuration

        write_configuration(job(wildcards, params, log), **output)
