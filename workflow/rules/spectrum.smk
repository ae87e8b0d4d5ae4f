rule spectrum:
    """Measure the spectra of images and perturbations beside the filters' responses."""
    input:
        inputs.spectrum_parts,
        test="results/data/{dataset}/test.safetensors",
        adversarial=inputs.blind_sets,
    output:
        spectrum="results/{dataset}/{model}/seed~{seed}/spectrum/{threat}/{attack}.csv",
    log:
        "logs/{dataset}/{model}/seed~{seed}/spectrum/{threat}/{attack}.log",
    wildcard_constraints:
        attack=ON_IMAGES,
    resources:
        mem_mb=resources.mem_mb,
    params:
        recipe=recipes.spectrum,
    run:
        from epsigma.stages.spectrum import make_spectrum

        make_spectrum(jobs.one(wildcards, params, output, log), **input, **output)


rule spectrum_fooling:
    """Measure the spectra of images and fooling images beside the filters' responses."""
    input:
        inputs.spectrum_parts,
        test="results/data/{dataset}/test.safetensors",
        adversarial=inputs.blind_sets,
    output:
        spectrum="results/{dataset}/{model}/seed~{seed}/spectrum/{threat}/{attack}.csv",
    log:
        "logs/{dataset}/{model}/seed~{seed}/spectrum/{threat}/{attack}.log",
    wildcard_constraints:
        attack=FOOLING,
    params:
        recipe=recipes.spectrum,
    run:
        from epsigma.stages.fooling.spectrum import spectrum_fooling

        spectrum_fooling(jobs.one(wildcards, params, output, log), **input, **output)


if drawings.wanted("attack", early=True):

    rule draw_spectrum:
        """Draw the spectra of an attack."""
        input:
            spectrum=inputs.spectrum_of_first_seed,
        output:
            figures=shown.figures("attack", drawings.wanted("attack", early=True)),
            others=shown.others("attack", drawings.wanted("attack", early=True)),
        log:
            "logs/figures/{dataset}/{model}/{attack}.spectrum.log",
        params:
            recipe=recipes.draw_spectrum,
        run:
            job = jobs.one(wildcards, params, output, log)
            apart.run("epsigma.stages.draw:draw", job, **input, figures=output.figures)
