#!/usr/bin/env bash
# Snakemake 9.27.1: a job that makes n files leaves records of the size n^2 in .snakemake.
#
# Behaviour: each output has a record of its own, and that lists all inputs and all logs of its job, an input that is
#   named several times as often as it is named. A rule that scores many cells at once, with a set and a log for each,
#   writes the square of their number in JSON, in the main process, when it is done; and reads it before each later run.
# Guess: what a job's files have in common is kept once.
# Seen: with an input and a log for each of 100 outputs 0.46 MB, of 400 6.7 MB, 15 times that; with the same 400 outputs,
#   one input and one log 0.24 MB. A column of 1,000 cells with 2,000 files had left 307 MB, and taken 111 s; with one
#   log, and each input named once, 16 MB and 24 s.
# Remedy: one log a job, and in the list of inputs each file once.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1

cat >Snakefile <<'END'
COUNT = int(config["count"])
EACH = config["each"] == "yes"


rule score:
    input:
        ["adversarial.set"] * (COUNT if EACH else 1),
    output:
        expand("metrics/sigma~{n}.json", n=range(COUNT)),
    log:
        expand("logs/sigma~{n}.log", n=range(COUNT if EACH else 1)),
    run:
        for path in output:
            open(path, "w").close()
END
touch adversarial.set

kilobytes() {
    rm -rf .snakemake metrics logs
    venv/bin/snakemake --cores 1 --config "count=$1" "each=$2" >log 2>&1 || { cat log; exit 1; }
    find .snakemake/metadata -type f -printf '%s\n' | awk '{ sum += $1 } END { print int(sum / 1000) }'
}

small=$(kilobytes 100 yes)
large=$(kilobytes 400 yes)
lean=$(kilobytes 400 no)
echo "kB of records: of 100 files $small, of 400 $large; of 400 with one input and one log $lean"
if [ "$large" -lt $((small * 12)) ] || [ "$large" -lt $((lean * 10)) ]; then
    echo "CHANGED"
    exit 1
fi
echo "as described: the square of the files"
