"""Recipes of the figures."""

from collections.abc import Mapping
from typing import Any

from epsigma.plan.figures import draw_modules, draw_settings, figures_of
from epsigma.plan.names import names_of
from epsigma.plan.probes import ProbeRecipes
from epsigma.plan.recipe import Recipe, make_recipe, of
from epsigma.plan.settings import Settings
from epsigma.registry.figures import (
    BLIND_FILTERS,
    BOUNDED,
    BOUNDED_FILTERS,
    DETECTORS,
    DISTANCES,
    FILTERS,
    SMOOTHING,
    TRACED,
    FigureKind,
)
from epsigma.study.references import find_attack_kind


class DrawingRecipes(ProbeRecipes):
    """The recipes of the rules that draw, each a method that takes a job's wildcards."""

    @of("attack")
    def draw_attack(self, attack: str) -> Recipe:
        """Of the figures of an attack on a model."""
        figures = figures_of("attack", FILTERS, BLIND_FILTERS, DISTANCES, early=False)
        always = figures_of("attack", early=False)
        return self._draw({**always, **figures}, **self._about_attack(attack))

    @of("attack")
    def draw_spectrum(self, attack: str) -> Recipe:
        """Of the figure of an attack's spectra."""
        return self._draw_first(figures_of("attack", early=True), attack)

    @of("attack")
    def draw_convergence(self, attack: str) -> Recipe:
        """Of the figure of how an attack converges."""
        return self._draw(figures_of("attack", TRACED), **self._about_attack(attack))

    @of("attack")
    def draw_filters(self, attack: str) -> Recipe:
        """Of the figures of each filter against an attack."""
        return self._draw(figures_of("filter", early=False), **self._about_attack(attack))

    @of("attack")
    def draw_galleries(self, attack: str) -> Recipe:
        """Of the galleries of each filter against an attack."""
        return self._draw_first(figures_of("filter", early=True), attack)

    def draw_model(self) -> Recipe:
        """Of the figures of a model."""
        study = self._study
        norms = {one.name: find_attack_kind(study, one).norm for one in study.attacks}
        return self._draw(figures_of("model", BOUNDED, BOUNDED_FILTERS), norms=norms)

    def draw_detectors(self) -> Recipe:
        """Of the figures of a model with detectors."""
        return self._draw(figures_of("model", DETECTORS), seed=self._study.seeds[0])

    def draw_smoothed(self) -> Recipe:
        """Of the figures of a model of which the vote over noise is certified."""
        return self._draw(figures_of("model", SMOOTHING), norms={})

    def draw_dataset(self) -> Recipe:
        """Of the figures of a data set."""
        return self._draw(figures_of("dataset"))

    def _about_attack(self, attack: str) -> Settings:
        entry = find_attack_kind(self._study, self._study.find("attacks", attack))
        return {"norms": {attack: entry.norm}, "family": entry.family}

    def _draw_first(self, figures: Mapping[str, FigureKind], attack: str) -> Recipe:
        """Of figures that show the first seed alone."""
        return self._draw(figures, seed=self._study.seeds[0], **self._about_attack(attack))

    def _look(self) -> Settings:
        """Say how figures look; which of them are made is the rules' business."""
        look = self._study.figures.model_dump()
        del look["kinds"]
        return look

    def _draw(self, figures: Mapping[str, FigureKind], **about: Any) -> Recipe:
        told = draw_settings(figures, names=names_of(self._study), look=self._look(), **about)
        return make_recipe(told, *draw_modules(figures))
