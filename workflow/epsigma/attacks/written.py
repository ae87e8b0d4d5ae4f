"""Writing what an attack makes, and what a filter makes of that, batch by batch."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack

import torch
from torch import Tensor

from epsigma.attacks.craft import Part
from epsigma.attacks.rows import Rows
from epsigma.filters.build import apply_filter
from epsigma.filters.filter import Filter
from epsigma.storage.held import HeldSet, HeldWriter
from epsigma.storage.images import ImageSet
from epsigma.storage.writing import SetWriter, writing_set
from epsigma.vocabulary import FILTERED_AS, FLOAT32


def write_parts(
    parts: Iterable[Part],
    rows: Rows,
    metadata: dict[str, str],
    *,
    shape: torch.Size,
    adversarial: str | HeldSet | None = None,
    filtered: str | HeldSet | None = None,
    module: Filter | None = None,
    stored_as: str = FLOAT32,
) -> dict[str, Tensor]:
    """Write the parts of a set as they come: as they are, through a filter, or both.

    Args:
        parts: of all rows, in their order.
        rows: of the set.
        metadata: of the files.
        shape: (C, H, W) of the images.
        adversarial: file or set to write of the images as they are; None for none.
        filtered: file or set to write of the filtered images; None for none.
        module: the filter.
        stored_as: type that the images are rounded to; what a filter leaves is that of
            `FILTERED_AS`.

    Returns:
        The measures of all rows, (M,) each.
    """
    measures = []
    with ExitStack() as stack:
        count = len(rows.index)
        wanted = [
            (stack.enter_context(_writing(made, shape, count, metadata, kept_as)), how)
            for made, how, kept_as in (
                (adversarial, None, stored_as),
                (filtered, module, FILTERED_AS[stored_as]),
            )
            if made is not None
        ]
        for part in parts:
            columns = None if rows.complete else part.rows.columns
            measures.append(part.measures)
            for writer, how in wanted:
                images = part.images if how is None else apply_filter(how, part.images)
                writer.write(ImageSet(images, part.rows.labels, part.measures, columns))
    return {name: torch.cat([part[name] for part in measures]) for name in measures[0]}


def _writing(
    made: str | HeldSet, shape: torch.Size, rows: int, metadata: dict[str, str], stored_as: str
) -> AbstractContextManager[SetWriter | HeldWriter]:
    """Write a file, or a set that is scored in this job."""
    if isinstance(made, HeldSet):
        return made.writing(shape, rows, metadata, stored_as)
    return writing_set(made, rows, metadata, stored_as)
