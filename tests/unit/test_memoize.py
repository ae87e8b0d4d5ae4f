import copy

import pytest
import torch
from epsigma.memoize import Memoized, memoizing
from torch import nn


class Counting(nn.Module):
    """Doubles, and counts how often it is asked."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def forward(self, images):
        self.asked += 1
        return 2 * images


def images(seed=0):
    return torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_the_same_tensor_is_asked_about_once():
    module, given = Counting(), images()
    shared = Memoized(module)
    with memoizing():
        one, two = shared(given), shared(given)
    assert one is two
    assert torch.equal(one, 2 * given)
    assert module.asked == 1


def test_outside_every_question_is_asked():
    module, given = Counting(), images()
    shared = Memoized(module)
    assert torch.equal(shared(given), shared(given))
    assert module.asked == 2


def test_nothing_is_remembered_from_one_body_to_the_next():
    module, given = Counting(), images()
    shared = Memoized(module)
    for asked in (1, 2):
        with memoizing():
            assert torch.equal(shared(given), 2 * given)
        assert module.asked == asked
        # What changes in between is another question.
        given += 1


def test_the_outermost_body_decides_how_long():
    module, given = Counting(), images()
    shared = Memoized(module)
    with memoizing():
        with memoizing():
            shared(given)
        shared(given)
        assert module.asked == 1
    with pytest.raises(KeyError), memoizing():
        raise KeyError
    shared(given)
    shared(given)
    assert module.asked == 3


def test_tensors_that_are_alike_are_not_the_same():
    module = Counting()
    shared = Memoized(module)
    with memoizing():
        # Each is gone before the next is made, but for what remembers it.
        for seed in range(20):
            assert torch.equal(shared(images(seed)), 2 * images(seed))
    assert module.asked == 20


def test_modules_of_the_same_key_are_the_same_and_others_are_not():
    given, modules = images(), [Counting() for _ in range(5)]
    keys = ["a", "b", "a", None, None]
    with memoizing():
        for module, key in zip(modules, keys, strict=True):
            Memoized(module, key)(given)
    assert [module.asked for module in modules] == [1, 1, 0, 1, 1]


def test_an_answer_without_a_gradient_is_not_given_where_one_is_wanted():
    module, given = Counting(), images().requires_grad_()
    shared = Memoized(module)
    with memoizing():
        with torch.no_grad():
            assert not shared(given).requires_grad
        total = shared(given).sum() + shared(given).square().sum()
        (gradient,) = torch.autograd.grad(total, given)
    # 2 + 2 · (2x) · 2.
    torch.testing.assert_close(gradient, 2 + 8 * given)
    assert module.asked == 2


def test_it_moves_and_is_copied_as_any_module():
    shared = Memoized(nn.Linear(4, 2).eval())
    assert not shared.training
    other = copy.deepcopy(shared).double()
    given = images().double()
    assert other(given).dtype == torch.float64
    assert shared.module.weight.dtype == torch.float32
    with memoizing():
        shared(images())
        assert not torch.equal(Memoized(nn.Linear(4, 2))(given.float()), shared(given.float()))
