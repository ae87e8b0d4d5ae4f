"""Images of values between the levels of 8 bits: kept as they are, at four times the bytes."""

import numpy as np
import pytest
from epsigma.datasets.arrays import to_pixels
from epsigma.datasets.file import file
from epsigma.datasets.images import Dataset, Images
from epsigma.device import CPU
from epsigma.job import Job
from epsigma.stages.dataset import dataset as write_dataset
from epsigma.storage.images import read_clean, read_validation
from safetensors import safe_open

LEVELS = np.random.default_rng(0).integers(0, 256, (9, 1, 6, 5))
LABELS = np.arange(9) % 3

# What images hold, and whether 8 bits are enough for it.
VALUES = {
    "multiples of 1/255": (LEVELS / 255, True),
    "black and white": (LEVELS // 128 * 1.0, True),
    "one grey": (np.full(LEVELS.shape, 128 / 255), True),
    "a rounding below black and above white": (np.where(LEVELS < 128, -1e-7, 1 + 1e-7), True),
    "multiples of 1/256": (LEVELS / 256, False),
    "16 bits": (LEVELS * 257 / 65535 + 100 / 65535 * (LEVELS < 200), False),
    "roots": (np.sqrt(LEVELS / 255), False),
    "one value between": (np.where(np.arange(30).reshape(6, 5) == 7, 0.5, LEVELS / 255), False),
    "a rounding beyond, and roots": (np.sqrt(LEVELS / 255) * (1 + 1e-7), False),
}
LAYOUTS = {
    "N x C x H x W": lambda x: x,
    "N x H x W": lambda x: x[:, 0],
    "N x H x W x C": lambda x: np.repeat(np.moveaxis(x, 1, 3), 3, 3),
    "Fortran": np.asfortranarray,
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("values", VALUES)
def test_images_are_kept_to_the_value_in_the_fewest_bytes(tmp_path, dtype, layout, values):
    images, is_exact = VALUES[values]
    laid = LAYOUTS[layout](images.astype(dtype))
    np.savez(tmp_path / "own.npz", images=laid, labels=LABELS)
    found = file(tmp_path, path="own.npz", test_fraction=0.34).test.images
    assert found.dtype == (np.uint8 if is_exact else np.float32)
    scale = 255 if is_exact else 1
    known = [one.clip(0, 1).astype(np.float32) for one in images]
    for image in found / np.float32(scale):
        for channel in image:
            # A float32 is half of 2**-24 off, and an 8-bit level is the nearest to its multiple.
            assert min(np.abs(channel - one[0]).max() for one in known) <= 2e-7


def test_one_batch_between_the_levels_makes_all_of_them_floats():
    images = np.tile(np.float32(1 / 255), (2500, 1, 1, 2))
    assert to_pixels(images, "images").dtype == np.uint8
    images[2400] = 0.5
    found = to_pixels(images, "images")
    assert np.array_equal(found, images)
    assert found.dtype == np.float32


def write(tmp_path, made):
    paths = {part: str(tmp_path / f"{part}.safetensors") for part in ("train", "test")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("epsigma.stages.dataset.load", lambda name: lambda data_dir: made)
        settings = {"implementation": "made_here:make", "parameters": {}}
        job = Job({}, settings, "0" * 16, "cpu", str(tmp_path / "job.log"))
        write_dataset(job, data_dir=str(tmp_path), **paths)
    return paths


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_exact", [True, False])
def test_a_data_set_of_one_s_own_may_return_floats(tmp_path, dtype, is_exact):
    """Each set is written for itself, in whatever order its images come."""
    images = (LEVELS / (255 if is_exact else 256)).astype(dtype)
    exact = Images((LEVELS / 255).astype(dtype), LABELS)
    made = Dataset(exact, Images(images, np.sort(LABELS)), validation=Images(images, LABELS))
    paths = write(tmp_path, made)
    with safe_open(paths["test"], framework="np") as held:
        source = held.get_tensor("source")
        assert held.get_tensor("images").dtype == (np.uint8 if is_exact else np.float32)
    assert np.array_equal(read_clean(paths["test"], CPU).images, images.astype(np.float32)[source])
    assert np.array_equal(read_clean(paths["train"], CPU).images, np.float32(LEVELS) / 255)
    brought = read_validation(paths["train"], CPU)
    assert np.array_equal(brought.images, images.astype(np.float32))
    said = (tmp_path / "job.log").read_text()
    assert ("four times the bytes" in said) is not is_exact


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x * 255, "test images go from 0 to 255: floats are in"),
        (lambda x: x - 0.5, "test images go from -0.5 to 0.5: floats are in"),
        (lambda x: np.where(x == x.max(), np.nan, x), "test images hold values that are not fini"),
        (lambda x: np.where(x == x.max(), np.inf, x), "test images hold values that are not fini"),
    ],
)
def test_floats_that_are_no_images_are_refused_when_they_are_written(tmp_path, change, said):
    train = Images(LEVELS.astype(np.uint8), LABELS)
    images = np.linspace(0, 1, LEVELS.size).reshape(LEVELS.shape)
    with pytest.raises(ValueError, match=said):
        write(tmp_path, Dataset(train, Images(change(images), LABELS)))
