"""Filters beside their peers, on many small images and on fewer large ones."""

import cv2
import torch

from benchmarks import CORES, data, peers
from benchmarks.rounds import Contender, contest

SHAPES = ((10_000, 1, 28, 28), (1_000, 3, 224, 224))
SMALL_SHAPES = ((500, 1, 28, 28), (10, 3, 224, 224))
# A filter, and its strength: nine pixels of a kernel; a window; a quarter of the Nyquist frequency.
STRENGTHS = {"gaussian": {"sigma": 1.0}, "median": {"size": 3}, "highpass": {"cutoff": 0.125}}
COPY = "copy of the batch"


def measure(rounds, small):
    torch.set_num_threads(CORES)
    cv2.setNumThreads(1)  # the batch is shared among threads already
    for shape in SMALL_SHAPES if small else SHAPES:
        images = batch_of(shape)
        for name, strength in STRENGTHS.items():
            yield from contest(dict(contenders(name, strength, images)), rounds)


def batch_of(shape):
    """MNIST's test images, or as many of noise where another shape is asked for."""
    generator = torch.Generator().manual_seed(0)
    if shape[1:] == (1, 28, 28):
        images, _ = data.tensors("test")
        return images[torch.arange(shape[0]) % len(images)]
    return torch.rand(shape, generator=generator)


def contenders(name, strength, images):
    from epsigma.loading import load
    from epsigma.registry.filters import FILTERS

    module = load(FILTERS[name].implementation)(
        **strength, **({"dc": "drop"} if name == "highpass" else {})
    )
    expected = in_batches(module, images, 250)()
    about = (("shape", "x".join(map(str, images.shape))), ("filter", name))
    (value,) = strength.values()
    functions = {peers.OURS: module, COPY: torch.clone}
    functions |= {library: make(value) for library, make in peers.FILTERS[name].items()}
    for library, function in functions.items():
        is_array = library in peers.OF_ARRAYS
        sizes = (len(images),) if is_array else (250, 1000, len(images))
        yield (
            (*about, ("library", library)),
            Contender(
                prepare=lambda size, f=function, a=is_array: in_batches(f, images, size, array=a),
                sizes=tuple(dict.fromkeys(min(size, len(images)) for size in sizes)),
                judge=lambda result: {"differs": (result - expected).abs().max().item()},
            ),
        )


def in_batches(function, images, size, *, array=False):
    """Filter images a batch at a time, into a tensor that is there already."""
    out = torch.empty_like(images)

    @torch.no_grad()
    def run():
        for given, taken in zip(images.split(size), out.split(size), strict=True):
            if array:
                taken.copy_(torch.from_numpy(function(given.numpy())))
            else:
                taken.copy_(function(given))
        return out

    return run
