# What all rules share: the study, and its plan (workflow/epsigma/plan).
from epsigma.engine import (
    Apart,
    announce,
    clear_up,
    end_progress,
    prepare_process,
    read_study,
    show_progress,
    sum_up,
    sum_up_finished,
)
from epsigma.plan.paths import CONSTRAINTS, prefix_of
from epsigma.plan.plan import Plan
from epsigma.plan.report import of_filters
from epsigma.plan.targets import digest_of
from epsigma.registry.tables import TABLES

prepare_process()
plan = Plan(read_study(workflow, config, ROOT))
study, targets, jobs = plan.study, plan.targets, plan.jobs
recipes, inputs, outputs, resources = plan.recipes, plan.inputs, plan.outputs, plan.resources
shown, drawings = plan.report, plan.targets.drawings
apart = Apart()


wildcard_constraints:
    **CONSTRAINTS,


# Attacks on test images, and those that make fooling images, as regular expressions.
ON_IMAGES = targets.attack_pattern(is_fooling=False)
FOOLING = targets.attack_pattern(is_fooling=True)
# Tables that the report shows, and figures of a filter: galleries, and others.
SHOWN = [name for name, table in TABLES.items() if table.label]
GALLERIES = drawings.wanted("filter", early=True)
OF_FILTERS = drawings.wanted("filter", early=False)
