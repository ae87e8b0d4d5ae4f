"""The batch follows from memory, and no stage holds a set that is larger."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from epsigma import memory
from epsigma.attacks import fitting
from epsigma.memory import COPIES, SLACK, fitting_batch, measure_peak
from epsigma.models.mlp import MLP
from epsigma.plan.resources import Resources
from epsigma.stages.attack import attack
from epsigma.stages.calibrate import calibrate
from epsigma.stages.differentiate import differentiate
from epsigma.stages.evaluate import evaluate, evaluate_clean
from epsigma.stages.filter import filter_set
from epsigma.stages.spectrum import make_spectrum
from epsigma.storage import stored
from epsigma.storage.batches import BATCH, Sampled, batch_size, batches, batches_of, each_batch
from epsigma.storage.images import (
    ImageSet,
    measure,
    read_clean,
    read_image_set,
    write_image_set,
    write_tensors,
)
from epsigma.storage.stored import open_clean, open_image_set
from epsigma.storage.writing import writing_set
from epsigma.study import validate
from epsigma.vocabulary import MEMORY_MB
from safetensors import safe_open

CPU = torch.device("cpu")
MB = 1_000_000
LARGE, SMALL = (3, 64, 64), (1, 28, 28)

STUDY = {
    "datasets": [{"kind": "digits"}],
    "models": [{"kind": "mlp"}],
    "attacks": [{"kind": "fgsm", "eps": [0.1]}],
    "filters": [],
}

# --- What a batch may hold


def test_memory_is_counted_while_tensors_live():
    def run():
        one = torch.zeros(MB, dtype=torch.uint8)
        del one
        two = torch.zeros(MB // 2)
        view = two[10:].view(-1)
        return view + 1

    # Two million bytes, and as many less forty; the first million is gone by then.
    assert measure_peak(run) == 4 * MB - 40


def fit(shape=LARGE, **how):
    def run(image):
        return image * 2

    return fitting_batch(shape, run, **{"most": BATCH, "memory_mb": 10, "device": CPU, **how})


def test_a_batch_takes_what_the_pass_and_the_attack_take():
    image = 4 * 3 * 64 * 64
    # What is made of the image, and the copies that an attack keeps.
    assert fit() == int(10 * MB / (SLACK * (1 + COPIES) * image)) == 12
    # In steps of 16, which are rounded alike.
    assert fit(memory_mb=200) == 240
    assert fit(memory_mb=214) == 240 + 16
    assert fit((3, 128, 128)) == 12 // 4
    assert fit(memory_mb=1) == 1
    assert fit(memory_mb=10**6) == BATCH


def test_images_of_mnist_are_never_measured_unless_memory_is_given():
    def refuse(image):
        raise AssertionError

    assert fitting_batch(SMALL, refuse, most=BATCH, memory_mb=None, device=CPU) == BATCH
    with pytest.raises(AssertionError):
        fitting_batch(SMALL, refuse, most=BATCH, memory_mb=100, device=CPU)


def test_what_is_kept_of_many_draws_takes_no_more_than_one_pass_of_a_batch():
    def refuse(image):
        raise AssertionError

    assert fitting_batch(SMALL, refuse, most=BATCH, memory_mb=None, device=CPU, draws=10) == 100
    assert fit(memory_mb=10**6, draws=10) == 100
    assert fit(memory_mb=10**6, draws=2 * BATCH) == 1
    # What is measured has all draws already.
    assert fit(draws=10) == fit() == 12


def test_an_attack_on_what_draws_has_a_batch_s_images_over_all_draws(monkeypatch):
    found = []
    monkeypatch.setattr(fitting, "fit_batches", lambda *_, draws: found.append(draws))
    both = {"eot_samples": 10, "detector_samples": 30}
    for settings in ({}, {"eot_samples": 20}, both):
        job = SimpleNamespace(settings=settings)
        fitting.fit_attacked_batches(job, None, None, None, torch.Generator())
    assert found == [1, 20, 30]


def test_a_machine_of_little_memory_has_smaller_batches_but_not_of_fewer_values_than_mnists(
    monkeypatch,
):
    by_default = fit(memory_mb=None)
    assert by_default == fit(memory_mb=MEMORY_MB)
    monkeypatch.setattr("os.sysconf", lambda name: 1)
    assert fit(memory_mb=None) == 784_000 // (3 * 64 * 64) // 16 * 16 < by_default


def test_what_is_measured_draws_nothing():
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()

    def run(image):
        return torch.empty_like(image).normal_(generator=generator)

    fitting_batch(LARGE, run, most=BATCH, memory_mb=10, device=CPU, generators=[generator])
    assert torch.equal(generator.get_state(), before)


def test_the_size_of_batches_holds_in_the_body_only():
    rows = torch.arange(10)
    with batches_of(4):
        assert [len(part) for (part,) in batches(rows)] == [4, 4, 2]
    assert batch_size() == BATCH


class Heap:
    """The memory of a process, which keeps 100 MB of each batch until it is given back."""

    def __init__(self, monkeypatch):
        self.resident = 0
        self.given_back = []
        monkeypatch.setattr(memory, "_usual", None)
        monkeypatch.setattr(memory, "_count_resident", lambda: self.resident)
        monkeypatch.setattr(memory, "_trim", self.trim)

    def trim(self):
        self.given_back.append(self.resident // MB)
        self.resident = 10 * MB

    def work(self, rows=None):
        self.resident += 100 * MB


@pytest.mark.parametrize(("size", "given_back"), [(2, [400, 410]), (BATCH, [])])
def test_a_process_gives_back_what_it_has_grown_by_between_batches_of_large_images(
    size, given_back, monkeypatch
):
    heap = Heap(monkeypatch)
    with batches_of(size):
        for _ in batches(torch.arange(8)):
            heap.work()
        for _ in each_batch(8, heap.work):
            pass
    assert heap.given_back == given_back


def test_what_is_resident_is_what_the_system_says():
    before = memory._count_resident()
    # So large that it is no memory that was freed before.
    held = torch.ones(400 * MB, dtype=torch.uint8)
    assert 350 * MB < memory._count_resident() - before < 450 * MB
    del held


@pytest.mark.parametrize(("given", "wanted"), [({}, 2000), ({"memory_mb": 3000}, 4400)])
def test_jobs_request_what_their_batch_takes_and_more_when_tried_again(given, wanted):
    resources = Resources(validate({**STUDY, **given}))
    assert [resources.mem_mb({}, attempt) for attempt in (1, 2)] == [wanted, 2 * wanted]


# --- A GPU that is out of memory


class Gpu:
    """Draws for rows, and has memory for so many of them."""

    def __init__(self, room):
        self.room = room
        self.generator = torch.Generator().manual_seed(5)
        self.said = []

    def work(self, rows):
        drawn = torch.rand(rows.stop - rows.start, generator=self.generator)
        if len(drawn) > self.room:
            raise torch.OutOfMemoryError("tried to allocate 3 GiB")
        assert batch_size() <= self.room or len(drawn) < batch_size()
        return drawn

    def run(self, count, **how):
        how = {"generator": self.generator, "say": self.said.append, **how}
        with batches_of(8):
            return list(each_batch(count, self.work, **how))


def test_a_batch_that_a_gpu_has_no_memory_for_is_halved_and_that_is_said():
    gpu = Gpu(room=3)
    parts = gpu.run(11)
    assert [len(part) for part in parts] == [2, 2, 2, 2, 2, 1]
    assert len(gpu.said) == 2
    assert "batches of 4" in gpu.said[0]
    assert "batches of 2" in gpu.said[1]
    assert "tried to allocate 3 GiB" in gpu.said[0]
    # What an attempt drew that came to nothing is drawn again.
    assert torch.equal(torch.cat(parts), torch.cat(Gpu(room=8).run(11)))


def test_without_memory_for_one_image_there_is_an_error():
    gpu = Gpu(room=0)
    with pytest.raises(torch.OutOfMemoryError):
        gpu.run(5)
    assert len(gpu.said) == 2


def test_what_cuts_its_rows_itself_is_told_all_again_with_smaller_batches():
    sizes = []

    def work(rows):
        sizes.append((rows.stop - rows.start, batch_size()))
        if batch_size() > 2:
            raise torch.OutOfMemoryError
        return rows

    with batches_of(8):
        list(each_batch(40, work, chunk=30))
    assert sizes == [(30, 8), (30, 4), (30, 2), (10, 2)]


# --- Sets


def perturbed(n=7, shape=LARGE):
    clean = torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))
    images = (clean + 0.1).clamp(0, 1)
    rows = {"index": torch.arange(n), "target": torch.arange(n) % 3}
    by = {"fooled_by_one": torch.arange(n) % 2 == 0}
    return ImageSet(images, torch.arange(n) % 10, measure(images, clean) | by, rows)


def cut(whole, at):
    def part(columns):
        return {name: value[at] for name, value in columns.items()}

    rows = part(whole.rows)
    return ImageSet(whole.images[at], whole.labels[at], part(whole.measures), rows)


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("shape", [LARGE, (1, 3, 3)], ids=str)
def test_a_set_written_in_parts_is_the_same_file(tmp_path, size, shape):
    whole, about = perturbed(shape=shape), {"cell": '{"note": "ε ☂"}', "code": "0"}
    write_image_set(tmp_path / "whole.safetensors", whole, about)
    with writing_set(tmp_path / "parts.safetensors", 7, about) as writer:
        for start in range(0, 7, size):
            writer.write(cut(whole, slice(start, start + size)))
    first, second = (tmp_path / f"{name}.safetensors" for name in ("whole", "parts"))
    with safe_open(first, "pt") as one, safe_open(second, "pt") as other:
        assert one.metadata() == other.metadata()
        assert list(one.keys()) == list(other.keys())
    # But for the header, whose metadata safetensors writes in any order.
    size = first.stat().st_size - 200
    assert first.stat().st_size == second.stat().st_size
    assert first.stat().st_mode == second.stat().st_mode
    if whole.images.nbytes > size // 2:
        assert first.read_bytes()[-size // 2 :] == second.read_bytes()[-size // 2 :]
    found = read_image_set(second, CPU)
    assert torch.equal(found.images, whole.images)
    for name, value in whole.measures.items():
        assert torch.equal(found.measures[name], value)


@pytest.mark.parametrize("error", [RuntimeError("of the attack"), KeyboardInterrupt()])
def test_a_set_that_is_not_done_does_not_appear(tmp_path, error):
    def write(error=None):
        with writing_set(tmp_path / "a.safetensors", 7, {}) as writer:
            writer.write(cut(perturbed(), slice(3)))
            if error:
                raise error

    # Not "cannot be written": the disk has nothing to do with it.
    with pytest.raises(type(error)) as raised:
        write(error)
    assert raised.value is error
    with pytest.raises(ValueError, match="3 rows of 7"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=[0, 10**9], ids=["read in parts", "kept"])
def kept(request, monkeypatch):
    monkeypatch.setattr(stored, "KEPT", request.param)


@pytest.mark.parametrize("is_float", [False, True])
def test_slices_of_a_file_are_those_of_the_set(tmp_path, kept, is_float):
    images, path = perturbed().images, tmp_path / "a.safetensors"
    images = images if is_float else (images * 255).byte()
    write_tensors(path, {"images": images, "labels": torch.arange(7)}, {})
    whole, found = read_clean(path, CPU).images, open_clean(path, CPU).images
    assert found.shape == whole.shape
    stepped = (slice(0, 7, 3), slice(1, 99, 2), slice(5, 2, 2))
    indices = map(torch.tensor, ([4, 1, 4], [0, 6], [2], [6, 5, 4]))
    for at in (slice(2, 5), slice(5, 99), slice(3, 3), slice(None), *stepped, *indices):
        assert torch.equal(found[at], whole[at])
        # As torch's own, so that products round alike.
        assert found[at].data_ptr() % 64 == 0 or not len(found[at])
    with batches_of(3):
        assert torch.equal(torch.cat([part for (part,) in batches(found)]), whole)


@pytest.mark.parametrize("most", [1, 2, 3, 6, 7, 8])
def test_of_a_sample_one_image_is_of_each_stretch(most):
    images = perturbed().images
    sampled = Sampled(images, most)
    count = min(most, 7)
    assert len(sampled) == sampled.shape[0] == count
    with batches_of(2):
        found = torch.cat([part for (part,) in batches(sampled)])
    places = [(images == one).flatten(1).all(1).nonzero().item() for one in found]
    assert all(7 * k / count - 1 < place < 7 * (k + 1) / count for k, place in enumerate(places))
    assert torch.equal(found, Sampled(images, most)[:])


@pytest.mark.parametrize("cycle", [9, 10])
def test_a_sample_of_rows_that_take_turns_has_all_of_them(cycle):
    # As a set has them that is aimed at each other class in turn.
    found = Sampled((torch.arange(9000) % cycle).float().view(-1, 1, 1, 1), 1000)[:]
    counts = found.flatten().long().bincount(minlength=cycle)
    assert counts.min() > 70


def test_a_set_that_was_altered_or_cut_off_is_not_read(tmp_path, kept):
    path = tmp_path / "a.safetensors"
    write_image_set(path, perturbed(), {})
    octets = bytearray(path.read_bytes())
    path.write_bytes(octets[:-8])
    with pytest.raises(ValueError, match="delete it and run again"):
        open_image_set(path, CPU)
    octets[-MB // 20] ^= 1
    path.write_bytes(octets)
    with pytest.raises(ValueError, match="altered since it was written: images"):
        open_image_set(path, CPU)


# --- Stages


FGSM = {
    "implementation": "epsigma.attacks.fgsm:fgsm",
    "parameters": {"eps": 0.1},
    "bounded_by": "eps",
}
DIRECTION = {"implementation": "epsigma.attacks.fgsm:fgsm_direction", "parameters": {}}
GAUSSIAN = {
    "implementation": "epsigma.filters.gaussian:Gaussian",
    "parameters": {"sigma": 1.0},
    "gradient": "exact",
}
MODEL = {"implementation": "epsigma.models.mlp:MLP", "parameters": {"hidden": 4}}
SQUEEZING = {
    "implementation": "epsigma.detectors.squeezing:Squeezing",
    "parameters": {"filters": [GAUSSIAN]},
}
THRESHOLD = {"model": MODEL, "detector": SQUEEZING, "rate": 0.1, "validation": 0.5, "seed": 0}


@pytest.fixture
def stages(tmp_path, make_job, monkeypatch):
    """Run stages on so many large images; the peak of each, in bytes, by name."""
    monkeypatch.setattr(stored, "KEPT", 0)
    monkeypatch.setattr(stored, "BLOCK", 100_000)
    torch.manual_seed(0)
    state = MLP(LARGE, 3, hidden=4).state_dict()
    weights = {f"model.{name}": value for name, value in state.items()}
    about = {"shape": list(LARGE), "classes": 3}
    checkpoint = tmp_path / "checkpoint.ckpt"
    torch.save({"state_dict": weights, "hyper_parameters": about}, checkpoint)

    def run(count, **how):
        folder = tmp_path / f"{count} {how}"
        names = ("test", "adversarial", "filtered", "aware", "through", "direction", "stepped")
        files = {name: str(folder / f"{name}.safetensors") for name in names}
        drawn = torch.Generator().manual_seed(2)
        images = torch.randint(256, (count, *LARGE), dtype=torch.uint8, generator=drawn)
        tensors = {"images": images, "labels": torch.arange(count) % 3}
        write_tensors(files["test"], tensors, {"classes": "3"})
        del images, tensors
        what = {"model": MODEL, "attack": FGSM, "filter": GAUSSIAN, "direction": DIRECTION}
        job = replace(make_job(what, dataset="made", threat="blind", attack="fgsm"), **how)
        bare = replace(job, settings={**what, "budgets": ["eps~0.1"], "filters": []})
        known = {"test": files["test"], "checkpoint": str(checkpoint)}
        scored = {
            "checkpoint": str(checkpoint),
            "clean": str(folder / "clean.parquet"),
            "metrics": str(folder / "a.json"),
            "ledger": str(folder / "a.parquet"),
        }
        calls = {
            "attack": lambda: attack(
                replace(job, settings={"model": MODEL, "attack": FGSM}),
                **known,
                adversarial=files["adversarial"],
            ),
            "aware": lambda: attack(
                job, **known, adversarial=files["aware"], filtered=files["through"]
            ),
            "differentiate": lambda: differentiate(job, **known, direction=files["direction"]),
            "step": lambda: attack(
                job, **known, direction=files["direction"], filtered=files["stepped"]
            ),
            "filter": lambda: filter_set(
                job, adversarial=files["adversarial"], filtered=files["filtered"]
            ),
            "clean": lambda: evaluate_clean(job, **known, ledger=scored["clean"]),
            "evaluate": lambda: evaluate(
                replace(job, cell={**job.cell, **CELL}, settings={**what, "requantise": True}),
                **scored,
                adversarial=files["adversarial"],
            ),
            "spectrum": lambda: make_spectrum(
                bare,
                test=files["test"],
                adversarial=[files["adversarial"]],
                spectrum=str(folder / "a.csv"),
            ),
            "calibrate": lambda: calibrate(
                replace(job, settings=THRESHOLD),
                images=files["test"],
                checkpoint=str(checkpoint),
                threshold=str(folder / "threshold.json"),
            ),
        }
        return {name: measure_peak(call) for name, call in calls.items()}, files

    return run


CELL = {
    "dataset": "made",
    "model": "m",
    "seed": "0",
    "attack": "fgsm",
    "budget": "eps~0.1",
    "filter": "gaussian",
    "strength": "sigma~1",
}


def test_no_stage_holds_a_set(stages):
    few, _ = stages(60, memory_mb=20)
    many, _ = stages(600, memory_mb=20)
    for name in few:
        assert many[name] < 20 * MB < 600 * 4 * 3 * 64 * 64
        # Labels and measures, some numbers an image, are held.
        assert many[name] <= 1.1 * few[name] + 600 * 100, name


def test_sets_do_not_depend_on_the_batch(stages):
    (_, some), (_, all_) = stages(50, batch_size=7), stages(50, batch_size=1000)
    for name in ("adversarial", "filtered", "aware", "through", "stepped"):
        one, other = (read_image_set(files[name], CPU) for files in (some, all_))
        assert torch.equal(one.images, other.images), name
        assert torch.equal(one.measures["l2"], other.measures["l2"]), name


def test_a_step_along_a_direction_is_the_attack_whatever_the_batch(stages):
    _, files = stages(50, batch_size=7)
    one, other = (read_image_set(files[name], CPU) for name in ("through", "stepped"))
    assert torch.equal(one.images, other.images)
