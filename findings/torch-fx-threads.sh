#!/usr/bin/env bash
# torch 2.14.1: while `torch.fx.symbolic_trace` traces one model, other models fail in other threads.
#
# Behaviour: a tracer puts its own `nn.Module.__call__` and `__getattr__` in place while it traces, for
#   all modules of the process. A model that another thread calls meanwhile is traced, too.
# Guess: tracing a model concerns that model.
# Seen: the other thread gets "module is not installed as a submodule" (NameError), for a model that
#   nobody traces, on ordinary tensors.
# Remedy: forward hooks of the model's own, or a process of its own for what traces.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6

cat >traced.py <<'END'
import sys
import threading
import time

import torch
from torch import fx, nn

one, other, x = nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2), torch.zeros(1, 2)
other(x)
stop = threading.Event()


def trace():
    while not stop.is_set():
        fx.symbolic_trace(one)


thread = threading.Thread(target=trace)
thread.start()
seen, until = None, time.monotonic() + 30
while seen is None and time.monotonic() < until:
    try:
        other(x)
    except NameError as error:
        seen = str(error)
stop.set()
thread.join()
if seen != "module is not installed as a submodule":
    sys.exit(f"CHANGED: the other model's error in 30 s: {seen}")
END

venv/bin/python traced.py
echo "as described: a model in another thread fails while symbolic_trace traces one"
