rule gallery:
    """Put one test image, clean and attacked, through a filter at every strength."""
    input:
        test="results/data/{dataset}/test.safetensors",
        checkpoint="results/{dataset}/{model}/seed~{seed}/checkpoint.ckpt",
        adversarial=adversarial_sets,
        ledgers=unfiltered_ledgers,
    output:
        gallery="results/{dataset}/{model}/seed~{seed}/gallery/{threat}/{attack}/{filter}.safetensors",
    log:
        "logs/{dataset}/{model}/seed~{seed}/gallery/{threat}/{attack}/{filter}.log",
    params:
        settings=gallery_settings,
        code=gallery_code,
    run:
        from epsigma.stages.gallery import make_gallery

        make_gallery(job(wildcards, params, log), **input, **output)


rule spectrum:
    """Measure the spectra of images and perturbations beside the filters' responses."""
    input:
        test="results/data/{dataset}/test.safetensors",
        adversarial=adversarial_sets,
    output:
        spectrum="results/{dataset}/{model}/seed~{seed}/spectrum/{threat}/{attack}.csv",
    log:
        "logs/{dataset}/{model}/seed~{seed}/spectrum/{threat}/{attack}.log",
    params:
        settings=spectrum_settings,
        code=spectrum_code,
    run:
        from epsigma.stages.spectrum import make_spectrum

        make_spectrum(job(wildcards, params, log), **input, **output)


rule draw_attack:
    """Draw an attack: accuracy and success over its budget, and spectra."""
    input:
        cells="results/tables/cells.csv",
        curves=first_seed("results/{dataset}/{model}/seed~{seed}/spectrum/blind/{attack}.csv"),
    output:
        accuracy=report(
            "results/figures/{dataset}/{model}/{attack}/accuracy.svg",
            caption="../report/accuracy_by_budget.rst",
            category="Figures: {dataset}, {model}",
            labels={"attack": "{attack}", "filter": "none", "figure": "accuracy over budget"},
        ),
        success=report(
            "results/figures/{dataset}/{model}/{attack}/success.svg",
            caption="../report/success_by_budget.rst",
            category="Figures: {dataset}, {model}",
            labels={"attack": "{attack}", "filter": "all", "figure": "attack success over budget"},
        ),
        spectrum=report(
            "results/figures/{dataset}/{model}/{attack}/spectrum.svg",
            caption="../report/spectrum.rst",
            category="Figures: {dataset}, {model}",
            labels={"attack": "{attack}", "filter": "all", "figure": "spectra and responses"},
        ),
        png=multiext(
            "results/figures/{dataset}/{model}/{attack}/",
            "accuracy.png",
            "success.png",
            "spectrum.png",
        ),
    log:
        "logs/figures/{dataset}/{model}/{attack}.log",
    params:
        settings={},
        code=code_digest("epsigma.stages.draw"),
    run:
        run_apart(
            "epsigma.stages.draw:draw_attack",
            job(wildcards, params, log),
            **input,
            accuracy=output.accuracy,
            success=output.success,
            spectrum=output.spectrum,
        )


rule draw_filters:
    """Draw every filter against an attack: accuracy over its strength, and the gallery."""
    input:
        cells="results/tables/cells.csv",
        images=expand(
            first_seed(
                "results/{{dataset}}/{{model}}/seed~{seed}/gallery/blind/{{attack}}/{filter}.safetensors"
            ),
            filter=FILTERS,
        ),
    output:
        accuracy=[
            report(
                f"results/figures/{{dataset}}/{{model}}/{{attack}}/{filter}/accuracy.svg",
                caption="../report/accuracy_of_filter.rst",
                category="Figures: {dataset}, {model}",
                labels={
                    "attack": "{attack}",
                    "filter": filter,
                    "figure": "accuracy over strength",
                },
            )
            for filter in FILTERS
        ],
        gallery=[
            report(
                f"results/figures/{{dataset}}/{{model}}/{{attack}}/{filter}/gallery.svg",
                caption="../report/gallery_of_filter.rst",
                category="Figures: {dataset}, {model}",
                labels={"attack": "{attack}", "filter": filter, "figure": "gallery"},
            )
            for filter in FILTERS
        ],
        png=expand(
            "results/figures/{{dataset}}/{{model}}/{{attack}}/{filter}/{figure}.png",
            filter=FILTERS,
            figure=["accuracy", "gallery"],
        ),
    log:
        "logs/figures/{dataset}/{model}/{attack}.filters.log",
    params:
        settings={"filters": FILTERS},
        code=code_digest("epsigma.stages.draw"),
    run:
        run_apart(
            "epsigma.stages.draw:draw_filters",
            job(wildcards, params, log),
            **input,
            accuracy=output.accuracy,
            gallery=output.gallery,
        )
