#!/usr/bin/env bash
# Snakemake 9.27.1: a job whose params have changed does not run if an `ancient` input of it is made anew.
#
# Behaviour: jobs behind one that has a reason to run are not asked for reasons of their own, as they are to run
#   for its sake. Behind an `ancient` file they are then not run for its sake either. The run succeeds, its
#   result is stale, and the next dry run wants the job.
# Guess: `ancient` takes the time stamp out, and nothing else: changed params make a job run in any case.
# Seen: `score` reads `ancient("tried.txt")`. With params of both changed only `attempt` is planned; with those of
#   `score` alone `score` is. After the run of the first case `score` is planned.
# Remedy: let what may be made anew together with its readers be no `ancient` input; keep out of its params
#   what the readers do not share.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1

cat >Snakefile <<'END'
rule score:
    input:
        ancient("tried.txt"),
    output:
        "score.txt",
    params:
        eps=config["score"],
    shell:
        "echo {params.eps} > {output}"


rule attempt:
    output:
        "tried.txt",
    params:
        eps=config["try"],
    shell:
        "echo {params.eps} > {output}"
END

run() { venv/bin/snakemake --cores 1 --quiet all "$@" >log 2>&1 || { cat log; exit 1; }; }
planned() {
    venv/bin/snakemake --dry-run "$@" 2>&1 |
        sed -n 's/^rule \(.*\):$/\1/p' | sort -u | tr '\n' ' '
}

run --config score=1 try=1
alone=$(planned --config score=2 try=1)
both=$(planned --config score=2 try=2)
run --config score=2 try=2
after="$(cat score.txt), then $(planned --config score=2 try=2)"
echo "planned, params of score changed: $alone"
echo "planned, params of both changed: $both"
echo "score.txt after that run: $after"
if [ "$alone|$both|$after" != "score |attempt |1, then score " ]; then
    echo "CHANGED"
    exit 1
fi
echo "as described: the result of the changed job is stale, and the run succeeded"
