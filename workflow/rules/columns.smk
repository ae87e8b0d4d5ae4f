# One job a cell or, where the configuration asks for `columns`, for many. Rules that make cells are
# written once for both: `over` is what a job writes, `each` what it reads, `jobs` what it runs.
from snakemake.iocontainers import Wildcards

from epsigma.plan.columns import cut

COLUMNS = {}


def columns(stage, **has):
    """The cut of a stage, a rule each."""
    found = cut(STUDY, stage, **has)
    COLUMNS.update({column.rule: column for column in found})
    return found


def jobs(rule, wildcards, params, output, log):
    """What a rule's job makes: of each cell the wildcards, the stage's job, and the files."""
    cells = [Wildcards(fromdict=cell) for cell in COLUMNS[rule].cells(wildcards)]
    for number, cell in enumerate(cells):
        files = {name: paths[number] for name, paths in output.items()}
        yield cell, job(cell, params, log[number]), files


def for_cell(path_of):
    """What `each` takes, from a function of a cell's wildcards."""
    return lambda cell: path_of(Wildcards(fromdict=cell))
