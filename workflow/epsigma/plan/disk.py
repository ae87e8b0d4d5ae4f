"""How much disk the files of a run will want, before there is any of them."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from epsigma.plan import paths
from epsigma.registry.datasets import SIZES, Size
from epsigma.study.schema import Study
from epsigma.vocabulary import FILTERED_AS, FLOAT16, FLOAT32, FOOLING, UINT8

# Bytes of a value of an image and, beside these, of a row of a set: label and measures.
VALUE, ROW = {FLOAT32: 4, FLOAT16: 2, UINT8: 1}, 28
# Bytes of a ledger: of a row, and beside rows.
LEDGER_ROW, LEDGER = 22, 3_000
# Bytes of other files, by their ending: means of the default study's.
OTHERS = {".png": 100_000, ".svg": 45_000, ".csv": 20_000, ".html": 20_000, ".ckpt": 200_000}
SMALL = 1_500

_SET = re.compile(r"/(adversarial|filtered|direction)/.*\.safetensors\Z")
_DATA = re.compile(r"results/data/[^/]+/(train|test)\.safetensors\Z")


class Disk:
    """Estimates the sizes of a study's files."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._sizes: dict[str, Size | None] = {}

    def estimate(self, files: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[int, list[str]]:
        """Add up the sizes of files, each with the wildcards of the job that makes it.

        Returns:
            Bytes, and the data sets of which it is not known yet how many images there are, of
            what size: the user's own, until they are read. Their images are not counted.
        """
        total = sum(self._bytes_of(path, wildcards) for path, wildcards in files)
        return total, [name for name, size in self._sizes.items() if size is None]

    def _bytes_of(self, path: str, wildcards: Mapping[str, str]) -> int:
        suffix = Path(path).suffix
        is_set, data = _SET.search(path), _DATA.search(path)
        if not (is_set or data or suffix == ".parquet"):
            return OTHERS.get(suffix, SMALL)
        name = wildcards["dataset"]
        if name not in self._sizes:
            self._sizes[name] = self._find_size(name, paths.prefix_of(path))
        size = self._sizes[name]
        if size is None:
            return 0
        if data:
            return (size.train if data[1] == "train" else size.test) * (size.values + 8)
        rows = self._count_rows(size, wildcards.get("attack"))
        if not is_set:
            return LEDGER + LEDGER_ROW * rows
        stored_as = self._study.stored_as
        value = {
            "direction": 1,
            "adversarial": VALUE[stored_as],
            "filtered": VALUE[FILTERED_AS[stored_as]],
        }[is_set[1]]
        return rows * (value * size.values + ROW)

    def _count_rows(self, size: Size, attack: str | None) -> int:
        """Count the rows of a set: examples, and of each the classes that are aimed at."""
        if attack is None:
            return size.test
        block = self._study.find("attacks", attack)
        if block.entry.family == FOOLING:
            return int(block["images"]) * size.classes
        targets = block.get("targets", "untargeted")
        aims = {"untargeted": 1, "all": size.classes - 1}.get(str(targets)) or len(targets)
        return min(block.examples or size.test, size.test) * aims

    def _find_size(self, name: str, prefix: str) -> Size | None:
        """Find how many images a data set has, of which size: in its files, or by its kind."""
        folder = prefix + paths.DATA.format(dataset=name)
        try:
            (train, _), (test, about) = (
                _read_header(f"{folder}/{part}.safetensors") for part in ("train", "test")
            )
            return Size(train[0], test[0], (test[1], test[2], test[3]), int(about["classes"]))
        except (OSError, ValueError, LookupError):
            pass
        block = self._study.find("datasets", name)
        known = SIZES.get(block.kind)
        if known is None:
            return None
        train_size, test_size = block.get("train_size"), block.get("test_size")
        return known._replace(
            train=min(known.train, train_size or known.train),
            test=min(known.test, test_size or known.test),
        )


def _read_header(path: str) -> tuple[list[int], dict[str, str]]:
    """Read the shape of a safetensors file's images, and its metadata, without its tensors."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return header["images"]["shape"], header["__metadata__"]
