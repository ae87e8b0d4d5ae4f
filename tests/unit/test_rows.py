import pytest
import torch
from epsigma.attacks.fooling_set import fooling_rows
from epsigma.attacks.rows import attacked_rows

LABELS = torch.tensor([2, 0, 1, 2, 0])
CLASSES = 3


def rows(examples=None, targets="untargeted", labels=LABELS):
    return attacked_rows(labels, CLASSES, examples=examples, targets=targets)


def listed(found):
    """The rows as (example, label, target); the target None if there is none."""
    targets = [None] * len(found.index) if found.targets is None else found.targets.tolist()
    return list(zip(found.index.tolist(), found.labels.tolist(), targets, strict=True))


ALL = [
    *((0, 2, 0), (0, 2, 1)),
    *((1, 0, 1), (1, 0, 2)),
    *((2, 1, 0), (2, 1, 2)),
    *((3, 2, 0), (3, 2, 1)),
    *((4, 0, 1), (4, 0, 2)),
]


@pytest.mark.parametrize(
    ("examples", "targets", "expected"),
    [
        (None, "untargeted", [(i, label, None) for i, label in enumerate(LABELS.tolist())]),
        (2, "untargeted", [(0, 2, None), (1, 0, None)]),
        (None, "all", ALL),
        (2, "all", ALL[:4]),
        # Ascending, whatever the order of the list, and never the true one.
        (3, [2, 0], [(0, 2, 0), (1, 0, 2), (2, 1, 0), (2, 1, 2)]),
        # An example of the only class to aim at has no row.
        (None, [2], [(1, 0, 2), (2, 1, 2), (4, 0, 2)]),
    ],
)
def test_an_attack_has_a_row_an_example_or_one_for_each_class_that_it_aims_at(
    examples, targets, expected
):
    assert listed(rows(examples, targets)) == expected


def test_each_row_has_the_image_of_its_example():
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 2, 3, 4)
    for examples, targets in ((None, "untargeted"), (3, "untargeted"), (4, "all"), (None, [2])):
        found = rows(examples, targets)
        given = found.of(images)
        assert given.shape == (len(found.index), 2, 3, 4)
        assert given[:, 0, 0, 0].tolist() == found.index.tolist()


@pytest.mark.parametrize("targets", ["untargeted", "all"])
@pytest.mark.parametrize("part", [slice(0, 2), slice(1, 4), slice(3, 100)])
def test_a_part_of_the_rows_is_those_rows_with_their_images(targets, part):
    images = torch.arange(5.0).view(5, 1, 1, 1)
    found = rows(targets=targets)[part]
    assert listed(found) == listed(rows(targets=targets))[part]
    assert found.of(images).flatten().tolist() == found.index.tolist()
    # A part is not the whole test set.
    assert found.columns is not None


def test_untargeted_rows_are_no_copy_of_the_images():
    images = torch.rand(5, 1, 2, 2)
    assert rows(3)[1:].of(images).data_ptr() == images[1:].data_ptr()


def test_the_whole_test_set_needs_no_columns_and_a_row_without_target_has_minus_one():
    assert rows().columns is None
    found = rows(2).columns
    assert {name: value.tolist() for name, value in found.items()} == {
        "index": [0, 1],
        "target": [-1, -1],
    }
    found = rows(2, "all").columns
    assert (found["index"].tolist(), found["target"].tolist()) == ([0, 0, 1, 1], [0, 1, 1, 2])
    assert {value.dtype for value in found.values()} == {torch.int64}
    # As many examples as there are, asked for by their number, are still said one by one.
    assert rows(5).columns["index"].tolist() == [0, 1, 2, 3, 4]
    # A study of several data sets asks for more than the smallest has.
    assert rows(6).columns["index"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"targets": [1, 3]}, r"targets = \[1, 3\]: the classes are 0 to 2"),
        ({"targets": [-1]}, "the classes are 0 to 2"),
        ({"targets": [2], "examples": 1}, r"targets = \[2\]: every image is of that class"),
    ],
)
def test_rows_that_there_cannot_be_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        rows(**arguments)


def test_fooling_images_come_class_by_class_and_aim_at_their_label():
    found = fooling_rows(3, 2, torch.device("cpu"))
    assert listed(found) == [(0, 0, 0), (1, 0, 0), (2, 1, 1), (3, 1, 1), (4, 2, 2), (5, 2, 2)]
    assert found.columns["target"].tolist() == [0, 0, 1, 1, 2, 2]
