"""On a GPU there is the same as on the CPU. `make test-gpu`; skipped where torch sees no GPU."""

import pandas as pd
import pytest
import torch
from device_cases import (
    OBJECTIVES,
    OF_FILTERS,
    QUICK,
    make_network,
    run_attack,
    run_filter,
    run_training,
    some,
)
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.filters import FILTERS
from epsigma.storage.batches import each_batch
from running import SMALL, new_workdir

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

CPU = torch.device("cpu")
# How far pixels, and weights, may be from the CPU's: rounding, which signs and thresholds enlarge.
TOLERANCE = 1e-4
# And the share of the pixels that rounding may send elsewhere.
ELSEWHERE = 0.01


@pytest.fixture
def gpu():
    return torch.device("cuda", torch.cuda.current_device())


def generator(device):
    return torch.Generator(device=device).manual_seed(2)


def compare(found, expected):
    differ = (found.cpu() - expected).abs() > TOLERANCE
    assert differ.float().mean() <= ELSEWHERE


@pytest.mark.parametrize("name", QUICK)
def test_an_attack(name, gpu):
    found = run_attack(name, gpu, generator(gpu))
    assert found.device == gpu
    # A GPU draws other numbers.
    if not ATTACKS[name].random:
        compare(found, run_attack(name, CPU, generator(CPU)))
    assert torch.equal(found, run_attack(name, gpu, generator(gpu)))


@pytest.mark.parametrize("name", OF_FILTERS)
def test_a_filter(name, gpu):
    found = run_filter(name, gpu, generator(gpu))
    assert found.device == gpu
    if not FILTERS[name].random:
        compare(found, run_filter(name, CPU, generator(CPU)))


@pytest.mark.parametrize("name", [one for one in OBJECTIVES if one not in ("pgd", "fast")])
def test_a_step_of_training(name, gpu):
    compare(run_training(name, gpu), run_training(name, CPU))


def test_a_batch_that_is_too_large_is_halved(gpu):
    _, total = torch.cuda.mem_get_info(gpu)
    images, said = some()[0], []

    def work(rows):
        # A quarter of the memory a row: five are more than there is.
        torch.empty((rows.stop - rows.start) * (total // 4), dtype=torch.uint8, device=gpu)
        return make_network().to(gpu)(images[rows].to(gpu))

    parts = list(each_batch(len(images), work, say=said.append))
    assert "out of the GPU's memory, so batches of 2" in said[0]
    assert sum(map(len, parts)) == len(images)
    compare(torch.cat(parts), make_network()(images))


def test_a_study_has_the_cells_that_it_has_on_the_cpu(tmp_path):
    tables = {}
    for device in ("cpu", "cuda"):
        study = {**SMALL, "device": device, "checks": "cheap", "figures": {"kinds": []}}
        workdir = new_workdir(tmp_path / device, study)
        workdir.run()
        tables[device] = pd.read_csv(workdir.cells)
    # Trained on the GPU the weights are rounded otherwise, step after step: of 360 images some.
    assert len(tables["cpu"]) == len(tables["cuda"])
    differ = (tables["cpu"]["accuracy"] - tables["cuda"]["accuracy"]).abs()
    assert differ.max() <= 0.03
