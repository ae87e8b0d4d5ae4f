"""Run a stage in a process of its own: `stage.py FUNCTION ARGUMENTS`.

FUNCTION is `module:name` of a function that takes a `Job` and files by keyword; ARGUMENTS is JSON
with the fields of the `job` and the `files`. Training (global seeds) and figures (matplotlib) want
this. It is a command and not a `script:`, because Snakemake reruns a script whenever the timestamp
of its file changes.
"""

import json
import os
import sys
from pathlib import Path

# As in workflow/rules/common.smk: the package, and the user's own modules.
sys.path.insert(0, os.getcwd())
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from epsigma.kinds import load
from epsigma.stages.job import Job


def main() -> None:
    """Read the command line and run the stage."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    function, arguments = sys.argv[1], json.loads(sys.argv[2])
    load(function)(Job(**arguments["job"]), **arguments["files"])


if __name__ == "__main__":
    main()
