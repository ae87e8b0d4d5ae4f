rule collect:
    """Collect the figures of all cells into one table."""
    input:
        metrics=targets.metrics,
        proofs=targets.proofs(),
    output:
        cells=shown.table("results/tables/cells.csv", "all cells"),
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
    # One file: of each that a job writes, Snakemake reads anew all that the job has read.
    """Compare cells example by example: all that needs their ledgers."""
    input:
        cells="results/tables/cells.csv",
        ledgers=targets.ledgers,
        clean=targets.clean_ledgers(),
        smoothed=targets.smoothed_ledgers(),
        proofs=targets.proof_ledgers(),
    output:
        tables="results/tables/tables.zip",
    log:
        "logs/tables/tables.log",
    params:
        recipe=recipes.tabulate(),
        made_of=targets.digest_of_ledgers(),
    run:
        from epsigma.stages.tabulate import tabulate

        tabulate(jobs.one(wildcards, params, output, log), **input, **output)


rule unpack:
    """Unpack the tables."""
    input:
        packed="results/tables/tables.zip",
    output:
        tables=expand("results/tables/{name}.csv", name=TABLES),
    log:
        "logs/tables/unpack.log",
    localrule: True
    params:
        # What they are made by and of, so that a table alone is not old where its file is gone.
        recipe=recipes.unpack(),
        packed=recipes.tabulate(),
        made_of=targets.digest_of_ledgers(),
    run:
        from epsigma.stages.unpack import unpack

        unpack(jobs.one(wildcards, params, output, log), **input, **output)


rule pages:
    """Show tables in a reader's words, for the report."""
    input:
        tables=expand("results/tables/{name}.csv", name=SHOWN),
    output:
        pages=[shown.table(f"results/tables/{name}.html", TABLES[name].label) for name in SHOWN],
    log:
        "logs/tables/pages.log",
    localrule: True
    params:
        recipe=recipes.pages(),
    run:
        from epsigma.stages.pages import write_pages

        write_pages(jobs.one(wildcards, params, output, log), **input, **output)


rule reference:
    """Set the study's figures beside the published ones."""
    input:
        cells="results/tables/cells.csv",
        clean="results/tables/clean.csv",
        distortion="results/tables/distortion.csv",
    output:
        reference="results/tables/reference.csv",
        page=shown.table("results/tables/reference.html", "beside published figures"),
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
        configuration=shown.table("results/tables/configuration.yaml", "configuration"),
    log:
        "logs/tables/configuration.log",
    localrule: True
    params:
        recipe=recipes.configuration(plan.configured),
    run:
        from epsigma.stages.configuration import write_configuration

        write_configuration(jobs.one(wildcards, params, output, log), **output)
