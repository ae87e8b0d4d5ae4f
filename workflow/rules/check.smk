rule probe_model:
    """Ask a classifier what the checks want to know."""
    input:
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
    output:
        facts="results/{dataset}/{model}/seed~{seed}/probes/model.json",
    log:
        "logs/{dataset}/{model}/seed~{seed}/probes/model.log",
    params:
        settings=probe_model_settings,
        code=probe_model_code,
    run:
        from epsigma.stages.probe import probe_model

        probe_model(job(wildcards, params, log), **input, **output)


for column in columns("probe_filter", strengths=True):

    rule:
        """Hold a filter against its definition."""
        name:
            column.rule
        input:
            parts_of(probe_filter_settings),
            test=TEST,
        output:
            facts=column.over(FILTER_FACTS),
        log:
            column.over("logs/data/{dataset}/probes/{filter}/{strength}.log"),
        wildcard_constraints:
            **column.constraints,
        params:
            settings=probe_filter_settings,
            code=probe_filter_code,
        run:
            from epsigma.stages.probe import probe_filter

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                probe_filter(job, **input, **files)


for column in columns("probe_attack", ATTACKS, strengths=True):

    rule:
        """Try an attack without bounds and for twice as long, and look at its gradients."""
        name:
            column.rule
        input:
            parts_of(probe_attack_settings),
            test=TEST,
            checkpoint=CHECKPOINT,
        output:
            facts=column.over(ATTACK_FACTS),
        log:
            column.over(f"logs/{MODEL}/probes/{{threat}}/{{attack}}/{{filter}}/{{strength}}.log"),
        wildcard_constraints:
            **column.constraints,
        params:
            settings=probe_attack_settings,
            code=probe_attack_code,
        run:
            from epsigma.stages.probe import probe_attack

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                probe_attack(job, **input, **files)


rule check:
    """Judge the numbers: a verdict for each check and curve."""
    input:
        cells="results/tables/cells.csv",
        paired="results/tables/paired.csv",
        worst_case="results/tables/worst_case.csv",
        detection="results/tables/detection.csv",
        detectors="results/tables/detectors.csv",
        models=expand(
            rules.probe_model.output.facts,
            dataset=names_of("datasets"),
            model=names_of("models"),
            seed=STUDY["seeds"],
        ),
        conformance=conformance_probes(),
        efforts=attack_probes(),
    output:
        checks="results/tables/checks.csv",
        page=report(
            "results/tables/checks.html",
            caption="../report/checks.rst",
            category="Tables",
            labels={"table": "verdicts of the checks"},
        ),
    log:
        "logs/tables/checks.log",
    params:
        settings=statistics_settings(),
        made_of=digest([*conformance_probes(), *attack_probes()]),
        code=code_digest("epsigma.stages.check"),
    run:
        from epsigma.stages.check import check

        check(job(wildcards, params, log), **input, **output)


rule gate:
    """Stop, after everything else is written, if a check failed."""
    input:
        rules.statistics.output,
        rules.reference.output,
        figures(),
        cards(),
        settled(),
        checks="results/tables/checks.csv",
    output:
        verdict="results/tables/verdict.txt",
    log:
        "logs/tables/verdict.log",
    params:
        settings={"strict": STUDY["strict"]},
        made_of=digest([*figures(), *cards()]),
        code=code_digest("epsigma.stages.check"),
    run:
        from epsigma.stages.check import gate

        gate(job(wildcards, params, log), checks=input.checks, **output)
