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
    wildcard_constraints:
        **only(ATTACKS),
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
    wildcard_constraints:
        **only(ATTACKS),
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
        fallen="results/tables/fallen.csv",
        checks="results/tables/checks.csv",
        curves=first_seed("results/{dataset}/{model}/seed~{seed}/spectrum/blind/{attack}.csv"),
        efforts=probes_of_attack,
    output:
        accuracy=report(
            "results/figures/{dataset}/{model}/{attack}/accuracy.svg",
            caption="../report/accuracy_by_budget.rst",
            category="Figures, {model} on {dataset}",
            labels={"attack": "{attack}", "filter": "none", "figure": "accuracy over budget"},
        ),
        success=report(
            "results/figures/{dataset}/{model}/{attack}/success.svg",
            caption="../report/success_by_budget.rst",
            category="Figures, {model} on {dataset}",
            labels={"attack": "{attack}", "filter": "all", "figure": "attack success over budget"},
        ),
        spectrum=report(
            "results/figures/{dataset}/{model}/{attack}/spectrum.svg",
            caption="../report/spectrum.rst",
            category="Figures, {model} on {dataset}",
            labels={"attack": "{attack}", "filter": "all", "figure": "spectra and responses"},
        ),
        threats=report(
            "results/figures/{dataset}/{model}/{attack}/threats.svg",
            caption="../report/threats.rst",
            category="Figures, {model} on {dataset}",
            labels={"attack": "{attack}", "filter": "all", "figure": "blind against aware"},
        ),
        smallest=report(
            "results/figures/{dataset}/{model}/{attack}/smallest.svg",
            caption="../report/smallest_of_attack.rst",
            category="Figures, {model} on {dataset}",
            labels={"attack": "{attack}", "filter": "all", "figure": "smallest budgets"},
        ),
        convergence=report(
            "results/figures/{dataset}/{model}/{attack}/convergence.svg",
            caption="../report/convergence.rst",
            category="Figures, {model} on {dataset}",
            labels={"attack": "{attack}", "filter": "all", "figure": "convergence"},
        ),
        png=multiext(
            "results/figures/{dataset}/{model}/{attack}/",
            "accuracy.png",
            "success.png",
            "spectrum.png",
            "threats.png",
            "smallest.png",
            "convergence.png",
        ),
    log:
        "logs/figures/{dataset}/{model}/{attack}.log",
    params:
        settings=draw_settings,
        made_of=lambda wildcards: digest(probes_of_attack(wildcards)),
        code=code_digest("epsigma.stages.draw"),
    run:
        run_apart(
            "epsigma.stages.draw:draw_attack",
            job(wildcards, params, log),
            **input,
            accuracy=output.accuracy,
            success=output.success,
            spectrum=output.spectrum,
            threats=output.threats,
            smallest=output.smallest,
            convergence=output.convergence,
        )


rule card:
    """Write an attack's card: all that a reviewer would ask of it, on a page."""
    input:
        cells="results/tables/cells.csv",
        distortion="results/tables/distortion.csv",
        fooling="results/tables/fooling.csv",
        checks="results/tables/checks.csv",
        convergence="results/figures/{dataset}/{model}/{attack}/convergence.svg",
        efforts=probes_of_attack,
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


for rule_name, group in filter_groups().items():

    rule:
        """Draw every filter against an attack: accuracy over its strength, and the gallery."""
        name:
            rule_name
        input:
            cells="results/tables/cells.csv",
            checks="results/tables/checks.csv",
            images=expand(
                first_seed(
                    "results/{{dataset}}/{{model}}/seed~{seed}/gallery/blind/{{attack}}/{filter}.safetensors"
                ),
                filter=group.filters,
            ),
        output:
            accuracy=[
                report(
                    f"results/figures/{{dataset}}/{{model}}/{{attack}}/{filter}/accuracy.svg",
                    caption="../report/accuracy_of_filter.rst",
                    category="Figures, {model} on {dataset}",
                    labels={
                        "attack": "{attack}",
                        "filter": filter,
                        "figure": "accuracy over strength",
                    },
                )
                for filter in group.filters
            ],
            gallery=[
                report(
                    f"results/figures/{{dataset}}/{{model}}/{{attack}}/{filter}/gallery.svg",
                    caption="../report/gallery_of_filter.rst",
                    category="Figures, {model} on {dataset}",
                    labels={"attack": "{attack}", "filter": filter, "figure": "gallery"},
                )
                for filter in group.filters
            ],
            png=expand(
                "results/figures/{{dataset}}/{{model}}/{{attack}}/{filter}/{figure}.png",
                filter=group.filters,
                figure=["accuracy", "gallery"],
            ),
        log:
            "logs/figures/{dataset}/{model}/{attack}.filters.log",
        wildcard_constraints:
            **group.constraints,
        params:
            settings=draw_filters_settings,
            code=code_digest("epsigma.stages.draw"),
        run:
            run_apart(
                "epsigma.stages.draw:draw_filters",
                job(wildcards, params, log),
                **input,
                accuracy=output.accuracy,
                gallery=output.gallery,
            )


rule draw_model:
    """Draw what all attacks on a model come to."""
    input:
        cells="results/tables/cells.csv",
        worst_case="results/tables/worst_case.csv",
        checks="results/tables/checks.csv",
    output:
        attacks=report(
            "results/figures/{dataset}/{model}/attacks.svg",
            caption="../report/attacks.rst",
            category="Figures, {model} on {dataset}",
            labels={"attack": "all", "filter": "none", "figure": "accuracy over budget"},
        ),
        worst=report(
            "results/figures/{dataset}/{model}/worst_case.svg",
            caption="../report/worst_case.rst",
            category="Figures, {model} on {dataset}",
            labels={"attack": "all", "filter": "all", "figure": "worst case over strength"},
        ),
        png=multiext("results/figures/{dataset}/{model}/", "attacks.png", "worst_case.png"),
    log:
        "logs/figures/{dataset}/{model}.log",
    params:
        settings=draw_model_settings(),
        code=code_digest("epsigma.stages.draw"),
    run:
        run_apart(
            "epsigma.stages.draw:draw_model",
            job(wildcards, params, log),
            **input,
            attacks=output.attacks,
            worst=output.worst,
        )
