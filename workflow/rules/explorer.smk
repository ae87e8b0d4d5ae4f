from epsigma.plan.explorer import EXPLORED, explorer_recipe


rule explore:
    """Write the explorer: a page on which all cells are looked at, with images and verdicts."""
    input:
        tables=expand("results/tables/{name}.csv", name=EXPLORED),
        ledgers=targets.ledgers,
        clean=targets.clean_ledgers(),
        sets=targets.shown_sets(),
        tests=expand("results/data/{name}/test.safetensors", name=study.names("datasets")),
    output:
        explorer="results/explorer.html",
    log:
        "logs/explorer.log",
    localrule: True
    params:
        recipe=explorer_recipe(study, recipes),
        made_of=digest_of([*targets.ledgers, *targets.clean_ledgers(), *targets.shown_sets()]),
    run:
        from epsigma.stages.explore import explore

        explore(jobs.one(wildcards, params, output, log), **input, **output)
