"""Stage dataset: bring a data set into the project's form."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save_file

from epsigma.datasets.images import Dataset
from epsigma.job import Job
from epsigma.loading import load
from epsigma.storage.checksums import checksums
from epsigma.storage.files import atomic_write


def dataset(job: Job, *, data_dir: str, train: str, test: str) -> None:
    """Write the training and the test images of a data set.

    Each file has `images` uint8 (N, C, H, W) and `labels` int64 (N,). The job's settings are the
    data set's `implementation` and `parameters`; `data_dir` is for those that need files.

    Raises:
        FileNotFoundError, ValueError: from the data set, naming the file and the remedy.
    """
    with job.logged() as log:
        made: Dataset = load(job.settings["implementation"])(
            Path(data_dir), **job.settings["parameters"]
        )
        metadata = {**job.metadata, "classes": str(made.classes)}
        for path, images in ((train, made.train), (test, made.test)):
            arrays: dict[str, NDArray[Any]] = {"images": images.images, "labels": images.labels}
            with atomic_write(path) as temporary:
                save_file(arrays, temporary, metadata | checksums(arrays))
            log.info("%s: %d images %s", path, len(images.labels), images.images.shape[1:])
