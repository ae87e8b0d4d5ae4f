import copy
import math

import pytest
import torch
from epsigma.attacks.gradient import input_gradient
from epsigma.attacks.pgd import pgd
from epsigma.training.distillation import Distillation
from epsigma.training.objective import SoftenedCrossEntropy
from epsigma.training.standard import Standard
from learning import school
from torch import nn
from torch.nn import functional

TEMPERATURES = (0.5, 1, 20, 100)
# Below this a gradient in float32 is of no use to an attack.
VANISHED = 1e-10


class Given(nn.Module):
    """A model whose logits are its images."""

    def forward(self, images):
        return images.flatten(1)


class Answers(nn.Module):
    """A model that says the same whatever it is shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, images):
        return self.logits


def logits(n=6, classes=4, seed=0):
    return 3 * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))


def as_images(values):
    return values[:, None, None]


def loss_and_gradient(objective, values, labels):
    """The loss at some logits, and its gradient by them."""
    x = as_images(values).requires_grad_()
    loss, _ = objective(Given(), x, labels, progress=0)
    (gradient,) = torch.autograd.grad(loss, x)
    return loss.detach(), gradient.flatten(1)


LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


# --- The teacher


@pytest.mark.parametrize("temperature", [1, 2, 20])
def test_the_teacher_s_loss_is_that_of_its_logits_divided_by_the_temperature(temperature):
    teacher = Distillation.of_teacher(temperature=temperature)
    # Of logits (2, 0) and label 0: log(1 + exp(−2 / T)).
    given = as_images(torch.tensor([[2.0, 0.0]]))
    loss, found = teacher(Given(), given, torch.tensor([0]), progress=0)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-2 / temperature)))
    assert torch.equal(found, given.flatten(1))


def test_at_a_temperature_of_1_the_teacher_s_loss_is_the_cross_entropy():
    given = as_images(logits()), LABELS
    plain = functional.cross_entropy(logits(), LABELS)
    for objective in (SoftenedCrossEntropy(temperature=1), Standard()):
        torch.testing.assert_close(objective(Given(), *given, progress=0)[0], plain)


# --- The student


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_student_s_loss_is_the_cross_entropy_of_softened_probabilities(temperature):
    objective = Distillation(temperature=temperature, teacher=Answers(logits(seed=1)))
    loss, gradient = loss_and_gradient(objective, logits(), LABELS)
    student, teacher = ((given / temperature).softmax(1) for given in (logits(), logits(seed=1)))
    torch.testing.assert_close(loss, -(teacher * student.log()).sum(1).mean())
    # In the paper: ∂/∂z = (softmax(z / T) − softmax(v / T)) / T.
    torch.testing.assert_close(gradient, (student - teacher) / temperature / len(LABELS))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_student_that_says_what_its_teacher_does_has_nothing_to_learn(temperature):
    objective = Distillation(temperature=temperature, teacher=Answers(logits()))
    loss, gradient = loss_and_gradient(objective, logits(), LABELS)
    assert gradient.abs().max() < 1e-7
    taught = torch.distributions.Categorical(logits=logits() / temperature)
    torch.testing.assert_close(loss, taught.entropy().mean())
    _, elsewhere = loss_and_gradient(objective, logits(seed=1), LABELS)
    assert elsewhere.abs().max() > 1e-5


def test_a_teacher_that_is_sure_of_the_labels_teaches_the_cross_entropy():
    sure = 1e4 * functional.one_hot(LABELS, 4).float()
    objective = Distillation(temperature=1, teacher=Answers(sure))
    loss, gradient = loss_and_gradient(objective, logits(), LABELS)
    expected, plain = loss_and_gradient(Standard(), logits(), LABELS)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, plain)


def test_the_student_does_not_see_the_labels_and_the_teacher_does_not_learn(trained):
    teacher = copy.deepcopy(trained.model).requires_grad_(True)
    objective = Distillation(temperature=20, teacher=teacher)
    model = copy.deepcopy(trained.model).requires_grad_(True)
    loss, found = objective(model, trained.images, trained.labels, progress=0)
    other, _ = objective(model, trained.images, trained.labels.flip(0), progress=0)
    assert torch.equal(loss, other)
    assert torch.equal(found, model(trained.images))
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_student_is_validated_on_the_labels_at_a_temperature_of_1():
    objective = Distillation(temperature=20, teacher=Answers(logits(seed=1)))
    loss, _ = objective.validate(Given(), as_images(logits()), LABELS)
    torch.testing.assert_close(loss, functional.cross_entropy(logits(), LABELS))


@pytest.mark.parametrize("temperature", [0, -1])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    said = f"^temperature = {temperature} is not positive$"
    with pytest.raises(ValueError, match=said):
        Distillation(temperature=temperature, teacher=Given())
    with pytest.raises(ValueError, match=said):
        Distillation.of_teacher(temperature=temperature)


# --- Training, by the stage


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    with school(tmp_path_factory.mktemp("distillation")) as made:
        yield made


def objective(temperature):
    return {
        "implementation": "epsigma.training.distillation:Distillation",
        "parameters": {"temperature": temperature},
    }


@pytest.fixture(scope="module")
def teachers(digits):
    how = {"teaches": True, "epochs": 20, "learning_rate": 0.01}
    return {t: digits.train(f"teacher_{t}", objective(t), **how) for t in (1, 20)}


@pytest.fixture(scope="module")
def students(digits, teachers):
    return {
        t: digits.train(
            f"student_{t}",
            objective(t),
            teacher=teacher.checkpoint,
            epochs=20,
            learning_rate=0.01,
        )
        for t, teacher in teachers.items()
    }


def right_ones(model, test):
    right = model(test.images).argmax(1) == test.labels
    return test.images[right], test.labels[right]


def test_both_students_learn_digits(digits, students):
    test = digits.test()
    for student in students.values():
        images, _ = right_ones(digits.read(student), test)
        assert len(images) / len(test.images) > 0.93


def test_the_student_of_a_high_temperature_saturates_at_1(digits, students):
    size, vanished = {}, {}
    for temperature, student in students.items():
        model = digits.read(student)
        images, labels = right_ones(model, digits.test())
        size[temperature] = model(images).abs().median()
        gradient, _ = input_gradient(model, images, labels, "cross_entropy")
        vanished[temperature] = (gradient.abs().flatten(1).amax(1) < VANISHED).float().mean()
    assert size[20] > 8 * size[1]
    assert vanished[1] < 0.05
    assert vanished[20] > 0.8


def test_the_margin_leads_attacks_through_the_saturation_and_the_cross_entropy_does_not(
    digits, students
):
    def success(temperature, loss):
        model = digits.read(students[temperature])
        images, labels = right_ones(model, digits.test())
        # From the image itself, where the gradient has vanished: no start by chance.
        how = {"eps": 0.15, "steps": 20, "loss": loss, "random_start": False}
        attacked = pgd(model, images, labels, **how)
        return (model(attacked).argmax(1) != labels).float().mean()

    assert success(20, "margin") > success(20, "cross_entropy") + 0.15
    # What distillation is worth, once it is attacked as it should be: little.
    assert success(20, "margin") > 0.6
    assert success(1, "cross_entropy") > 0.6


def test_a_student_learns_what_its_teacher_says_which_is_read_from_the_checkpoint(
    digits, teachers, tmp_path
):
    # A teacher that takes every digit for the next one.
    content = torch.load(teachers[1].checkpoint, weights_only=True)
    for name in ("model.layers.3.weight", "model.layers.3.bias"):
        content["state_dict"][name] = content["state_dict"][name].roll(1, 0)
    path = tmp_path / "off_by_one.ckpt"
    torch.save(content, path)
    student = digits.read(digits.train("off_by_one", objective(1), teacher=path, epochs=5))
    test = digits.test()
    found = student(test.images).argmax(1)
    assert (found == (test.labels + 1) % 10).float().mean() > 0.85


def test_a_teacher_whose_checkpoint_is_damaged_is_refused(digits, teachers, tmp_path):
    path = tmp_path / "damaged.ckpt"
    path.write_bytes(teachers[1].checkpoint.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"damaged\.ckpt cannot be read"):
        digits.train("unused", objective(1), teacher=path, epochs=1)


def test_the_student_of_the_same_seed_is_the_same(digits, teachers, students):
    how = {"teacher": teachers[20].checkpoint, "epochs": 20, "learning_rate": 0.01}
    again = digits.train("again", objective(20), **how)
    one, two = (
        torch.load(files.checkpoint, weights_only=True)["state_dict"]
        for files in (again, students[20])
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
