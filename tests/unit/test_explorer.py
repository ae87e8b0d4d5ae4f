"""What the explorer's page is told: examples, images and figures."""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from epsigma.explorer.examples import EXAMPLES, choose_examples, find_rows, follow
from epsigma.explorer.following import list_clean_right, open_ledgers
from epsigma.explorer.sprites import SIDE, Sprites, make_sprite, read_rows
from epsigma.explorer.tables import count_by_class, list_cells, list_checks
from epsigma.pages import render_explorer
from epsigma.storage.images import write_tensors
from epsigma.storage.ledgers import write_ledger
from epsigma.storage.provenance import record
from PIL import Image


def ledger(index, label, correct, clean=None, **more):
    index, correct = np.asarray(index), np.asarray(correct, bool)
    return {
        "index": index,
        "label": np.asarray(label),
        "correct": correct,
        "correct_clean": np.ones(len(index), bool) if clean is None else np.asarray(clean, bool),
        **more,
    }


def test_of_each_class_the_first_to_fall_and_the_last_are_followed():
    # 60 images of 10 classes: image i falls at the budget i // 10.
    index = np.arange(60)
    ledgers = [ledger(index, index % 10, index // 10 > budget) for budget in range(6)]
    chosen = choose_examples(ledgers)
    assert sorted(chosen) == sorted([*range(10), *range(50, 60)])
    assert [index % 10 for index in chosen] == sorted([*range(10)] * 2)


def test_followed_examples_are_right_when_clean_and_tried_by_all_attacks():
    clean = [False, True, True, True]
    attacks = [ledger([0, 1, 2, 3], [5] * 4, [0, 1, 0, 1], clean), ledger([1, 2], [5] * 2, [1, 0])]
    assert set(choose_examples(attacks)) == {1, 2}
    # One that is wrong when clean is left out, though all attacks tried it.
    clean = [False, True, True]
    assert choose_examples([ledger([0, 1, 2], [5] * 3, [0, 1, 0], clean)]) == [2, 1]
    # One that is wrong is better than none.
    wrong = [ledger([0, 1], [5, 6], [0, 1], [False, True])]
    assert choose_examples(wrong) == [0, 1]


def test_at_most_so_many_examples_are_followed_whatever_the_number_of_classes():
    index = np.arange(1000)
    assert len(choose_examples([ledger(index, index, index >= 0)])) == EXAMPLES


def test_what_is_right_without_an_attack_is_told_of_each_filter(tmp_path):
    cell = {"dataset": "digits", "model": "mlp", "seed": "0", "filter": "blur"}
    paths = []
    for strength, correct in (("sigma~1", [1, 1, 0, 1]), ("sigma~2", [0, 1, 0, 0])):
        paths.append(str(tmp_path / f"{strength}.parquet"))
        columns = {"index": np.arange(4, dtype=np.int32), "correct": np.array(correct, bool)}
        write_ledger(paths[-1], columns, record({**cell, "strength": strength}, {}, "0"))
    found = list_clean_right(open_ledgers(paths), {"digits": [3, 2, 0]})
    assert found == [
        [*cell.values(), "sigma~1", [1, 0, 1]],
        [*cell.values(), "sigma~2", [0, 0, 0]],
    ]


def test_an_example_with_several_rows_is_shown_by_one_that_fools():
    columns = ledger(
        [3, 3, 3, 7, 9, 9],
        [1, 1, 1, 2, 4, 4],
        [1, 0, 0, 1, 1, 1],
        prediction=np.array([1, 8, 6, 2, 4, 4]),
        probability=np.array([0.9, 0.504, 0.3, 1, 0.2, 0.1], np.float32),
        rejected=np.array([0, 0, 1, 0, 1, 0], bool),
    )
    rows = find_rows(columns, [3, 5, 7, 9])
    assert rows == [1, None, 3, 4]
    assert follow(columns, rows) == {
        "prediction": [8, None, 2, 4],
        "probability": [50, None, 100, 20],
        "right": [0, None, 1, 1],
        "rejected": [0, None, 0, 1],
    }


def pixels(sprite):
    kind, _, packed = sprite.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(packed))))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sprite_has_the_images_side_by_side_to_the_bit(channels):
    values = torch.randint(0, 256, (4, channels, 6, 5), generator=torch.manual_seed(0))
    found = pixels(make_sprite(values / 255))
    assert found.shape == ((6, 20) if channels == 1 else (6, 20, 3))
    for i, image in enumerate(values):
        shown = found[:, 5 * i : 5 * i + 5].reshape(6, 5, channels)
        assert np.array_equal(shown, image.permute(1, 2, 0).numpy())


def test_a_sprite_clips_averages_odd_channels_and_makes_large_images_smaller():
    values = torch.tensor([-3.0, 0.5, 2.0]).view(3, 1, 1, 1).expand(3, 2, 4 * SIDE, 2 * SIDE)
    found = pixels(make_sprite(values))
    assert found.shape == (SIDE, 3 * SIDE // 2)
    assert [set(part.flat) for part in np.split(found, 3, axis=1)] == [{0}, {128}, {255}]


def test_sprites_stop_at_the_budget():
    image = torch.zeros(1, 1, 2, 2)
    length = len(make_sprite(image))
    sprites = Sprites(2 * length)
    assert [sprites.add(image) for _ in range(3)] == [0, 1, None]
    assert sprites.left_out == 1


@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_rows_of_a_set_are_read_one_by_one(tmp_path, kind):
    values = torch.randint(0, 256, (5, 1, 2, 2), generator=torch.manual_seed(1))
    stored = values.byte() if kind == "bytes" else values / 255
    write_tensors(tmp_path / "set.safetensors", {"images": stored}, {})
    found = read_rows(tmp_path / "set.safetensors", [4, None, 0])
    assert torch.equal(found, torch.stack([values[4] / 255, torch.zeros(1, 2, 2), values[0] / 255]))


CELL = {
    **{"dataset": "mnist", "model": "mlp", "seed": 0, "threat": "aware", "attack": "fgsm"},
    **{"budget_name": "eps", "budget": 0.1, "filter": "median", "strength_name": None},
    "strength": None,
}


def test_cells_have_levels_as_paths_spell_them_and_no_column_without_a_value():
    rows = [{**CELL, "accuracy": 1 / 3, "n": 9, "certified": None}, {**CELL, "seed": 1, "n": 8}]
    listed = list_cells(pd.DataFrame(rows))
    assert listed["columns"][5:] == ["budget", "filter", "strength", "accuracy", "n"]
    assert listed["rows"][0][2:] == [0, "aware", "fgsm", "eps~0.1", "median", "fixed", 0.333333, 9]
    assert listed["rows"][1][-2:] == [None, 8]


def test_classes_are_counted_cell_by_cell():
    rows = [{**CELL, "label": k, "n": 10 + k, "n_correct": k} for k in range(3)]
    cell = ("mnist", "mlp", 0, "aware", "fgsm", "eps~0.1", "median", "fixed")
    counted = count_by_class(pd.DataFrame(rows), [cell, (*cell[:-1], "other")])
    assert counted == [[[0, 10, 0], [1, 11, 1], [2, 12, 2]], []]
    many = [{**CELL, "label": k, "n": 1, "n_correct": 0} for k in range(500)]
    assert count_by_class(pd.DataFrame(many), [cell]) is None


def test_verdicts_say_nothing_of_what_they_are_not_about():
    row = {"check": "logits", "dataset": "mnist", "model": "mlp", "seed": 2.0, "threat": None}
    more = {"attack": None, "filter": None, "strength": None, "verdict": "warn", "sentence": "So."}
    checks = pd.DataFrame([{**row, **more}]).astype({"seed": "Int64"})
    expected = {"check": "logits", "dataset": "mnist", "model": "mlp", "seed": 2}
    assert list_checks(checks) == [{**expected, "verdict": "warn", "sentence": "So."}]


def test_what_the_page_is_told_is_text_whatever_it_says():
    told = {"name": '</script><img src=x onerror="alert(1)"> & <!--\u2028'}
    page = render_explorer(told)
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(found[1]) == told
    assert "<img" not in page
    assert page.count("</script>") == 2


def test_the_page_asks_no_network():
    page = render_explorer({})
    known = {"http://www.w3.org/2000/svg"}
    assert set(re.findall(r"https?://[^\"'\s)]+", page)) <= known
    assert "default-src 'none'" in page
