#!/usr/bin/env bash
# Snakemake 9.27.1: where one job of a group fails, the finished results of the whole group are deleted.
#
# Behaviour: a group is submitted to the cluster as one job. If that fails, the main process calls every
#   job of the group failed, also those whose own process had reported them finished and recorded their
#   results, and removes the outputs of all as if they might be corrupted. What was run is run again.
# Guess: results that were finished stay, as they do without a group, and the next run takes them.
# Seen: three attacks in a group with the table made of them; the table fails. Of the three results none
#   is left, and after a repair the three attacks run again: 6 runs. Run locally, where a group does not
#   matter, or with each job submitted alone, the three stay: 3 runs. --keep-going does not help.
#   (The cluster is cluster-generic 1.0.9, with the shell in place of a scheduler.)
# Remedy: no group around what may fail or run out of time; or --keep-incomplete, which keeps the three,
#   and what the failed job has written.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1 \
    snakemake-executor-plugin-cluster-generic==1.0.9
export XDG_CACHE_HOME=$folder/cache

cat >grouped.smk <<'END'
rule table:
    input:
        expand("{attack}.txt", attack=["fgsm", "pgd", "square"]),
    output:
        "table.txt",
    group:
        "all"
    shell:
        "test -e repaired && cat {input} >{output}"


rule attack:
    output:
        "{attack}.txt",
    group:
        "all"
    shell:
        "echo {wildcards.attack} | tee -a runs >{output}"
END
# The same without the lines of the group.
sed '/group:/,+1d' grouped.smk >alone.smk

cat >submit.sh <<'END'
sh "$1" >>job.log 2>&1
echo 1
END
cluster=(--executor cluster-generic --cluster-generic-submit-cmd "sh submit.sh" --jobs 1
    --seconds-between-status-checks 1)

# After the failure: results that are left; after the repair: runs of attacks in all.
left_and_runs() {
    local left
    rm -rf .snakemake ./*.txt runs repaired
    if timeout 120 venv/bin/snakemake "$@" >log 2>&1; then
        echo "does not fail"
        return
    fi
    left=$(find . -maxdepth 1 -name "*.txt" | wc -l)
    touch repaired
    timeout 120 venv/bin/snakemake "$@" >>log 2>&1 || cat log >&2
    echo "$left $(wc -l <runs)"
}

declare -A found
found[grouped]=$(left_and_runs --snakefile grouped.smk "${cluster[@]}")
found[keep-going]=$(left_and_runs --snakefile grouped.smk "${cluster[@]}" --keep-going)
found[keep-incomplete]=$(left_and_runs --snakefile grouped.smk "${cluster[@]}" --keep-incomplete)
found[alone]=$(left_and_runs --snakefile alone.smk "${cluster[@]}")
found[local]=$(left_and_runs --snakefile grouped.smk --cores 1)
echo "results left and runs of attacks:"
for way in grouped keep-going keep-incomplete alone local; do echo "    $way: ${found[$way]}"; done
if [ "${found[grouped]}, ${found[keep-going]}, ${found[alone]}, ${found[local]}" != "0 6, 0 6, 3 3, 3 3" ] ||
    [ "${found[keep-incomplete]}" != "3 3" ]; then
    cat job.log
    echo "CHANGED"
    exit 1
fi
echo "as described: a group that fails takes its finished results along"
