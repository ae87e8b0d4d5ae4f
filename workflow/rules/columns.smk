# One job a cell or, where the configuration asks for `columns`, for many. Rules that make cells are
# written once for both: `over` is what a job writes, `each` what it reads, `jobs` what it runs.
from snakemake.iocontainers import Wildcards

from epsigma.plan.columns import cut

COLUMNS = {}


def columns(stage, attacks=None, **has):
    """The cut of a stage, a rule each; of one that is only for some attacks, of these."""
    found = cut(STUDY, stage, **has)
    if attacks is not None:
        found = [
            dataclasses.replace(column, constraints={**only(attacks), **column.constraints})
            for column in found
            if column.constraints.get("attack") in (None, *attacks)
        ]
    COLUMNS.update({column.rule: column for column in found})
    return found


def only(attacks):
    """The constraint of a rule that is for some attacks."""
    return {"attack": "|".join(attacks)}


def jobs(rule, wildcards, params, output, log):
    """What a rule's job makes: of each cell the wildcards, the stage's job, and the files."""
    cells = [Wildcards(fromdict=cell) for cell in COLUMNS[rule].cells(wildcards)]
    for number, cell in enumerate(cells):
        files = {name: paths[number] for name, paths in output.items()}
        yield cell, job(cell, params, log[number]), files


def for_cell(path_of):
    """What `each` takes, from a function of a cell's wildcards."""
    return lambda cell: path_of(Wildcards(fromdict=cell))
