"""The registry of data sets.

An implementation takes `data_dir` and its parameters by keyword, and returns a
`epsigma.datasets.images.Dataset`.
"""

from epsigma.kinds import Kind, Schema


def _first(which: str) -> Schema:
    return {
        "description": f"use only the first so many {which} images; null for all",
        "type": ["integer", "null"],
        "minimum": 1,
        "default": None,
    }


DATASETS = {
    "mnist": Kind(
        "epsigma.datasets.mnist:mnist",
        parameters={"train_size": _first("training"), "test_size": _first("test")},
    ),
    "mnist5k": Kind(
        "epsigma.datasets.mnist5k:mnist5k",
        parameters={
            "split_seed": {
                "description": "seed of the stratified split into 4,000 training and "
                "1,000 test images",
                "type": "integer",
                "minimum": 0,
                "default": 0,
            },
        },
    ),
    "digits": Kind(
        "epsigma.datasets.digits:digits",
        parameters={
            "split_seed": {
                "description": "seed of the stratified split into 1,437 training and "
                "360 test images",
                "type": "integer",
                "minimum": 0,
                "default": 0,
            },
        },
    ),
}
