#!/usr/bin/env bash
# torch 2.14.1: turning TF32 off by the new setting makes `torch.backends.cudnn.flags` raise, wherever it is called.
#
# Behaviour: convolutions are in TF32 by default, matrix products are not. torch.backends.fp32_precision = "ieee" turns
#   it off for both. From then on torch.backends.cudnn.allow_tf32 raises when it is read, and so does the context
#   torch.backends.cudnn.flags(...), which reads it to put it back. The message says that convolutions and recurrent
#   layers have different settings; they have the same. It needs no GPU.
# Guess: the same as torch.backends.cudnn.allow_tf32 = False, which is right on all counts.
# Seen: both raise RuntimeError with "ieee" for all, for convolutions and recurrent layers each, or for convolutions
#   alone; neither with "tf32", nor after allow_tf32 = False.
# Remedy: where any library may use the context (second derivatives of recurrent layers want it), the old setting.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6

cat >precision.py <<'END'
import sys

import torch
from torch.backends import cudnn

DEFAULTS = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, torch.backends.cuda.matmul.fp32_precision


def raises(function):
    try:
        function()
    except RuntimeError:
        return True
    return False


def use_flags():
    with cudnn.flags(enabled=False):
        pass


def look():
    same = cudnn.conv.fp32_precision == cudnn.rnn.fp32_precision
    return same, raises(lambda: cudnn.allow_tf32), raises(use_flags)


def set_each(conv, rnn):
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = conv, rnn


seen = {"as it is": look()}
cudnn.allow_tf32 = False
seen["allow_tf32 = False"] = look()
cudnn.allow_tf32 = True
set_each("ieee", "tf32")
seen["convolutions ieee"] = look()
set_each("ieee", "ieee")
seen["both ieee"] = look()
set_each("tf32", "tf32")
seen["both tf32"] = look()
torch.backends.fp32_precision = "ieee"
set_each("none", "none")
seen["all ieee"] = look()
print(f"by default: convolutions {DEFAULTS[0]}, recurrent {DEFAULTS[1]}, products {DEFAULTS[2]}")
for name, (same, read, used) in seen.items():
    print(f"{name}: {'same' if same else 'different'}; reading {read}, flags {used} (raised)")
expected = {
    "as it is": (True, False, False),
    "allow_tf32 = False": (True, False, False),
    "convolutions ieee": (False, True, True),
    "both ieee": (True, True, True),
    "both tf32": (True, False, False),
    "all ieee": (True, True, True),
}
if DEFAULTS != ("tf32", "tf32", "none") or seen != expected:
    print("CHANGED")
    sys.exit(1)
print("as described: ieee by the new setting breaks cudnn.flags")
END

venv/bin/python precision.py
