# Where the study asks for columns, each rule that makes cells has twins that make several in a job
# (workflow/epsigma/plan/columns.py). A twin is the rule itself with other files. This is what
# `use rule … as … with:` is compiled to: the names are known only when Snakemake runs.
from epsigma.plan.outputs import fill

for twin in plan.twins:
    cells_rule = getattr(rules, twin.stage)

    @workflow.userule(rules=[twin.stage], name_modifier=twin.rule)
    @workflow.output(**outputs.of_twin(twin, cells_rule.output))
    @workflow.log(*fill(twin, cells_rule.log[0]))
    @workflow.register_wildcard_constraints(**twin.constraints)
    @workflow.run
    def _():
        pass

    workflow.ruleorder(twin.rule, twin.stage)
