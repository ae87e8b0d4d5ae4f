"""Stage dataset: bring a data set into the project's form."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save_file

from epsigma.datasets.images import Dataset, Images
from epsigma.job import Job
from epsigma.loading import load
from epsigma.storage.checksums import checksums
from epsigma.storage.files import atomic_write


def dataset(job: Job, *, data_dir: str, train: str, test: str) -> None:
    """Write the training and the test images of a data set.

    Args:
        job: its settings are `implementation` and `parameters` of the data set.
        data_dir: folder of data files, for the data sets that need one.
        train: file of training images to write; `images` uint8 (N, C, H, W), `labels` int64 (N,).
        test: file of test images to write, alike.

    Raises:
        FileNotFoundError, ValueError: from the data set, naming the file and the remedy.
    """
    with job.logged() as log:
        made: Dataset = load(job.settings["implementation"])(
            Path(data_dir), **job.settings["parameters"]
        )
        metadata = {**job.metadata, "classes": str(made.classes)}
        for path, images in ((train, made.train), (test, made.test)):
            _write(path, images, metadata)
            log.info("%s: %d images %s", path, len(images.labels), images.images.shape[1:])


def _write(path: str, images: Images, metadata: dict[str, str]) -> None:
    arrays: dict[str, NDArray[Any]] = {"images": images.images, "labels": images.labels}
    with atomic_write(path) as temporary:
        save_file(arrays, temporary, metadata | checksums(arrays))
