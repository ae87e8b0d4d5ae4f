"""The benchmark suite: its loop, its ratios and bars, and its page."""

import json

import pandas as pd
import pytest
from benchmarks import bars, conditions, page, results, rounds, timeline
from benchmarks.profile import ACTIVITIES, activity, shares


def rows(columns, *values):
    return pd.DataFrame(values, columns=columns.split())


def sweep():
    seconds = {"workflow": (20, 22, 24), "script (a)": (50, 44, 60), "script (b)": (10, 12, 11)}
    seconds |= {"script (a), lean": (40, 44, 48), "workflow, 029c6fc": (40, 55, 60)}
    cold = [
        (study, variant, number, "cold", taken, 2 * taken, 500)
        for study in ("blind", "blind and aware")
        for variant, all_taken in seconds.items()
        for number, taken in enumerate(all_taken)
    ]
    changed = [
        ("blind and aware", who, number, what, taken, taken, 400)
        for who, slower in (("workflow", 1), ("workflow, 029c6fc", 2))
        for what, taken in (("no-op", 3 * slower), ("one σ added", 10 * slower))
        for number in range(3)
    ]
    columns = "study variant round what seconds processor_seconds peak_mib"
    return rows(columns, *cold, *changed)


def studies():
    columns = "study variant round what seconds processor_seconds peak_mib"
    seconds = {"workflow": 15, "workflow, 029c6fc": 20}
    found = [("default", who, 0, "cold", taken, taken, 400) for who, taken in seconds.items()]
    return rows(columns, *found)


def filters():
    seconds = {"epsigma": 0.02, "copy of the batch": 0.002, "Kornia": 0.5, "OpenCV": 0.2}
    return rows(
        "shape filter library round batch seconds differs",
        *(
            ("10000x1x28x28", "gaussian", library, number, 1000, taken, 0.0)
            for library, taken in seconds.items()
            for number in range(3)
        ),
    )


def attacks():
    # The slow one gets fewer images, and is slower all the same.
    seconds = {"epsigma": (1.0, 1000), "foolbox": (2.0, 1000), "ART": (1.9, 100)}
    seconds["foolbox, frozen"] = (0.5, 1000)
    return rows(
        "network attack library round batch seconds images success linf l2 l0",
        *(
            ("MLP 784-48-10", "pgd", library, number, 500, taken, images, 0.9, 0.1, 1.0, 700)
            for library, (taken, images) in seconds.items()
            for number in range(3)
        ),
    )


def kept(cells):
    return 2 * cells, cells / 100, 2 * cells, cells / 50


def scale():
    columns = "cells mode round asked dag_seconds seconds noop_seconds processor_seconds "
    columns += "peak_mib noop_peak_mib records records_mib results results_mib"
    sizes = ((2, 8), (1000, 28), (10_000, 328), (100_000, 5008))
    return rows(
        columns,
        *(
            (cells, "none", 0, "cells", 2, taken, 3, 1, 300 + cells / 10, 200, *kept(cells))
            for cells, taken in sizes
        ),
    )


def profile():
    columns = "study round activity core_seconds wall_seconds sampled_wall_seconds"
    found = [("blind", 0, name, 2.0, 20, 21) for name in ACTIVITIES]
    shared = rows(columns, *found, ("blind", 0, "idle", 20, 20, 21))
    lanes = [("process", timeline.MAIN, 0, 0.25, 0.8), ("process", timeline.STAGE, 0.25, 0.5, 1.5)]
    lanes.append(("rule", "train", 0.1, 0.5, None))
    of_time = rows("study round of lane start end cores", *(("blind", 0, *one) for one in lanes))
    return pd.concat([shared, of_time])


TABLES = {
    "sweep": sweep(),
    "studies": studies(),
    "filters": filters(),
    "attacks": attacks(),
    "scale": scale(),
    "profile": profile(),
}


def bar_named(text, tables=TABLES):
    return next(bar for bar in bars.bars(tables) if bar.what.startswith(text))


@pytest.mark.parametrize(
    ("bar", "median", "verdict"),
    [
        # Medians: 22 of 50, of 11.
        ("cold sweep of `paper.yaml` / script (a)", 22 / 50, "reached"),
        ("cold sweep of `paper.yaml` / script (b)", 2, "reached"),
        ("one added σ / script (a)", 10 / 50, "**missed**"),
        # After the same change, not cold.
        ("one added σ / `029c6fc`", 10 / 20, "reached"),
        ("cold sweep of `paper.yaml` / `029c6fc`", 22 / 55, "reached"),
        ("the same, blind attacker only / script (a), lean", 22 / 44, "reached"),
        ("the default study", 15 / 20, "**missed**"),
        ("cold `adaptive.yaml`", None, "not measured"),
        ("no-op of `paper.yaml`", 3, "reached"),
        # The copy is no peer.
        ("Gaussian", 0.02 / 0.2, "reached"),
        # Per image; a frozen network is what no user of the peer would attack.
        ("PGD", 0.5, "reached"),
        ("a cell's scheduling, 10,000", (328 - 8) / 9998 * 1000, "**missed**"),
        ("a cell's scheduling, 100,000", (5008 - 8) / 99998 * 1000, "**missed**"),
        ("the larger / the smaller", (5000 / 99998) / (320 / 9998), "**missed**"),
        ("memory of the main process", 10_300, "**missed**"),
    ],
)
def test_bars_compare_medians_with_the_right_other(bar, median, verdict):
    found = bar_named(bar)
    assert found.verdict == verdict
    if median is None:
        assert found.figure is None
        return
    assert found.figure.median == pytest.approx(median)
    assert found.figure.low <= found.figure.median * (1 + 1e-9)


def test_a_ratios_range_is_over_the_ratios_within_a_round():
    found = bar_named("cold sweep of `paper.yaml` / script (a)").figure
    assert (found.low, found.high) == pytest.approx((20 / 50, 22 / 44))


def test_without_a_part_its_bars_are_not_measured_and_the_others_are():
    without = {name: table for name, table in TABLES.items() if name != "attacks"}
    assert bar_named("PGD", without).verdict == "not measured"
    assert bar_named("Gaussian", without).verdict == "reached"
    assert all(bar.verdict == "not measured" for bar in bars.bars({}))


def test_a_million_cells_are_the_two_largest_sizes_drawn_on():
    (row,) = page.million(TABLES["scale"])
    slope = (5008 - 328) / 90_000
    assert row["hours"] == pytest.approx((5008 + slope * 900_000) / 3600)
    assert row["records"] == pytest.approx(2_000_000)
    assert row["memory_gib"] == pytest.approx((300 + 100_000) / 1024)


@pytest.mark.parametrize("parts", [tuple(TABLES), *((name,) for name in TABLES), ()])
def test_the_page_is_written_of_what_was_measured(tmp_path, parts):
    about = {**conditions.conditions(rounds=3, data="the data"), "measured": "2026-01-01T10:00"}
    for part in parts:
        results.write_part(part, TABLES[part].to_dict("records"), about, tmp_path)
    page.write_page(tmp_path, tmp_path / "results.md")
    text = (tmp_path / "results.md").read_text()
    for part in TABLES:
        measured = f"| {part} | 2026-01-01T10:00 |" in text
        assert measured == (part in parts)
    assert ("| cold | script (b) |" in text) == ("sweep" in parts)
    assert ("| cold | workflow |" in text) == bool({"sweep", "studies"} & {*parts})
    assert ("A million cells" in text) == ("scale" in parts)
    for name in ("profile", "timeline_blind"):
        assert (tmp_path / f"{name}.svg").exists() == ("profile" in parts)
    # Every row of a table has the columns of the row above it.
    for one, other in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        if one.startswith("|") and other.startswith("|"):
            assert one.count("|") == other.count("|"), other


def test_a_part_that_stops_leaves_the_last_measurement_alone(tmp_path):
    def stopping():
        yield {"a": 1}
        raise RuntimeError("the disk is full")

    results.write_part("filters", [{"a": 0}, {"a": 0.5, "b": "x"}], {"measured": "then"}, tmp_path)
    with pytest.raises(RuntimeError, match="disk"):
        results.write_part("filters", stopping(), {"measured": "now"}, tmp_path)
    tables, about = results.read_parts(["filters"], tmp_path)
    assert tables["filters"]["a"].tolist() == [0, 0.5]
    assert about == {"filters": {"measured": "then"}}


def test_contenders_take_turns_and_none_is_always_first():
    calls = []

    def run_of(name):
        def run():
            calls.append(name)
            return [{"seconds": 1.0}]

        return run

    runs = {(("library", name),): run_of(name) for name in "abc"}
    found = list(rounds.interleaved(runs, 3))
    assert calls == list("abcbcacab")
    assert [row["library"] for row in found if row["round"] == 1] == list("bca")


def test_each_contender_is_measured_at_its_best_batch_size():
    slow = {1: 0.02, 10: 0.0, 100: 0.02}

    def prepare(size):
        def work():
            deadline = rounds.time.perf_counter() + slow[size]
            while rounds.time.perf_counter() < deadline:
                pass
            return size

        return work

    one = rounds.Contender(prepare, tuple(slow), judge=lambda size: {"success": size})
    found = list(rounds.contest({(("library", "a"),): one}, 2))
    assert [(row["batch"], row["success"]) for row in found] == [(10, 10), (10, 10)]


def test_the_machine_is_described():
    about = conditions.conditions(rounds=1)
    machine = about["machine"]
    assert machine["cores"] >= 1
    assert machine["memory_gib"] > 0.1
    assert machine["cpu"]
    assert about["versions"]["torch"].startswith("2.")
    assert json.loads(json.dumps(about)) == about


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ("main (snakemake/cli.py:1);schedule (snakemake/scheduling/job_scheduler.py:2)", None),
        ("run (snakemake/x.py:1);attack (epsigma/stages/attack.py:5);fgsm (a.py:1)", "arithmetic"),
        ("attack (epsigma/stages/attack.py:5);read_clean (epsigma/storage/images.py:1)", "reading"),
        ("attack (epsigma/stages/attack.py:5);write_image_set (epsigma/storage/i.py:1)", "writing"),
        ("write_parts (epsigma/attacks/w.py:5);write (epsigma/storage/writing.py:1)", "writing"),
        ("write_parts (epsigma/attacks/written.py:5);fgsm (epsigma/attacks/a.py:1)", "arithmetic"),
        ("filter (epsigma/stages/filter.py:5);_read (epsigma/storage/stored.py:1)", "reading"),
        ("gate (epsigma/stages/gate.py:5);atomic_write (epsigma/storage/files.py:1)", "writing"),
        ("fool (epsigma/stages/fooling/attack.py:5);ascend (a.py:1)", "arithmetic"),
        ("gallery (epsigma/stages/fooling/gallery.py:5);draw (b.py:1)", "figures"),
        ("run (snakemake/a.py:1);read_study (epsigma/engine.py:5)", "provenance, configuration"),
        ("attack (epsigma/stages/attack.py:5);_find_and_load (<frozen importlib>:1)", "importing"),
        ("train (epsigma/stages/train.py:5);fit (pytorch_lightning/trainer.py:1)", "training"),
        ("draw (epsigma/stages/draw.py:1);plot (matplotlib/axes.py:5)", "figures"),
        ("main (elsewhere.py:1)", "other"),
    ],
)
def test_stacks_are_sorted_by_what_they_do(stack, expected):
    assert activity(stack) == (expected or "scheduling")


def test_shares_of_all_activities_make_one():
    text = "main (snakemake/cli.py:1) 3\nmain (snakemake/cli.py:1);read_clean (epsigma/t.py:2) 1\n"
    found = shares(text)
    assert found["scheduling"] == 0.75
    assert found["reading"] == 0.25
    assert sum(found.values()) == 1
