"""Principal components, as an autoencoder that is fitted and as a filter."""

import numpy as np
import pytest
import torch
from epsigma.autoencoders.pca import LARGEST, PrincipalComponents
from epsigma.autoencoders.trained import load_autoencoder
from epsigma.device import CPU
from epsigma.filters.pca import PCA
from epsigma.models.mlp import MLP
from epsigma.proofs.network import fold
from learning import school
from sklearn import decomposition
from sklearn.datasets import load_digits
from untrained import autoencoder

HOW = {
    "implementation": "epsigma.autoencoders.pca:PrincipalComponents",
    "parameters": {"components": 20},
}


def digits():
    """Real images: (1797, 1, 8, 8) in [0, 1], where the last pixels of many are always black."""
    return torch.from_numpy(load_digits().images / 16).float().unsqueeze(1)


def fitted(images, components):
    made = PrincipalComponents(tuple(images.shape[1:]), components=components)
    made.fit(images)
    return made


@pytest.mark.parametrize("components", [1, 10, 40])
def test_a_projection_is_scikit_learn_s(components):
    learnt, others = digits().split([1200, 597])
    reference = decomposition.PCA(40, svd_solver="full").fit(learnt.flatten(1).double())
    kept = reference.components_[:components]
    centred = others.flatten(1).double().numpy() - reference.mean_
    expected = reference.mean_ + centred @ kept.T @ kept
    found = PCA(components=components, autoencoder=fitted(learnt, 40))(others)
    np.testing.assert_allclose(found.flatten(1), expected, atol=2e-5)


def test_all_components_change_nothing_and_more_are_no_more():
    images = digits()
    made = fitted(images, 1000)
    assert made.directions.shape == (64, 64)
    torch.testing.assert_close(made(images), images, atol=1e-5, rtol=0)


def test_an_attacker_s_gradient_is_the_projection_of_the_gradient():
    images = digits()[:5].double().requires_grad_()
    module = PCA(components=7, autoencoder=fitted(digits(), 20))
    weights = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)).double()
    (gradient,) = torch.autograd.grad((module(images) * weights).sum(), images)
    _, directions = module.fitted.basis(images, 7)
    expected = weights.flatten(1) @ directions.T @ directions
    torch.testing.assert_close(gradient.flatten(1), expected)


def test_proofs_fold_it_into_the_classifier_with_its_mean():
    module, model = PCA(components=7, autoencoder=fitted(digits(), 20)), MLP((1, 8, 8), 10)
    images = digits()[:20].double()
    logits = fold(module, model.eval(), (1, 8, 8))(images.flatten(1))
    expected = model(module(images).float())
    torch.testing.assert_close(logits.float(), expected, atol=1e-4, rtol=1e-4)


def test_the_stage_fits_it_in_closed_form_and_what_it_writes_is_loaded(tmp_path):
    with school(tmp_path) as made:
        learnt = made.train_autoencoder("pca", HOW, epochs=6)
        model = load_autoencoder({**HOW, "checkpoint": str(learnt.checkpoint)}, CPU)
        module, test = PCA(components=20, autoencoder=model), made.test().images
        # Of the training images alone.
        (mean, _), others = module.fitted.basis(test, 1), test.flatten(1).mean(0)
    assert not torch.equal(mean, others)
    assert (mean - others).abs().max() < 0.1
    assert (module(test) - test).square().mean() < 0.25 * test.var()
    assert len(learnt.curve.read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PCA(components=21, autoencoder=fitted(digits(), 20))(digits()), "20 that were"),
        (lambda: PCA(components=0, autoencoder=fitted(digits(), 20)), "less than 1"),
        (lambda: PCA(components=1, autoencoder=autoencoder()), "of the kind pca"),
        (lambda: PrincipalComponents((1, 1, LARGEST + 1)), "too large"),
    ],
    ids=["too many", "none", "another autoencoder", "large images"],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
