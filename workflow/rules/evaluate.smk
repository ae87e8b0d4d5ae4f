for column in columns("evaluate_clean", strengths=True):

    rule:
        """Score the clean test images through a filter, or without one."""
        name:
            column.rule
        input:
            parts_of(clean_settings),
            test=TEST,
            checkpoint=CHECKPOINT,
        output:
            ledger=column.over(CLEAN_LEDGER),
        log:
            column.over(f"logs/{MODEL}/ledger/clean/{{filter}}/{{strength}}.log"),
        wildcard_constraints:
            **column.constraints,
        # All other cells wait for it.
        priority: 2
        params:
            settings=clean_settings,
            code=clean_code,
        run:
            from epsigma.stages.evaluate import evaluate_clean

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                evaluate_clean(job, **input, **files)


for column in columns("evaluate", ATTACKS, budgets=True, strengths=True):

    rule:
        """Score a cell: its figures and a ledger of its examples."""
        name:
            column.rule
        input:
            column.each(for_cell(scored_set)),
            parts_of(evaluate_settings),
            checkpoint=CHECKPOINT,
            clean=UNFILTERED_LEDGER,
        output:
            metrics=column.over(METRICS),
            ledger=column.over(LEDGER),
        log:
            column.over(f"logs/{MODEL}/metrics/{{threat}}/{CELL}.log"),
        wildcard_constraints:
            **column.constraints,
        # Before more is filtered: a set that is not kept is gone once it is scored.
        priority: 1
        resources:
            gpu=gpus_to_score,
        params:
            settings=evaluate_settings,
            code=evaluate_code,
        run:
            from epsigma.stages.evaluate import evaluate

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                evaluate(job, **scored(cell), clean=input.clean, **files)
