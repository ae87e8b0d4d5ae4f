#!/usr/bin/env bash
# After Snakemake itself was killed while its SLURM jobs ran on: cancel them, wait until they are
# gone, and unlock the folder. Without this a new run would submit the same jobs beside them.
#
#   profiles/slurm/recover.sh [FOLDER]     # FOLDER: where it ran; without it, the current one
#
# On the machine where that Snakemake ran, with the environment's python on the path.
set -euo pipefail
folder=$(realpath "${1:-.}")
unlock=$(dirname "$(realpath "$0")")/../../workflow/scripts/unlock.py
# Jobs are named after their run, and a run logs its name when it starts: one that was killed before
# has submitted none, and grep then ends with 1.
runs=$({ grep --recursive --no-filename --only-matching --perl-regexp 'SLURM run ID: \K\S+' \
    "$folder/.snakemake/log" || [ $? -eq 1 ]; } | sort --unique | paste --serial --delimiters=,)
for run in ${runs//,/ }; do
    scancel --me --name="$run"
done
until [ -z "$runs" ] || [ -z "$(squeue --me --noheader --name="$runs")" ]; do
    if [ $SECONDS -gt 120 ]; then
        echo "after two minutes there still are jobs of $folder: see squeue --me --name=$runs;" \
            "if a Snakemake is still at work there, end it first" >&2
        exit 1
    fi
    sleep 1
done
python "$unlock" "$folder"
