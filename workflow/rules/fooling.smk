# Fooling images: made for each class, not from a test image, and counted by their confidence.
for column in columns("fool", FOOLING, budgets=True):

    rule:
        """Make images that the classifier alone is to accept."""
        name:
            column.rule
        input:
            test=TEST,
            checkpoint=CHECKPOINT,
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
            from epsigma.stages.fooling.attack import fool

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                fool(job, **input, **files)


for column in columns("fool_aware", FOOLING, budgets=True, strengths=True):

    rule:
        """Make images that the filter and the classifier are to accept, and filter them."""
        name:
            column.rule
        input:
            parts_of(aware_settings),
            test=TEST,
            checkpoint=CHECKPOINT,
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
            from epsigma.stages.fooling.attack import fool

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                fool(job, **input, **files)


for column in columns("evaluate_fooling", FOOLING, budgets=True, strengths=True):

    rule:
        """Score a cell of fooling images."""
        name:
            column.rule
        input:
            column.each(for_cell(scored_set)),
            parts_of(evaluate_settings),
            checkpoint=CHECKPOINT,
        output:
            metrics=column.over(METRICS),
            ledger=column.over(LEDGER),
        log:
            column.over(f"logs/{MODEL}/metrics/{{threat}}/{CELL}.log"),
        wildcard_constraints:
            **column.constraints,
        priority: 1
        resources:
            gpu=gpus_to_score,
        params:
            settings=evaluate_settings,
            code=evaluate_code,
        run:
            from epsigma.stages.fooling.evaluate import evaluate_fooling

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                evaluate_fooling(job, **scored(cell), **files)


for column in columns("probe_fooling", FOOLING, strengths=True):

    rule:
        """Make fooling images for twice as long."""
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
            from epsigma.stages.fooling.probe import probe_fooling

            for cell, job, files in jobs(rule, wildcards, params, output, log):
                probe_fooling(job, **input, **files)


rule gallery_fooling:
    """Put a fooling image of each class through a filter at every strength."""
    input:
        parts_of(gallery_settings),
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
        adversarial=adversarial_sets,
    output:
        gallery="results/{dataset}/{model}/seed~{seed}/gallery/{threat}/{attack}/{filter}.safetensors",
    log:
        "logs/{dataset}/{model}/seed~{seed}/gallery/{threat}/{attack}/{filter}.log",
    wildcard_constraints:
        **only(FOOLING),
    params:
        settings=gallery_settings,
        code=gallery_code,
    run:
        from epsigma.stages.fooling.gallery import gallery_fooling

        gallery_fooling(job(wildcards, params, log), **input, **output)


rule spectrum_fooling:
    """Measure the spectra of images and fooling images beside the filters' responses."""
    input:
        parts_of(spectrum_settings),
        test="results/data/{dataset}/test.safetensors",
        adversarial=adversarial_sets,
    output:
        spectrum="results/{dataset}/{model}/seed~{seed}/spectrum/{threat}/{attack}.csv",
    log:
        "logs/{dataset}/{model}/seed~{seed}/spectrum/{threat}/{attack}.log",
    wildcard_constraints:
        **only(FOOLING),
    params:
        settings=spectrum_settings,
        code=spectrum_code,
    run:
        from epsigma.stages.fooling.spectrum import spectrum_fooling

        spectrum_fooling(job(wildcards, params, log), **input, **output)
