"""The registry of data sets.

An implementation takes `data_dir` and its parameters by keyword, and returns a
`epsigma.datasets.images.Dataset`.
"""

from epsigma.kinds import DatasetKind, Schema


def _first(which: str) -> Schema:
    return {
        "description": f"use only the first so many {which} images; null for all",
        "type": ["integer", "null"],
        "minimum": 1,
        "default": None,
    }


def _split_seed(sizes: str) -> Schema:
    return {
        "description": f"seed of the stratified split into {sizes}",
        "type": "integer",
        "minimum": 0,
        "default": 0,
    }


_SIZES = {"train_size": _first("training"), "test_size": _first("test")}
_TEST_FRACTION: Schema = {
    "description": "part of the images that is split off for the test, at random, each class in "
    "the same proportion; null if there is a test set",
    "type": ["number", "null"],
    "exclusiveMinimum": 0,
    "exclusiveMaximum": 1,
    "default": None,
}

DATASETS = {
    "mnist": DatasetKind("epsigma.datasets.mnist:mnist", parameters=_SIZES),
    "fashion_mnist": DatasetKind("epsigma.datasets.fashion_mnist:fashion_mnist", parameters=_SIZES),
    "kmnist": DatasetKind("epsigma.datasets.kmnist:kmnist", parameters=_SIZES),
    "cifar10": DatasetKind("epsigma.datasets.cifar10:cifar10", parameters=_SIZES),
    "mnist5k": DatasetKind(
        "epsigma.datasets.mnist5k:mnist5k",
        parameters={"split_seed": _split_seed("4,000 training and 1,000 test images")},
    ),
    "digits": DatasetKind(
        "epsigma.datasets.digits:digits",
        parameters={"split_seed": _split_seed("1,437 training and 360 test images")},
    ),
    "file": DatasetKind(
        "epsigma.datasets.file:file",
        parameters={
            "path": {
                "description": "a .npz or .safetensors file, relative to data_dir",
                "type": "string",
                "format": "inner_path",
                "pattern": r"\.(npz|safetensors)\Z",
            },
            "test_fraction": _TEST_FRACTION,
            "split_seed": _split_seed("training and test images"),
        },
        source="path",
    ),
    "folder": DatasetKind(
        "epsigma.datasets.folder:folder",
        parameters={
            "path": {
                "description": "a folder of images by class, relative to data_dir",
                "type": "string",
                "format": "inner_path",
                "minLength": 1,
            },
            "channels": {
                "description": "3: red, green and blue; 1: grey",
                "enum": [1, 3],
                "default": 3,
            },
            "size": {
                "description": "side in pixels to which images are resized; null if all are of "
                "one size",
                "type": ["integer", "null"],
                "minimum": 1,
                "default": None,
            },
            "test_fraction": _TEST_FRACTION,
            "split_seed": _split_seed("training and test images"),
        },
        source="path",
    ),
}
