#!/usr/bin/env bash
# Snakemake 9.27.1: before a job begins, its inputs cost the square of their number.
#
# Behaviour: Job.prepare asks of each input whether it is a pipe. For that it goes through the jobs that the inputs come
#   from, one after another, until it finds the input's: of n inputs by n jobs n^2 / 2 looks. Nothing is printed.
# Guess: looked up, a matter of milliseconds.
# Seen: of a table of 2,000 files by 2,000 jobs 0.16 s, of 8,000 2.8 s, 18 times that. A table of 100,000 had taken
#   over ten minutes of processor time, on a machine that others used, and had not begun.
# Remedy: gather in two steps, or give the answer by a look-up of one's own.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1

cat >Snakefile <<'END'
import os
import time


def take(job):
    started = time.process_time()
    piped = {path for path in job.input if job.is_pipe_or_service_input(path)}
    return time.process_time() - started, piped


rule table:
    input:
        expand("parts/{n}", n=range(int(config["parts"]))),
    output:
        touch("table"),


rule part:
    output:
        touch("parts/{n}"),


onstart:
    (job,) = [one for one in workflow.dag.jobs if one.rule.name == "table"]
    spent, piped = take(job)
    assert not piped
    with open("spent", "w") as file:
        file.write(str(spent))
    # No part has to be made for this.
    os._exit(0)
END

spent() {
    rm -rf .snakemake spent
    venv/bin/snakemake --quiet all --cores 1 --config parts="$1" >/dev/null 2>&1 || true
    cat spent
}

few=$(spent 2000)
many=$(spent 8000)
venv/bin/python - "$few" "$many" <<'END'
import sys

few, many = map(float, sys.argv[1:])
print(f"2,000 inputs: {few:.2f} s; 8,000 inputs: {many:.2f} s; {many / few:.1f} times")
if not 9 < many / few < 30:
    print("CHANGED")
    sys.exit(1)
print("as described: four times the inputs, sixteen times the time")
END
