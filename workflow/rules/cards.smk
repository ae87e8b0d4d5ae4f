rule card:
    """Write an attack's card: all that a reviewer would ask of it, on a page."""
    input:
        cells="results/tables/cells.csv",
        distortion="results/tables/distortion.csv",
        optimality="results/tables/optimality.csv",
        fooling="results/tables/fooling.csv",
        checks="results/tables/checks.csv",
        convergence=targets.convergence,
        probes=targets.probes_of_attack,
    output:
        card=shown.card("results/cards/{dataset}/{model}/{attack}.html"),
    log:
        "logs/cards/{dataset}/{model}/{attack}.log",
    localrule: True
    params:
        recipe=recipes.card,
        made_of=targets.digest_of_card,
    run:
        from epsigma.stages.card import make_card

        make_card(jobs.one(wildcards, params, output, log), **input, **output)
