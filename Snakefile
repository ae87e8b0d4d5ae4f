"""epsigma: what low-cost input filters do against adversarial examples, over ε and σ."""

from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/columns.smk"
include: "workflow/rules/settings.smk"
include: "workflow/rules/paths.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/calibrate.smk"
include: "workflow/rules/attack.smk"
include: "workflow/rules/filter.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/defences.smk"
include: "workflow/rules/check.smk"


if FOOLING:

    include: "workflow/rules/fooling.smk"


report: "workflow/report/workflow.rst"


# On a cluster these stay where Snakemake runs: they take a second or two, a job would cost more. And
# a data set may have to be downloaded, which compute nodes often can't.
localrules:
    all,
    dataset,
    collect,
    reference,
    configuration,
    defences,
    check,
    card,
    gate,


rule all:
    """Make every table and every figure of the configuration, and let the checks judge them."""
    default_target: True
    input:
        rules.collect.output,
        rules.statistics.output,
        rules.reference.output,
        rules.configuration.output,
        rules.check.output,
        figures(),
        cards(),
        rules.gate.output,
        settled(),
        kept_sets(),


onstart:
    clear_up()
    # To keep to a rate of submissions, Snakemake wakes its scheduler once a second for each job that
    # it has started so far, which soon is all it does. Jobs on this machine need no such limit.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
        start_server()
