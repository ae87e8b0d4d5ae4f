"""Landlock, of Linux 6.2 and newer: a process gives up the right to write outside a folder.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import sys
from pathlib import Path

# System calls, of the same numbers on all architectures.
CREATE, ADD, RESTRICT = 444, 445, 446
NO_NEW_PRIVILEGES = 38
VERSION, PATH_BENEATH = 1, 1
WRITE_FILE = 1 << 1
# Writing, removing and making whatever a folder holds: of each version what it adds.
WRITES = {1: WRITE_FILE | sum(1 << bit for bit in range(4, 13)), 2: 1 << 13, 3: 1 << 14}
# The version that also keeps a process from emptying files, which was allowed before.
COMPLETE = 3
# To bind and to connect (TCP); sockets and signals of processes that are not confined, too.
NETWORK, SCOPED = {4: 0b11}, {6: 0b11}


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine(folder: Path) -> bool:
    """Let this process, and those that it will start, write in a folder only.

    Where the kernel can, it reaches no TCP port and signals no other process either. Threads that
    run already stay as they are.

    Returns:
        Whether it is so. False where there is no Landlock, or one from before Linux 6.2, which lets
        the process empty files elsewhere, and no more.

    Raises:
        OSError: if there is one, and it refuses.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE, None, ctypes.c_size_t(0), VERSION)
    if version < 1:
        return False

    def known(rights: dict[int, int]) -> int:
        return sum(bits for since, bits in rights.items() if since <= version)

    rules = _Ruleset(known(WRITES), known(NETWORK), known(SCOPED))
    # What older kernels do not know has to be 0, which it is.
    ruleset = _check(
        libc.syscall(CREATE, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), 0)
    )
    _allow(libc, ruleset, folder, known(WRITES))
    _allow(libc, ruleset, Path(os.devnull), WRITE_FILE)
    _check(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _check(libc.syscall(RESTRICT, ruleset, 0))
    os.close(ruleset)
    return bool(version >= COMPLETE)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = _PathBeneath(rights, descriptor)
    _check(libc.syscall(ADD, ruleset, PATH_BENEATH, ctypes.byref(rule), 0))
    os.close(descriptor)


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
