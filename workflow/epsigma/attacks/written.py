"""Writing what an attack makes, and what a filter makes of that, batch by batch."""

from collections.abc import Iterable
from contextlib import ExitStack

import torch
from torch import Tensor

from epsigma.attacks.craft import Part
from epsigma.attacks.rows import Rows
from epsigma.filters.build import apply_filter
from epsigma.filters.filter import Filter
from epsigma.storage.images import ImageSet
from epsigma.storage.writing import writing_set


def write_parts(
    parts: Iterable[Part],
    rows: Rows,
    metadata: dict[str, str],
    *,
    adversarial: str | None = None,
    filtered: str | None = None,
    module: Filter | None = None,
) -> dict[str, Tensor]:
    """Write the parts of a set as they come: as they are, through a filter, or both.

    Args:
        parts: of all rows, in their order.
        rows: of the set.
        metadata: of the files.
        adversarial: file to write of the images as they are; None for none.
        filtered: file to write of the filtered images; None for none.
        module: the filter.

    Returns:
        The measures of all rows, (M,) each.
    """
    measures = []
    with ExitStack() as stack:
        count = len(rows.index)
        wanted = [
            (stack.enter_context(writing_set(path, count, metadata)), how)
            for path, how in ((adversarial, None), (filtered, module))
            if path is not None
        ]
        for part in parts:
            columns = None if rows.complete else part.rows.columns
            measures.append(part.measures)
            for writer, how in wanted:
                images = part.images if how is None else apply_filter(how, part.images)
                writer.write(ImageSet(images, part.rows.labels, part.measures, columns))
    return {name: torch.cat([part[name] for part in measures]) for name in measures[0]}
