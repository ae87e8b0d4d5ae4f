#!/usr/bin/env bash
# Snakemake 9.27.1: who makes a file is found by trying every file of every rule, the square of a long list of outputs.
#
# Behaviour: OutputIndex sorts files by what is before their first wildcard. Where all begin alike ("results/{model}/")
#   each file that is asked for is held against the endings of all that any rule lists, and then against the regular
#   expressions of its rule's, in their order, until one matches. It is done in every dry run, no-op and cluster job.
# Guess: an index, as its name says: a look-up, whatever the number of files.
# Seen: of a rule that lists 1,000 files and a table that wants them 0.30 s of a processor, of 4,000 4.4 s, 14 times
#   that; of a rule whose wildcards are these files, 0.02 s. A rule that scores 5,000 cells took 35 s to plan, 26 of
#   them here.
# Remedy: more wildcards, fewer files in a rule's list; or what is constant before the first wildcard.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1

cat >Snakefile <<'END'
import time

from snakemake.output_index import OutputIndex

COUNT = int(config["count"])
WANTED = expand("results/mlp/sigma~{n}.json", n=range(COUNT))


rule table:
    input:
        WANTED,
    output:
        touch("table"),


if config["listed"] == "yes":

    rule score:
        output:
            expand("results/{{model}}/sigma~{n}.json", n=range(COUNT)),

else:

    rule score:
        output:
            "results/{model}/sigma~{n}.json",


index = OutputIndex(workflow.rules)
started = time.process_time()
for path in WANTED:
    assert {rule.name for rule in index.match_producers(path)} == {"score"}
print("milliseconds:", int((time.process_time() - started) * 1000) + 1)
END

milliseconds() {
    venv/bin/snakemake --cores 1 --list --config "count=$1" "listed=$2" 2>&1 | sed -n 's/^milliseconds: //p'
}

small=$(milliseconds 1000 yes)
large=$(milliseconds 4000 yes)
wild=$(milliseconds 4000 no)
echo "ms: of 1,000 listed files $small, of 4,000 $large; of 4,000 by wildcards $wild"
if [ "$large" -lt $((small * 8)) ] || [ "$large" -lt $((wild * 20)) ]; then
    echo "CHANGED"
    exit 1
fi
echo "as described: the square of the files"
