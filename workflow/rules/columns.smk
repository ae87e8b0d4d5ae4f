# Where the study asks for columns, each rule that makes cells has twins that make several in a job
# (workflow/epsigma/plan/columns.py).
from epsigma.engine import add_twin
from epsigma.plan.outputs import fill_log

for twin in plan.twins:
    of_cells = getattr(rules, twin.stage)
    add_twin(
        workflow, twin, outputs.of_twin(twin, of_cells.output), fill_log(twin, of_cells.log[0])
    )
