"""Run a stage in a process of its own.

    stage.py run REQUEST
    stage.py serve SOCKET MODULE...

REQUEST is JSON: `function`, `module:name` of a function that takes a `Job` and files by keyword;
the fields of the `job`; and the `files`. `serve` takes requests at a socket and forks for each, see
`epsigma.forkserver`. Training (global seeds) and figures (matplotlib) want this. It is a command
and not a `script:`, because Snakemake reruns a script whenever the timestamp of its file changes.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

# As in workflow/rules/common.smk: the package, and the user's own modules.
sys.path.insert(0, os.getcwd())
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from epsigma.forkserver import serve
from epsigma.job import Job
from epsigma.loading import load


def end_with(parent: int) -> None:
    """End this process soon after its parent, which may be killed without a word."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def run(request: dict[str, Any]) -> None:
    """Run the stage that a request names."""
    threading.Thread(target=end_with, args=[os.getppid()], daemon=True).start()
    load(request["function"])(Job(**request["job"]), **request["files"])


def main() -> None:
    """Read the command line."""
    match sys.argv[1:]:
        case ["run", request]:
            run(json.loads(request))
        case ["serve", socket, *modules]:
            serve(socket, modules, run)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
