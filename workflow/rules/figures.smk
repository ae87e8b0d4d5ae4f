rule gallery:
    """Put one test image, clean and attacked, through a filter at every strength."""
    input:
        parts_of(gallery_settings),
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
        parts_of(spectrum_settings),
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
    """Draw the figures of an attack on a model."""
    input:
        cells="results/tables/cells.csv",
        fallen="results/tables/fallen.csv",
        checks="results/tables/checks.csv",
        spectrum=first_seed("results/{dataset}/{model}/seed~{seed}/spectrum/blind/{attack}.csv"),
        probes=probes_of_attack,
    output:
        figures=[
            report(
                f"results/figures/{{dataset}}/{{model}}/{{attack}}/{name}.svg",
                caption=f"../report/attack_{name}.rst",
                category="Figures, {model} on {dataset}",
                labels={"attack": "{attack}", "filter": figure.filter, "figure": figure.label},
            )
            for name, figure in figures_of("attack").items()
        ],
        png=expand(
            "results/figures/{{dataset}}/{{model}}/{{attack}}/{name}.png",
            name=figures_of("attack"),
        ),
    log:
        "logs/figures/{dataset}/{model}/{attack}.log",
    params:
        settings=draw_attack_settings,
        made_of=lambda wildcards: digest(probes_of_attack(wildcards)),
        code=code_digest(*draw_modules(figures_of("attack"))),
    run:
        run_apart(
            "epsigma.stages.draw:draw",
            job(wildcards, params, log),
            **input,
            figures=output.figures,
        )


rule card:
    """Write an attack's card: all that a reviewer would ask of it, on a page."""
    input:
        cells="results/tables/cells.csv",
        distortion="results/tables/distortion.csv",
        fooling="results/tables/fooling.csv",
        checks="results/tables/checks.csv",
        convergence="results/figures/{dataset}/{model}/{attack}/convergence.svg",
        probes=probes_of_attack,
    output:
        card=report(
            "results/cards/{dataset}/{model}/{attack}.html",
            caption="../report/card.rst",
            category="Attack cards",
            labels={"data set": "{dataset}", "model": "{model}", "attack": "{attack}"},
        ),
    log:
        "logs/cards/{dataset}/{model}/{attack}.log",
    params:
        settings=card_settings,
        made_of=lambda wildcards: digest(probes_of_attack(wildcards)),
        code=card_code,
    run:
        from epsigma.stages.card import make_card

        make_card(job(wildcards, params, log), **input, **output)


for planned in filter_rules(CELLS):

    rule:
        """Draw the figures of every filter against an attack."""
        name:
            planned.name
        input:
            cells="results/tables/cells.csv",
            checks="results/tables/checks.csv",
            galleries=expand(
                first_seed(
                    "results/{{dataset}}/{{model}}/seed~{seed}/gallery/blind/{{attack}}/{filter}.safetensors"
                ),
                filter=planned.filters,
            ),
        output:
            figures=[
                report(
                    f"results/figures/{{dataset}}/{{model}}/{{attack}}/{filter}/{name}.svg",
                    caption=f"../report/filter_{name}.rst",
                    category="Figures, {model} on {dataset}",
                    labels={"attack": "{attack}", "filter": filter, "figure": figure.label},
                )
                for filter in planned.filters
                for name, figure in figures_of("filter").items()
            ],
            png=expand(
                "results/figures/{{dataset}}/{{model}}/{{attack}}/{filter}/{name}.png",
                filter=planned.filters,
                name=figures_of("filter"),
            ),
        log:
            "logs/figures/{dataset}/{model}/{attack}.filters.log",
        wildcard_constraints:
            **planned.constraints,
        params:
            settings=draw_filters_settings,
            code=code_digest(*draw_modules(figures_of("filter"))),
        run:
            run_apart(
                "epsigma.stages.draw:draw",
                job(wildcards, params, log),
                **input,
                figures=output.figures,
            )


rule draw_model:
    """Draw the figures of all attacks on a model."""
    input:
        cells="results/tables/cells.csv",
        worst_case="results/tables/worst_case.csv",
        checks="results/tables/checks.csv",
    output:
        figures=[
            report(
                f"results/figures/{{dataset}}/{{model}}/{name}.svg",
                caption=f"../report/model_{name}.rst",
                category="Figures, {model} on {dataset}",
                labels={"attack": "all", "filter": figure.filter, "figure": figure.label},
            )
            for name, figure in figures_of("model").items()
        ],
        png=expand("results/figures/{{dataset}}/{{model}}/{name}.png", name=figures_of("model")),
    log:
        "logs/figures/{dataset}/{model}.log",
    params:
        settings=draw_model_settings(),
        code=code_digest(*draw_modules(figures_of("model"))),
    run:
        run_apart(
            "epsigma.stages.draw:draw",
            job(wildcards, params, log),
            **input,
            figures=output.figures,
        )
