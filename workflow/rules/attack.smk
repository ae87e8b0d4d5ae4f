for column in columns("attack", ATTACKS, budgets=True):

    rule:
        """Attack the bare classifier on every test image."""
        name:
            column.rule
        input:
            test=TEST,
            checkpoint=source_checkpoint,
        output:
            adversarial=column.over(BLIND_SET),
        log:
            column.over(f"logs/{MODEL}/adversarial/blind/{{attack}}/{{budget}}.log"),
        wildcard_constraints:
            **column.constraints,
        resources:
            gpu=gpus,
        params:
            settings=attack_settings,
            code=attack_code,
        run:
            from epsigma.stages.attack import attack

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                attack(job, **input, **files)


for column in columns("attack_aware", ATTACKS, budgets=True, strengths=True):

    rule:
        # The filter is part of what is attacked, so what it makes of the set is written in one go.
        """Attack the filter and the classifier as one, and filter what comes out."""
        name:
            column.rule
        input:
            parts_of(aware_settings),
            test=TEST,
            checkpoint=source_checkpoint,
        output:
            **if_kept(
                STUDY["keep_aware"] or SCORED_RAW,
                adversarial=temp_unless(STUDY["keep_aware"], column.over(AWARE_SET)),
            ),
            **if_kept(
                STUDY["keep_filtered"] or not SCORED_RAW,
                filtered=temp_unless(STUDY["keep_filtered"], column.over(FILTERED_AWARE_SET)),
            ),
        log:
            column.over(f"logs/{MODEL}/adversarial/aware/{CELL}.log"),
        wildcard_constraints:
            **column.constraints,
        resources:
            gpu=gpus,
        params:
            settings=aware_settings,
            code=aware_code,
        run:
            from epsigma.stages.attack import attack

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                attack(job, **input, **files)
