#!/usr/bin/env bash
# Snakemake 9.27.1: when a job is done, each of its inputs is read and hashed once for every output of the job.
#
# Behaviour: an output's record has the SHA-256 of all inputs of its job that are no larger than
#   --max-checksum-file-size (1 MB). They are computed anew for each output, in the main process, one after the
#   other, also with rerun triggers that do not look at them. A rule that makes 20 tables of 500 ledgers hashes
#   10,000 files while no other job begins.
# Guess: each input is hashed once a job.
# Seen: 6 inputs, 5 outputs: 30 digests; 6 of the same rule with one output; none with
#   --max-checksum-file-size 0.
# Remedy: one output (an archive, say) that a second rule unpacks; or no sums.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1

cat >Snakefile <<'END'
COUNT = int(config["outputs"])


rule tables:
    input:
        expand("ledger/{place}.csv", place=range(6)),
    output:
        expand("tables/{place}.csv", place=range(COUNT)),
    shell:
        "for file in {output}; do cat {input} >$file; done"
END

cat >counted.py <<'END'
import hashlib
import sys

from snakemake.cli import main

digest, count = hashlib.file_digest, 0


def counted(file, algorithm):
    global count
    count += str(file.name).startswith("ledger/")
    return digest(file, algorithm)


hashlib.file_digest = counted
try:
    main(sys.argv[1:])
finally:
    print("digests:", count)
END

mkdir ledger
for place in 0 1 2 3 4 5; do echo "$place" >ledger/$place.csv; done

digests() {
    rm -rf tables .snakemake
    venv/bin/python counted.py --cores 1 --rerun-triggers mtime --config "outputs=$1" "${@:2}" 2>log |
        sed -n 's/^digests: //p'
}

found="$(digests 5) $(digests 1) $(digests 5 --max-checksum-file-size 0)" || { cat log; exit 1; }
echo "digests with five outputs, with one, and with five and no sums: $found"
if [ "$found" != "30 6 0" ]; then
    cat log
    echo "CHANGED"
    exit 1
fi
echo "as described: inputs times outputs"
