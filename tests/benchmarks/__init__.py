"""The benchmark suite: `make bench`, or `PYTHONPATH=tests python -m benchmarks`.

A part measures one thing and writes `results/PART.csv`, a row a measurement, and
`results/PART.json`, the conditions that it was measured in. The page `results.md` is rendered from
the parts that are there, so that one can be measured again without the rest.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent / "results.md"
# What everybody gets: the workflow its cores, the libraries their threads.
CORES = len(os.sched_getaffinity(0))

sys.path.insert(0, str(ROOT / "workflow"))
