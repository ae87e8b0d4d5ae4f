rule check:
    """Judge the numbers: a verdict for each check and curve."""
    input:
        tables=["results/tables/cells.csv", *rules.unpack.output],
        model_probes=targets.model_probes(),
        filter_probes=targets.filter_probes(),
        attack_probes=targets.attack_probes(),
    output:
        checks="results/tables/checks.csv",
        page=shown.table("results/tables/checks.html", "verdicts of the checks"),
    log:
        "logs/tables/checks.log",
    localrule: True
    params:
        recipe=recipes.check(),
        made_of=digest_of(
            [*targets.model_probes(), *targets.filter_probes(), *targets.attack_probes()]
        ),
    run:
        from epsigma.stages.check import check

        check(jobs.one(wildcards, params, output, log), **input, **output)


rule gate:
    """Stop, after everything else is written, if a check failed."""
    input:
        rules.tabulate.output,
        rules.unpack.output,
        rules.reference.output,
        rules.pages.output,
        targets.figures(),
        targets.cards(),
        rules.explore.output,
        rules.defences.output if study.measure_cost else [],
        checks="results/tables/checks.csv",
    output:
        verdict="results/tables/verdict.txt",
    log:
        "logs/tables/verdict.log",
    localrule: True
    params:
        recipe=recipes.gate(),
        made_of=digest_of([*targets.figures(), *targets.cards()]),
    run:
        from epsigma.stages.gate import gate

        job = jobs.one(wildcards, params, output, log)
        gate(job, checks=input.checks, **output)
