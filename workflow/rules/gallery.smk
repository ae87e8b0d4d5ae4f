rule gallery:
    """Put one test image, clean and attacked, through a filter at every strength."""
    input:
        inputs.defence_parts,
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
        adversarial=inputs.blind_sets,
        ledgers=inputs.unfiltered_ledgers,
    output:
        gallery="results/{dataset}/{model}/seed~{seed}/gallery/{threat}/{attack}/{filter}.safetensors",
    log:
        "logs/{dataset}/{model}/seed~{seed}/gallery/{threat}/{attack}/{filter}.log",
    wildcard_constraints:
        attack=ON_IMAGES,
    params:
        recipe=recipes.gallery,
    run:
        from epsigma.stages.gallery import make_gallery

        make_gallery(jobs.one(wildcards, params, output, log), **input, **output)


rule gallery_fooling:
    """Put a fooling image of each class through a filter at every strength."""
    input:
        inputs.defence_parts,
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
        adversarial=inputs.blind_sets,
    output:
        gallery="results/{dataset}/{model}/seed~{seed}/gallery/{threat}/{attack}/{filter}.safetensors",
    log:
        "logs/{dataset}/{model}/seed~{seed}/gallery/{threat}/{attack}/{filter}.log",
    wildcard_constraints:
        attack=FOOLING,
    params:
        recipe=recipes.gallery,
    run:
        from epsigma.stages.fooling.gallery import gallery_fooling

        gallery_fooling(jobs.one(wildcards, params, output, log), **input, **output)


for planned in drawings.filter_rules("draw_galleries", early=True):

    rule:
        """Draw the galleries of every filter against an attack."""
        name:
            planned.name
        input:
            galleries=inputs.galleries_of(planned.drawn),
        output:
            figures=shown.figures("filter", of_filters(planned.drawn, GALLERIES)),
            others=shown.others("filter", of_filters(planned.drawn, GALLERIES)),
        log:
            "logs/figures/{dataset}/{model}/{attack}.galleries.log",
        wildcard_constraints:
            **planned.constraints,
        params:
            recipe=recipes.draw_galleries,
        run:
            job = jobs.one(wildcards, params, output, log)
            apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)
