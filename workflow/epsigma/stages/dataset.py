"""Stage dataset: bring a data set into the project's form."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from epsigma.datasets.arrays import to_pixels
from epsigma.datasets.images import Dataset, is_ordered, stratified_order
from epsigma.job import Job
from epsigma.loading import load
from epsigma.storage.checksums import checksums
from epsigma.storage.class_names import encode_names
from epsigma.storage.files import atomic_write


def dataset(job: Job, *, data_dir: str, train: str, test: str) -> None:
    """Write the training and the test images of a data set.

    Each file has `images` (N, C, H, W), uint8 or float32 as `to_pixels` says, and `labels` int64
    (N,); N is 0 where there are no training images. That of training images has `validation_images`
    and `validation_labels`, too, if the data set brings some. Metadata are the number of `classes`
    and, if they have names, `class_names`.

    Test images that come in an order of their classes (`is_ordered`) are written in
    `stratified_order`, and `source` int64 (N,) says which of the data set's each one is: the first
    N of them stand for all. The job's settings are the data set's `implementation` and
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
        if made.class_names:
            named = (f"{number} {name}" for number, name in enumerate(made.class_names))
            log.info("classes: %s", ", ".join(named))
        classes = {"classes": str(made.classes), **encode_names(made.class_names)}
        metadata = {**job.metadata, **classes}
        for path, part, images in ((train, "training", made.train), (test, "test", made.test)):
            found = images or made.test
            pixels = to_pixels(found.images, f"{part} images")
            arrays: dict[str, NDArray[Any]] = {"images": pixels, "labels": found.labels}
            if images is None:
                arrays = {name: values[:0] for name, values in arrays.items()}
            elif path == test and is_ordered(images.labels):
                log.info("%s: ordered by class, so drawn stratified by class", path)
                source = stratified_order(images.labels)
                arrays = {name: values[source] for name, values in arrays.items()}
                arrays["source"] = source
            if path == train and made.validation is not None:
                brought = made.validation
                arrays["validation_images"] = to_pixels(brought.images, "validation images")
                arrays["validation_labels"] = brought.labels
                log.info("%s: %d images to validate on", path, len(brought.labels))
            if any(values.dtype == np.float32 and values.size for values in arrays.values()):
                log.info("%s: 8 bits are not enough, so float32: four times the bytes", path)
            # safetensors writes the memory as it lies.
            arrays = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
            with atomic_write(path) as temporary:
                save_file(arrays, temporary, metadata | checksums(arrays))
            log.info("%s: %d images %s", path, len(arrays["labels"]), found.images.shape[1:])
