"""epsigma: what low-cost input filters do against adversarial examples.

The package knows nothing of Snakemake. What the workflow needs to build its DAG
(`configuration`, `grid`, `kinds`, `provenance` and the registries of `datasets`, `models`,
`attacks` and `filters`) imports neither torch nor numpy.
"""

__version__ = "0.1.0"
