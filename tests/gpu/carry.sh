#!/bin/sh
# Collect what a machine with a GPU and without a network needs to run tests/gpu:
#
#   tests/gpu/carry.sh FOLDER [PYTHON]
#
# FOLDER gets the committed tree, the wheels of envs/gpu.txt, and run.sh, which does the rest there. The
# other machine has a driver and a Python of the version and platform of PYTHON (default: python3).
set -eu

usage="usage: tests/gpu/carry.sh FOLDER [PYTHON]"
folder=${1:?"$usage"}
python=${2:-python3}
root=$(cd "$(dirname "$0")/../.." && pwd)

"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    echo "the pinned versions are for Python 3.11; name one: $usage" >&2
    exit 1
}
test -z "$(git -C "$root" status --porcelain --untracked-files=no)" ||
    echo "what is not committed stays here" >&2

mkdir -p "$folder/wheels"
git -C "$root" archive --format=tar.gz --output "$(realpath "$folder")/epsigma.tar.gz" HEAD
cp "$root/tests/gpu/run.sh" "$folder"
# Packages without a wheel are built here, where their compilers are.
"$python" -m pip wheel --quiet --wheel-dir "$folder/wheels" -r "$root/envs/gpu.txt"
du -sh "$folder"
echo "copy it to the other machine, and there: $(basename "$folder")/run.sh"
