#!/bin/sh
# Run the tests on this machine's GPU, without a network, from a folder that carry.sh has made:
#
#   FOLDER/run.sh [PYTHON]
#
# It makes FOLDER/venv and FOLDER/epsigma, and writes what came of it to FOLDER/report.txt.
set -eu

folder=$(cd "$(dirname "$0")" && pwd)
python=${1:-python3}

mkdir -p "$folder/epsigma"
tar -xzf "$folder/epsigma.tar.gz" -C "$folder/epsigma"
"$python" -m venv --clear "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check \
    --no-index --find-links "$folder/wheels" -r "$folder/epsigma/envs/gpu.txt"

cd "$folder/epsigma"
{
    date -u
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1 || true
    "$folder/venv/bin/python" -c 'import torch; print("torch", torch.__version__)'
} > "$folder/report.txt"
# The exit status is that of the tests.
status=0
"$folder/venv/bin/python" -m pytest -rs --durations 5 tests/gpu >> "$folder/report.txt" 2>&1 || status=$?
cat "$folder/report.txt"
exit $status
