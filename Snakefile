include: "workflow/Snakefile"


# Snakemake forgets the default target of what is included.
use rule all as epsigma
