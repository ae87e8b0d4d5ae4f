for column in columns("filter", budgets=True, strengths=True):

    rule:
        """Filter an adversarial set that was made without knowing the filter, to keep it."""
        name:
            column.rule
        input:
            column.each(for_cell(blind_set)),
            parts_of(filter_settings),
        output:
            filtered=column.over(FILTERED_BLIND_SET),
        log:
            column.over(f"logs/{MODEL}/filtered/blind/{CELL}.log"),
        wildcard_constraints:
            **column.constraints,
        resources:
            gpu=gpus,
        params:
            settings=filter_settings,
            code=filter_code,
        run:
            from epsigma.stages.filter import filter_set

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                filter_set(job, adversarial=blind_set(cell), **files)
