"""Stage dataset: bring a data set into the project's form."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from epsigma.datasets.images import Dataset, is_ordered, stratified_order
from epsigma.job import Job
from epsigma.loading import load
from epsigma.storage.checksums import checksums
from epsigma.storage.files import atomic_write


def dataset(job: Job, *, data_dir: str, train: str, test: str) -> None:
    """Write the training and the test images of a data set.

    Each file has `images` uint8 (N, C, H, W) and `labels` int64 (N,); N is 0 where there are no
    training images. Test images that come in an order of their classes (`is_ordered`) are written
    in `stratified_order`, and `source` int64 (N,) says which of the data set's each one is: the
    first N of them stand for all. The job's settings are the data set's `implementation` and
    `parameters`; `data_dir` is for those that need files.

    Raises:
        FileNotFoundError, ValueError: from the data set, naming the file and the remedy.
    """
    with job.logged() as log:
        made: Dataset = load(job.settings["implementation"])(
            Path(data_dir), **job.settings["parameters"]
        )
        for note in made.notes:
            log.info("%s", note)
        metadata = {**job.metadata, "classes": str(made.classes)}
        for path, images in ((train, made.train), (test, made.test)):
            found = images or made.test
            arrays: dict[str, NDArray[Any]] = {"images": found.images, "labels": found.labels}
            if images is None:
                arrays = {name: values[:0] for name, values in arrays.items()}
            elif path == test and is_ordered(images.labels):
                log.info("%s: ordered by class, so drawn stratified by class", path)
                source = stratified_order(images.labels)
                arrays = {name: values[source] for name, values in arrays.items()}
                arrays["source"] = source
            # safetensors writes the memory as it lies.
            arrays = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
            with atomic_write(path) as temporary:
                save_file(arrays, temporary, metadata | checksums(arrays))
            log.info("%s: %d images %s", path, len(arrays["labels"]), found.images.shape[1:])
