import math

import numpy as np
import pandas as pd
import pytest
import torch
from epsigma.figures import style
from epsigma.figures.curves import (
    accuracy_by_budget,
    accuracy_by_strength,
    over_seeds,
    success_by_budget,
)
from epsigma.figures.gallery import draw_gallery
from epsigma.figures.spectrum import draw_spectrum
from epsigma.files import write_ledger
from epsigma.filters.gaussian import Gaussian
from epsigma.grid import spell
from epsigma.stages.collect import tabulate
from epsigma.stages.draw import _save, draw_attack, draw_filters, select
from epsigma.stages.gallery import choose, make_gallery
from epsigma.stages.spectrum import make_spectrum, radial_spectrum
from epsigma.tensors import (
    ImageSet,
    perturbation_norms,
    read_clean,
    read_image_set,
    read_tensors,
    write_image_set,
)

CPU = torch.device("cpu")
BUDGETS = [0, 0.05, 0.1]
STRENGTHS = {
    ("none", None): [None],
    ("gaussian", "sigma"): [0.5, 1, 1.5, 2],
    ("lowpass", "cutoff"): [0.1, 0.2],
    ("band", "cutoff"): [0.2],
}


def table(seeds=(0,), *, attack="fgsm", threat="blind", strengths=STRENGTHS):
    """A table of cells in which no two rates are the same."""
    rows = []
    for seed in seeds:
        for budget in BUDGETS:
            for (filter_, name), values in strengths.items():
                for value in values:
                    n_correct = 900 - 7 * len(rows)
                    rows.append(
                        {
                            "dataset": "digits",
                            "model": "mlp",
                            "seed": seed,
                            "threat": threat,
                            "attack": attack,
                            "budget_name": "eps",
                            "budget": budget,
                            "filter": filter_,
                            "strength_name": name,
                            "strength": value,
                            "n": 1000,
                            "n_correct": n_correct,
                            "accuracy": n_correct / 1000,
                            "n_correct_clean": 950,
                            "n_fooled": 950 - n_correct,
                            "attack_success": (950 - n_correct) / 950,
                            "linf": budget,
                            "l2": 1.0,
                            "l0": 1.0,
                        }
                    )
    return tabulate(rows)


def rates(cells, rate, **where):
    """The rates of some rows, in the table's order."""
    for column, value in where.items():
        cells = cells[cells[column] == value]
    return cells[rate].tolist()


def drawn(axes):
    """The labelled lines of a panel: x and y by label."""
    handles, labels = axes.get_legend_handles_labels()
    return {
        label: (list(handle.get_xdata()), list(handle.get_ydata()))
        for handle, label in zip(handles, labels, strict=True)
    }


def panels(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def texts(axes):
    return [text.get_text() for text in axes.texts]


# --- Over seeds


def test_a_single_seed_has_its_rate_and_its_wilson_interval():
    cells = table()
    unfiltered = cells[cells["filter"] == "none"]
    found = over_seeds(unfiltered, "accuracy", "budget")
    assert found.index.tolist() == BUDGETS
    assert found["rate"].tolist() == unfiltered["accuracy"].tolist()
    assert found["low"].tolist() == unfiltered["accuracy_low"].tolist()
    assert found["high"].tolist() == unfiltered["accuracy_high"].tolist()


def test_several_seeds_have_their_mean_and_their_range():
    cells = pd.DataFrame(
        {
            "seed": [0, 1, 2, 0, 1, 2],
            "budget": [0.1, 0.1, 0.1, 0, 0, 0],
            "attack_success": [0.2, 0.6, 0.4, 0.0, 0.0, 0.3],
            "attack_success_low": [0.0] * 6,
            "attack_success_high": [1.0] * 6,
        }
    )
    found = over_seeds(cells, "attack_success", "budget")
    assert found.index.tolist() == [0, 0.1]
    assert found["rate"].tolist() == pytest.approx([0.1, 0.4])
    assert found["low"].tolist() == [0.0, 0.2]
    assert found["high"].tolist() == [0.3, 0.6]


# --- Curves


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_accuracy_by_budget_is_one_line_with_its_percentages(seeds):
    cells = table(seeds)
    (axes,) = panels(accuracy_by_budget(cells))
    means = np.mean([rates(cells, "accuracy", filter="none", seed=s) for s in seeds], axis=0)
    lines = drawn(axes)
    assert list(lines) == ["no filter"]
    assert lines["no filter"][0] == BUDGETS
    assert lines["no filter"][1] == pytest.approx(list(means))
    assert texts(axes) == [f"{rate:.1%}" for rate in means]
    assert axes.get_xlabel() == "ε, radius of the ℓ∞ ball (pixel range is 0 to 1)"
    assert axes.get_ylabel() == "accuracy"
    assert "fgsm on mlp, digits" in axes.get_title()


@pytest.mark.parametrize("name", ["gaussian", "lowpass", "band"])
def test_accuracy_by_strength_is_a_line_a_budget_with_the_unfiltered_rate_apart(name):
    cells = table()
    (axes,) = panels(accuracy_by_strength(cells, name))
    lines = drawn(axes)
    assert list(lines) == [f"ε = {spell(budget)}" for budget in BUDGETS]
    strengths = next(values for (filter_, _), values in STRENGTHS.items() if filter_ == name)
    for budget, (x, y) in zip(BUDGETS, lines.values(), strict=True):
        assert x == strengths
        assert y == rates(cells, "accuracy", filter=name, budget=budget)
    # The points apart: a marker a budget, left of every strength.
    apart = {
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if len(line.get_xdata()) == 1 and line.get_marker() not in ("|", "_")
    }
    left = axes.get_xticks()[0]
    assert left < strengths[0]
    assert {(left, rate) for rate in rates(cells, "accuracy", filter="none")} <= apart
    assert axes.get_xticklabels()[0].get_text() == "none"


def test_success_by_budget_is_a_panel_a_filter_each_with_the_unfiltered_line():
    cells = table()
    found = panels(success_by_budget(cells))
    assert [axes.get_title() for axes in found] == ["gaussian", "lowpass", "band"]
    for axes, ((name, swept), strengths) in zip(found, list(STRENGTHS.items())[1:], strict=True):
        lines = drawn(axes)
        symbol = {"sigma": "σ", "cutoff": "cutoff"}[swept]
        assert list(lines) == ["none", *(f"{symbol} = {spell(value)}" for value in strengths)]
        assert lines["none"] == (BUDGETS, rates(cells, "attack_success", filter="none"))
        for strength, line in zip(strengths, list(lines.values())[1:], strict=True):
            expected = rates(cells, "attack_success", filter=name, strength=strength)
            assert line == (BUDGETS, expected)
        assert axes.get_ylabel() == "attack success"


def test_curves_draw_rates_of_nothing_and_of_all():
    cells = table(strengths={("none", None): [None], ("gaussian", "sigma"): [1]})
    for rate in ("accuracy", "attack_success"):
        cells[rate] = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
        cells[f"{rate}_low"] = [0.0, 0.9, 0.0, 0.9, 0.0, 0.9]
        cells[f"{rate}_high"] = [0.1, 1 - 1e-13, 0.1, 1.0, 0.1, 1.0]
    for figure in (
        accuracy_by_budget(cells),
        accuracy_by_strength(cells, "gaussian"),
        success_by_budget(cells),
    ):
        (axes,) = panels(figure)
        low, high = axes.get_ylim()
        assert low < 0 < 1 < high


# --- Style


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_ordered_lines_darken_and_neighbours_differ_in_marker_and_dash(n):
    looks = style.sequence(n)
    assert len(looks) == n
    lightness = [look["color"][:3] @ [0.299, 0.587, 0.114] for look in looks]
    for i in range(n - 1):
        assert lightness[i + 1] < lightness[i]
        assert looks[i]["marker"] != looks[i + 1]["marker"]
        assert looks[i]["dashes"] != looks[i + 1]["dashes"]


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [
        ("eps", 0.1, "ε = 0.1"),
        ("sigma", 2.0, "σ = 2"),
        ("cutoff", 0.25, "cutoff = 0.25"),
        ("kappa", 0, "kappa = 0"),
        (None, None, "fixed"),
    ],
)
def test_levels_are_named_by_their_symbol(name, value, label):
    assert style.level_label(name, value) == label


def test_the_theme_ends_with_its_body():
    import matplotlib as mpl

    before = mpl.rcParams["svg.hashsalt"]
    with style.theme():
        assert mpl.rcParams["svg.hashsalt"] == "epsigma"
    assert mpl.rcParams["svg.hashsalt"] == before


# --- Gallery


def gallery(count=3, channels=1, **changes):
    generator = np.random.default_rng(0)
    arguments = {
        "images": generator.random((2, count, channels, 8, 8), dtype=np.float32),
        "predictions": np.array([[7] * count, [7] + [3] * (count - 1)]),
        "probabilities": np.full((2, count), 0.25, np.float32),
        "label": 7,
        "index": 12,
        "budget": "eps~0.1",
        "strengths": ["fixed", *(f"sigma~{i}" for i in range(1, count))],
        "title": "fgsm on mlp, digits, gaussian",
    }
    return draw_gallery(**{**arguments, **changes})


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (2, 3), (12, 1)])
def test_a_gallery_has_a_clean_and_an_attacked_image_a_strength(count, channels):
    found = panels(gallery(count, channels))
    assert len(found) == 2 * count
    assert all(len(axes.images) == 1 for axes in found)
    titles = [axes.get_title() for axes in found if axes.get_title()]
    assert titles == ["no filter", *(f"σ = {i}" for i in range(1, count))]


def test_a_gallery_says_what_is_predicted_and_whether_it_is_right():
    figure = gallery(3)
    labels = [axes.get_xlabel() for axes in panels(figure)]
    assert labels == ["7 (25%) ✓"] * 3 + ["7 (25%) ✓", "3 (25%) ✗", "3 (25%) ✗"]
    assert [axes.get_ylabel() for axes in panels(figure) if axes.get_ylabel()] == [
        "clean",
        "attacked,\nε = 0.1",
    ]
    assert figure.get_suptitle() == "fgsm on mlp, digits, gaussian: test image 12, a 7"


@pytest.mark.parametrize(
    ("lowest", "highest", "limits"), [(0.2, 0.9, (0, 1)), (-0.5, 0.9, (-0.5, 1)), (0, 2, (0, 2))]
)
def test_a_gallery_shows_all_images_on_one_grey_scale(lowest, highest, limits):
    images = np.full((2, 3, 1, 8, 8), 0.5, np.float32)
    images[0, 0, 0, 0, 0], images[1, 2, 0, 0, 0] = lowest, highest
    for axes in panels(gallery(images=images)):
        assert axes.images[0].get_clim() == pytest.approx(limits)


def bits(text):
    return np.array([bit == "1" for bit in text])


@pytest.mark.parametrize(
    ("correct", "correct_clean", "level", "index"),
    [
        # The first budget that fools half: two of four; its first fooled image.
        (["11111", "10011", "00001"], "11110", 1, 1),
        # All budgets fool too few: the one that fools most.
        (["11111", "11101", "11011"], "11111", 1, 3),
        (["11111", "11110", "10011"], "11111", 2, 1),
        # An image that is wrong when clean is not fooled.
        (["0111", "0011"], "0111", 1, 1),
        # None is fooled: the first that is right when clean.
        (["011", "011"], "011", 0, 1),
        # None is right when clean: the first.
        (["000", "100"], "000", 0, 0),
        # Exactly half is half.
        (["10"], "11", 0, 1),
    ],
)
def test_the_gallery_s_image_is_chosen_by_its_rule(correct, correct_clean, level, index):
    assert choose([bits(text) for text in correct], bits(correct_clean)) == (level, index)


GAUSSIAN = "epsigma.filters.gaussian:Gaussian"


def filters(*sigmas):
    """The settings of no filter and of some Gaussians, as the rules give them."""
    none = {"implementation": "epsigma.filters.none:Identity", "parameters": {}}
    return [
        {"filter": "none", "strength": "fixed", **none},
        *(
            {
                "filter": "gaussian",
                "strength": f"sigma~{sigma}",
                "implementation": GAUSSIAN,
                "parameters": {"sigma": sigma},
            }
            for sigma in sigmas
        ),
    ]


@pytest.fixture
def attacked(tmp_path, clean_file):
    """Noisy sets of two budgets, and ledgers by which the second fools images 5 and 9 of 10."""
    clean = read_clean(clean_file, CPU)
    noise = torch.rand(clean.images.shape, generator=torch.Generator().manual_seed(0))
    sets, ledgers = [], []
    for budget, right in ((0.0, bits("1" * 10)), (0.5, bits("1111101110"))):
        noisy = (clean.images + budget * noise).clamp(0, 1)
        norms = perturbation_norms(noisy, clean.images)
        sets.append(str(tmp_path / f"{budget}.safetensors"))
        write_image_set(sets[-1], ImageSet(noisy, clean.labels, norms), {})
        ledgers.append(str(tmp_path / f"{budget}.parquet"))
        write_ledger(ledgers[-1], {"correct": right, "correct_clean": bits("1" * 10)}, {})
    return {"adversarial": sets, "ledgers": ledgers}


def test_the_stage_puts_the_chosen_image_through_each_filter_and_asks_the_model(
    tmp_path, trained, clean_file, checkpoint, attacked, make_job
):
    settings = {
        "model": trained.settings,
        "budgets": ["eps~0", "eps~0.5"],
        "filters": filters(0.5, 1),
    }
    path = str(tmp_path / "gallery.safetensors")
    make_gallery(
        make_job(settings),
        test=str(clean_file),
        checkpoint=str(checkpoint),
        **attacked,
        gallery=path,
    )
    names = ("images", "predictions", "probabilities", "index", "label")
    found = read_tensors(path, names, CPU)
    assert found["index"] == 5
    assert found["label"] == trained.labels[5]
    assert found["images"].shape == (2, 3, 1, 8, 8)
    clean = read_clean(clean_file, CPU).images[5]
    noisy = read_image_set(attacked["adversarial"][1], CPU).images[5]
    torch.testing.assert_close(found["images"][:, 0], torch.stack([clean, noisy]))
    smooth = Gaussian(sigma=1)(noisy[None])[0]
    torch.testing.assert_close(found["images"][1, 2], smooth)
    probabilities, predictions = trained.model(found["images"][1]).softmax(1).max(1)
    torch.testing.assert_close(found["probabilities"][1], probabilities)
    assert torch.equal(found["predictions"][1], predictions)


# --- Spectra


def test_the_spectrum_of_white_noise_is_flat():
    deviation = 0.3
    generator = torch.Generator().manual_seed(0)
    noise = deviation * torch.randn(300, 2, 28, 28, generator=generator)
    frequency, amplitude = radial_spectrum(noise)
    assert frequency.tolist() == pytest.approx([i / 28 for i in range(15)])
    # Rayleigh's mean; at f = 0 alone the amplitude is real, and half-normal.
    expected = torch.full_like(amplitude, deviation * math.sqrt(math.pi) / 2)
    expected[0] = deviation * math.sqrt(2 / math.pi)
    torch.testing.assert_close(amplitude, expected, rtol=0.05, atol=0)


@pytest.mark.parametrize("size", [(28, 28), (9, 9), (8, 12), (15, 10)], ids=str)
@pytest.mark.parametrize("across", [True, False], ids=["across", "down"])
@pytest.mark.parametrize("turns", [1, 3])
def test_the_spectrum_of_a_pure_wave_peaks_at_its_frequency(size, across, turns):
    side = size[1] if across else size[0]
    angle = 2 * math.pi * turns * torch.arange(side) / side
    images = (
        torch.cos(angle).expand(4, 1, *size)
        if across
        else torch.cos(angle)[:, None].expand(4, 1, *size)
    )
    frequency, amplitude = radial_spectrum(images)
    step = 1 / min(size)
    assert abs(frequency[amplitude.argmax()] - turns / side) <= step / 2
    others = amplitude[(frequency - turns / side).abs() > step / 2 + 1e-9]
    assert others.abs().max() < 1e-5


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (9, 12), (12, 7)], ids=str)
def test_a_spectrum_is_the_mean_over_each_ring_of_the_whole_transform(size):
    # Not the same in all directions, as digits are not.
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, 2, *size, generator=generator, dtype=torch.float64).cumsum(-1)
    amplitude = torch.fft.fft2(images, norm="ortho").abs().mean((0, 1))
    side = min(size)
    down, across = (torch.fft.fftfreq(n, dtype=torch.float64) for n in size)
    ring = (torch.hypot(down[:, None], across) * side).round()
    expected = [amplitude[ring == k].mean().item() for k in range(side // 2 + 1)]
    assert radial_spectrum(images)[1].tolist() == pytest.approx(expected)


def test_a_spectrum_does_not_depend_on_the_batch(monkeypatch):
    images = torch.rand(7, 3, 9, 12, generator=torch.Generator().manual_seed(0))
    _, together = radial_spectrum(images)
    monkeypatch.setattr("epsigma.tensors.BATCH", 2)
    torch.testing.assert_close(radial_spectrum(images)[1], together)


def test_a_constant_image_has_its_mean_at_frequency_zero_and_nothing_else():
    frequency, amplitude = radial_spectrum(torch.full((2, 1, 8, 8), 0.5))
    assert frequency[0] == 0
    # The orthonormal transform of N pixels of value v: v √N.
    assert amplitude.tolist() == pytest.approx([0.5 * 8, 0, 0, 0, 0], abs=1e-6)


@pytest.fixture
def spectrum(tmp_path, clean_file, attacked, make_job):
    path = tmp_path / "spectrum.csv"
    settings = {"budgets": ["eps~0", "eps~0.5"], "filters": filters(0.5, 1)}
    make_spectrum(
        make_job(settings),
        test=str(clean_file),
        adversarial=attacked["adversarial"],
        spectrum=str(path),
    )
    return path


def test_the_stage_writes_spectra_and_responses(spectrum):
    curves = pd.read_csv(spectrum, keep_default_na=False)
    assert list(curves.columns) == ["curve", "name", "level", "frequency", "amplitude"]
    found = list(
        curves[["curve", "name", "level"]].drop_duplicates().itertuples(index=False, name=None)
    )
    # No filter has no response to draw.
    assert found == [
        ("images", "", ""),
        ("perturbation", "", "eps~0"),
        ("perturbation", "", "eps~0.5"),
        ("filter", "gaussian", "sigma~0.5"),
        ("filter", "gaussian", "sigma~1"),
    ]
    assert curves["frequency"].between(0, 0.5).all()
    nothing = curves[curves["level"] == "eps~0"]["amplitude"]
    assert nothing.tolist() == [0] * 5
    response = curves[curves["level"] == "sigma~1"]
    expected = np.exp(-2 * np.pi**2 * response["frequency"] ** 2)
    assert response["amplitude"].tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_figure_of_spectra_has_a_panel_a_filter_below_them(spectrum):
    figure = draw_spectrum(pd.read_csv(spectrum, keep_default_na=False), "a title")
    top, *below = panels(figure)
    # A perturbation of nothing has no place on a logarithmic axis.
    assert list(drawn(top)) == ["clean images", "perturbation, ε = 0.5"]
    assert [axes.get_title() for axes in below] == ["gaussian"]
    assert list(drawn(below[0])) == ["σ = 0.5", "σ = 1"]
    assert top.get_xlim() == below[0].get_xlim() == (0, 0.5)


def test_of_many_perturbations_the_weakest_a_middle_and_the_strongest_are_drawn():
    rows = [
        ("perturbation", "", f"eps~{spell(i / 10)}", f, float(i))
        for i in range(1, 10)
        for f in (0, 0.5)
    ]
    curves = pd.DataFrame(
        [("images", "", "", 0, 1.0), *rows, ("filter", "band", "cutoff~0.1", 0, 1.0)],
        columns=["curve", "name", "level", "frequency", "amplitude"],
    )
    top = panels(draw_spectrum(curves, ""))[0]
    assert list(drawn(top))[1:] == [f"perturbation, ε = {eps}" for eps in ("0.1", "0.5", "0.9")]


# --- Drawing into files


FIGURES = {
    "accuracy": lambda: accuracy_by_strength(table(), "lowpass"),
    "gallery": lambda: gallery(2),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_drawn_twice_is_the_same_bytes(tmp_path, name):
    for folder in ("one", "two"):
        with style.theme():
            _save(FIGURES[name](), str(tmp_path / folder / "figure.svg"))
    for suffix in (".svg", ".png"):
        one, two = (tmp_path / folder / f"figure{suffix}" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    svg = (tmp_path / "one" / "figure.svg").read_text(encoding="utf-8")
    # Text stays text; a date would differ tomorrow.
    assert "<text" in svg
    assert "dc:date" not in svg
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "figure.png",
        "figure.svg",
    ]


def test_the_rows_of_a_figure_are_those_of_its_data_set_model_and_attack(tmp_path):
    other = table(attack="other")
    mine = table().assign(seed=5)
    everything = pd.concat([other, mine, mine.assign(model="wide"), mine.assign(threat="aware")])
    everything.to_csv(tmp_path / "cells.csv", index=False)
    cell = {"dataset": "digits", "model": "mlp", "attack": "fgsm"}
    found = select(str(tmp_path / "cells.csv"), cell)
    assert len(found) == len(mine)
    assert set(found["seed"]) == {5}
    assert set(found["threat"]) == {"blind"}


# Names that a configuration may give, and that a reader of CSV may take for something else.
@pytest.mark.parametrize("name", ["null", "nan", "true", "inf"])
def test_a_name_is_a_name_whatever_it_looks_like(tmp_path, name):
    table().assign(model=name).to_csv(tmp_path / "cells.csv", index=False)
    cell = {"dataset": "digits", "model": name, "attack": "fgsm"}
    assert len(select(str(tmp_path / "cells.csv"), cell)) == len(table())


def test_the_stages_draw_their_figures_as_svg_and_png(
    tmp_path, trained, clean_file, checkpoint, attacked, spectrum, make_job
):
    cells = tmp_path / "cells.csv"
    table().to_csv(cells, index=False)
    settings = {
        "model": trained.settings,
        "budgets": ["eps~0", "eps~0.5"],
        "filters": filters(0.5, 1),
    }
    images = str(tmp_path / "gallery.safetensors")
    make_gallery(
        make_job(settings),
        test=str(clean_file),
        checkpoint=str(checkpoint),
        **attacked,
        gallery=images,
    )
    out = tmp_path / "figures"
    job = make_job({"filters": ["gaussian"]}, dataset="digits", model="mlp", attack="fgsm")
    draw_attack(
        job,
        cells=str(cells),
        curves=str(spectrum),
        **{name: str(out / f"{name}.svg") for name in ("accuracy", "success", "spectrum")},
    )
    draw_filters(
        job,
        cells=str(cells),
        images=[images],
        accuracy=[str(out / "gaussian" / "accuracy.svg")],
        gallery=[str(out / "gaussian" / "gallery.svg")],
    )
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert found == [
        f"{name}{suffix}"
        for name in ("accuracy", "gaussian/accuracy", "gaussian/gallery", "spectrum", "success")
        for suffix in (".png", ".svg")
    ]
    gallery_svg = (out / "gaussian" / "gallery.svg").read_text(encoding="utf-8")
    assert "fgsm on mlp, digits, gaussian: test image 5" in gallery_svg
