#!/usr/bin/env bash
# The whole run in one allocation: no job a cell, a plain Snakemake with all cores of one node.
#
#   sbatch [SLURM's options] profiles/slurm/sbatch.sh [Snakemake's options]
#
# from the root of the clone, with the environment's python on the path, which SLURM hands on. What
# stands below can be given to sbatch instead (--account, --partition, --gpus=1 for device: cuda).
#SBATCH --job-name=epsigma
#SBATCH --output=epsigma-%j.log
#SBATCH --nodes=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=08:00:00
# Five minutes before the end: finish what runs, start nothing more. Submitted again, it goes on.
#SBATCH --signal=B:TERM@300
exec python -m snakemake --cores "$SLURM_CPUS_PER_TASK" --rerun-incomplete "$@"
