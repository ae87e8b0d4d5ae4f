"""Planes of images, a few at a time, through libraries that take arrays and not batches."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import torch

# OpenCV shares no plane among threads of its own.
cv2.setNumThreads(1)


def in_pieces(filter_piece: Callable[[slice], None], count: int, at_once: int) -> None:
    """Filter `count` planes, `at_once` at a time, on as many threads as torch has.

    Args:
        filter_piece: filters the planes of a slice, into a place that is there for them. It holds
            no lock of Python's for long.
    """
    pieces = [slice(start, start + at_once) for start in range(0, count, at_once)]
    threads = min(torch.get_num_threads(), len(pieces))
    if threads <= 1:
        for piece in pieces:
            filter_piece(piece)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(filter_piece, pieces):
            pass
