"""How much memory a study of large images takes: all its processes together, and how long.

PYTHONPATH=tests python -m benchmarks.memory IMAGES [--attack fgsm] [--network resnet18] [--cores 1]

The images, 3 x 224 x 224, and the network's weights are made: memory and time do not depend on what
they are. Filters are a Gaussian, a median, JPEG and a high-pass, blind and aware.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
import torchvision
from safetensors.torch import save_file

from benchmarks import ROOT
from benchmarks.workflow import MIB, SAMPLED_EVERY, write_study

ATTACKS = {
    "fgsm": {"kind": "fgsm", "eps": ["4/255"]},
    "pgd": {"kind": "pgd", "eps": ["4/255"], "steps": 10},
}
FILTERS = [
    {"kind": "gaussian", "sigma": [1]},
    {"kind": "median", "size": [3]},
    {"kind": "jpeg", "quality": [50]},
    {"kind": "highpass", "cutoff": [0.002]},
]
SIDE, CLASSES = 224, 1000
# What the system says of a process that counts: resident memory, that with shared pages divided
# among those who share them, and of that what no file backs.
SAID = {"rss": "Rss", "pss": "Pss", "anonymous": "Pss_Anon"}


def make_inputs(folder, images, network):
    """Write images of smooth squares and noise, and the weights of an untrained network."""
    random = np.random.default_rng(0)
    made = np.empty((images, 3, SIDE, SIDE), np.uint8)
    for image in made:
        squares = (random.random((3, 14, 14)) * 200).repeat(16, 1).repeat(16, 2)
        image[:] = squares + random.integers(0, 55, image.shape)
    labels = random.integers(0, CLASSES, images)
    np.savez(folder / "made.npz", test_images=made, test_labels=labels)
    torch.manual_seed(0)
    weights = getattr(torchvision.models, network)(weights=None).state_dict()
    save_file(weights, folder / "weights.safetensors")


def make_study(folder, network, attack):
    """Make a study of them; nobody trains, and what the checks say of made images is no matter."""
    model = {
        "kind": "zoo",
        "name": network,
        "library": "torchvision",
        "architecture": network,
        "checkpoint": str(folder / "weights.safetensors"),
        "normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    }
    return {
        "data_dir": str(folder),
        "datasets": [{"kind": "file", "name": "made", "path": "made.npz", "classes": CLASSES}],
        "models": [model],
        "attacks": [ATTACKS[attack]],
        "filters": FILTERS,
        "checks": "cheap",
        "strict": False,
    }


class Tree:
    """The largest sums, in MiB, over a process and those that it has started."""

    def __init__(self):
        self.peaks = dict.fromkeys(SAID, 0.0)

    def look(self, pid):
        """Look at it once."""
        try:
            root = psutil.Process(pid)
            processes = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        found = [self._read(process.pid) for process in processes]
        for name, said in SAID.items():
            total = sum(one.get(said, 0) for one in found) * 1024 / MIB
            self.peaks[name] = max(self.peaks[name], total)

    @staticmethod
    def _read(pid):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            return {}
        return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def measure(folder, options):
    """Run the study; what it took, in words.

    Raises:
        RuntimeError: if it fails.
    """
    make_inputs(folder, options.images, options.network)
    study = write_study(folder / "study.yaml", make_study(folder, options.network, options.attack))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    command += ["--directory", folder, "--cores", str(options.cores), "--configfile", study]
    tree, started = Tree(), time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT) as process:
        while process.poll() is None:
            tree.look(process.pid)
            time.sleep(SAMPLED_EVERY)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError("the study failed")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks = ", ".join(f"{name} {value:,.0f}" for name, value in tree.peaks.items())
    return (
        f"{options.images} images, {options.network}, {options.attack}: {peaks} MiB at most, "
        f"{seconds:.0f} s, of processors {used.ru_utime + used.ru_stime:.0f} s"
    )


def main():
    parser = argparse.ArgumentParser(prog="memory", description=__doc__.split("\n")[0])
    parser.add_argument("images", type=int)
    parser.add_argument("--attack", choices=ATTACKS, default="fgsm")
    parser.add_argument("--network", default="resnet18", help="one of torchvision's")
    parser.add_argument("--cores", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="epsigma-memory-") as folder:
        print(measure(Path(folder), options))


if __name__ == "__main__":
    main()
