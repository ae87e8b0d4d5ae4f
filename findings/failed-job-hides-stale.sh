#!/usr/bin/env bash
# Snakemake 9.27.1: after a job in the middle has failed, the same run again has nothing to do, and a stale result.
#
# Behaviour: a job that fails loses its output, also that of its last success. Where a target is made of that
#   output, and is still there, the missing file in the middle is no reason to run: neither is the newer file that
#   it would be made of. The next run succeeds, with the target as it was before.
# Guess: a run that failed goes on where it failed, once the cause is gone.
# Seen: data.txt changes, `middle` fails for a cause outside its inputs, the cause goes; "Nothing to be done",
#   result.txt has the old data. Where `middle` is a target, too, it runs, and result.txt is new.
# Remedy: have the default target ask for files in the middle, too, that a table cannot do without.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1

cat >Snakefile <<'END'
rule all:
    input:
        "result.txt",


rule result:
    input:
        "middle.txt",
    output:
        "result.txt",
    shell:
        "cp {input} {output}"


rule middle:
    input:
        "data.txt",
    output:
        "middle.txt",
    shell:
        "test ! -e trouble && cp {input} {output}"
END

run() { venv/bin/snakemake --cores 1 "$@" >log 2>&1; }

echo "first" >data.txt
run || { cat log; exit 1; }
sleep 2
echo "second" >data.txt
touch trouble
if run; then
    echo "CHANGED: the job did not fail"
    exit 1
fi
rm trouble
run || { cat log; exit 1; }
said=$(grep -c "Nothing to be done" log || true)
stale=$(cat result.txt)
run all middle.txt || { cat log; exit 1; }
new=$(cat result.txt)
echo "after the failure, run again: $stale (nothing to be done: $said); with the middle as a target: $new"
if [ "$stale|$said|$new" != "first|1|second" ]; then
    echo "CHANGED"
    exit 1
fi
echo "as described: the run succeeded, and its result is of the data before"
