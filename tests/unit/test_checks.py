import inspect
import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from epsigma.checks import attacks, detectors, filters, models, proofs, strength
from epsigma.checks.evidence import Evidence, curves
from epsigma.checks.remedies import add_remedy
from epsigma.checks.verdict import (
    SUBJECT,
    VERDICTS,
    Verdict,
    concerns,
    leave_out,
    name_verdict,
    spell_strength,
    tabulate_verdicts,
)
from epsigma.loading import load
from epsigma.probing.models import compare_with_chance, examine_model
from epsigma.registry.checks import CHECKS, CheckKind
from epsigma.stages.check import check
from epsigma.stages.gate import gate
from epsigma.storage.files import write_json
from epsigma.tables.reading import read_table
from epsigma.vocabulary import AWARE, BLIND, is_white_box
from scipy.stats import binom

N = 1000
BUDGETS = [0, 0.1, 0.2]
# Family and norm.
ATTACKS = {
    "fgsm": ("single_step", "linf"),
    "pgd": ("iterative", "linf"),
    "pgd_l2": ("iterative", "l2"),
    "square": ("gradient_free", "linf"),
    "sign_noise": ("noise", "linf"),
    "transfer": ("transfer", "linf"),
    "carlini_wagner": ("iterative", None),
    "fooling": ("fooling", None),
}
MINIMISES = {"carlini_wagner": "l2"}
# How to differentiate through it, whether it draws, its strength's name.
FILTERS = {
    "gaussian": ("exact", False, "sigma"),
    "median": ("bpda", False, "size"),
    "noise": ("exact", True, "std"),
    # One that changes nothing, for its detectors.
    "watched": ("exact", False, None),
}
STRENGTHS = {
    **{"none": "fixed", "gaussian": "sigma~1", "median": "size~1", "noise": "std~1"},
    "watched": "fixed",
}
DETECTORS = {"watched": ["sharp", "dull"]}
RATE = 0.01


def curves_of(attack):
    """The curves of an attack: threat and filter."""
    yield BLIND, "none"
    for name in FILTERS:
        yield BLIND, name
        if ATTACKS[attack][0] not in ("noise", "transfer"):
            yield AWARE, name


def where(threat, attack, name, budget):
    strength_name = FILTERS[name][2] if name in FILTERS else None
    return {
        "dataset": "digits",
        "model": "mlp",
        "seed": 0,
        "threat": threat,
        "attack": attack,
        "budget_name": "eps",
        "budget": budget,
        "filter": name,
        "strength_name": strength_name,
        "strength": 1 if strength_name else None,
    }


def pair(place, against, only_this=300, only_other=100, largest_change=5.0, largest_margin=10.0):
    discordant = only_this + only_other
    return {
        **place,
        "against": against,
        "n": N,
        "only_this": only_this,
        "only_other": only_other,
        "largest_change": largest_change,
        "largest_margin": largest_margin,
        "difference": (only_this - only_other) / N,
        "p_value": min(1, 2 * binom.cdf(min(only_this, only_other), discordant, 0.5)),
    }


def comparisons(threat, attack, name, budget):
    """What a cell is compared with, by what `epsigma.tables.paired` would say."""
    family = ATTACKS[attack][0]
    if name != "none":
        yield "none", {}
    if threat == AWARE:
        yield "blind", {}
    if budget == 0:
        # A random filter draws anew.
        yield "clean", {"largest_change": 5.0 if name == "noise" else 0.0}
    elif name not in DETECTORS or budget > BUDGETS[1]:
        # What a detector rejects is wrong at a budget of 0.
        yield "smaller_budget", {}
    if attack == "pgd" and (threat == AWARE or name == "none"):
        yield from (("single_step", {}), ("transfer", {}), ("noise", {}))
    if family == "transfer":
        yield "noise", {}


def cell(threat, attack, name, budget):
    """A row of `cells.csv`: on the sphere of its budget, as far as float32 goes."""
    return {
        **where(threat, attack, name, budget),
        "n": N,
        "attack_success": 1.0,
        "linf_max": float(np.float32(budget)),
        "l2_max": float(np.float32(budget)) * (1 + 1e-6),
        "outside_max": 0.0,
        "changed_max": 0.0,
        "confidence": 0.9,
        "n_fooled_unrounded": 0 if budget == 0 else 900,
        "n_lost": 0 if budget == 0 else 9,
        "stored_as": "uint8",
        # Proofs are of attackers who know the filter, and of some attacks.
        "n_refuted": 0 if attack == "pgd" and is_white_box(threat, name) else np.nan,
    }


def proved():
    """`proofs.csv`: of each defended model that proofs know, at each budget."""
    places = [where(AWARE, "pgd", name, budget) for name in FILTERS for budget in BUDGETS]
    return pd.DataFrame(places).drop(columns=["threat", "attack"]).assign(n_contradicted=0)


def smoothed():
    """`smoothed.csv`: of each budget a row without an attack, and two of attacks."""
    counts = {"n_held": 400.0, "n_fooled": 60.0, "fooled_at_most": 60.5, "p_value": 0.3}
    known = [
        {**where(threat, "pgd_l2", "noise", budget), "radius": budget, **counts}
        for threat in (BLIND, AWARE)
        for budget in BUDGETS
    ]
    nothing = dict.fromkeys(("threat", "attack", *counts), np.nan)
    rows = [{**row, **more} for row in known for more in ({}, nothing)]
    return pd.DataFrame(rows).drop(columns=["budget", "budget_name"])


@cache
def sound():
    """What the checks see of a study in which nothing is wrong; nobody changes it."""
    places = [
        (threat, attack, name, budget)
        for attack in ATTACKS
        for threat, name in curves_of(attack)
        for budget in BUDGETS
    ]
    paired = [
        pair(where(*place), against, **counts)
        for place in places
        for against, counts in comparisons(*place)
    ]
    worst_case = [
        {**where(threat, "", name, budget), "norm": "linf", "n": N, "gradient_free_only": 5}
        for threat, name in (*curves_of("fgsm"), (AWARE, "none"))
        for budget in BUDGETS
    ]
    model = {"dataset": "digits", "model": "mlp", "seed": 0}
    return Evidence(
        {
            "cells": pd.DataFrame([cell(*place) for place in places]),
            "paired": pd.DataFrame(paired),
            "worst_case": pd.DataFrame(worst_case)
            .drop(columns="attack")
            .astype({"gradient_free_only": "Int64"}),
            "detection": pd.DataFrame(
                [
                    {**where(*place), "n": N, "detected": 0.5}
                    for place in places
                    if place[2] in DETECTORS
                ]
            ),
            "detectors": pd.DataFrame(
                [
                    {
                        **where(*place),
                        "detector": detector,
                        "n_clean": N,
                        "false_positive": 0.012,
                        "false_positive_low": 0.007,
                    }
                    for place in places
                    for detector in DETECTORS.get(place[2], ())
                ]
            ),
            "smoothed": smoothed(),
            "proofs": proved(),
        },
        {
            name: {
                "family": family,
                "norm": norm,
                "minimises": MINIMISES.get(name),
                "spends": None if family in ("noise", "transfer") else "steps",
            }
            for name, (family, norm) in ATTACKS.items()
        },
        {
            name: {
                "kind": "identity" if name == "watched" else name,
                "gradient": gradient,
                "random": random,
                "detectors": DETECTORS.get(name, []),
                "learnt": False,
            }
            for name, (gradient, random, _) in FILTERS.items()
        },
        {detector: RATE for some in DETECTORS.values() for detector in some},
        stored_as="uint8",
        model_probes=[
            {
                "cell": model,
                "n": N,
                "n_correct": 950,
                "majority": 0.11,
                "n_by_chance": 100.0,
                "deviations_above_chance": 89.0,
                "most_deviations": 94.0,
                "largest_logit": 10.0,
                "probability_like": 0.0,
                "training_modules": 0,
                "repeat_error": 0.0,
                "batch_error": 1e-6,
            }
        ],
        filter_probes=[
            {
                "cell": {"dataset": "digits", "filter": name, "strength": strength},
                "changed": 0.0 if name in ("none", "watched") else 0.5,
                "defined_change": 0.0 if name in ("none", "watched") else 0.5,
                "formula_error": 0.01 if name == "noise" else 1e-7,
                "standard_error": 0.005 if name == "noise" else 0.0,
                "deviation": 0.1 if name == "noise" else 0.0,
                "measured_deviation": 0.101 if name == "noise" else 0.0,
                "response_error": 1e-7 if name == "gaussian" else None,
                "all_pass_error": None if name in ("none", "watched") else 1e-6,
            }
            for name, strength in STRENGTHS.items()
        ],
        attack_probes=[
            {
                "cell": {
                    **model,
                    "threat": threat,
                    "attack": attack,
                    "filter": name,
                    "strength": STRENGTHS[name],
                },
                "n": N,
                "majority": 0.1,
                **found,
                **(BY_IDENTITY | BY_DRAWS if threat == AWARE and "n_fooled" in found else {}),
            }
            for attack, found in PROBED.items()
            for threat, name in curves_of(attack)
            if threat == AWARE or name == "none"
        ],
    )


TRIED = {
    "budget": "eps~0.1",
    "spends": "steps",
    "tried": [20, 40],
    "errors": [0.9, 0.905],
    "sizes": [1.0, 0.99],
}
LOSSES = {"steps": list(range(1, 21)), "losses": [0, 3, 5, 6, *[7.0] * 16]}


def unbounded(accuracy):
    """What an attack without bounds leaves right."""
    return {"unbounded_accuracy": accuracy, "n_unbounded": round(N * accuracy)}


def half_range(accuracy):
    """What an attack at half of the range leaves right."""
    return {"half_accuracy": accuracy, "n_half": round(N * accuracy)}


HELD = {"n_fooled": 900, "n_fooled_by_auto_pgd": 905}
BY_IDENTITY = {"n_fooled_by_identity": 890}
BY_DRAWS = {"n_fooled_by_draws": 910, "draws": [10, 20]}
PROBED = {
    "fgsm": {"lost_gradients": 0.005},
    "pgd": {
        **unbounded(0.005),
        **half_range(0.1),
        "lost_gradients": 0.0,
        **TRIED,
        **LOSSES,
        **HELD,
    },
    "carlini_wagner": {**unbounded(0.0), **TRIED, **LOSSES},
    "pgd_l2": {**unbounded(0.0), "lost_gradients": 0.0, **TRIED, **HELD},
    "square": {**TRIED, "spends": "queries"},
}


# --- Planting faults


def rows(table, **conditions):
    chosen = pd.Series(True, table.index)
    for column, value in conditions.items():
        chosen &= table[column] == value
    assert chosen.any()
    return chosen


def in_facts(part, changes, **cell):
    """Change what a probe found of what a cell names."""

    def plant(evidence):
        facts = getattr(evidence, part)
        mine = [found for found in facts if cell.items() <= found["cell"].items()]
        assert mine
        return replace(
            evidence,
            **{part: [{**found, **changes} if found in mine else found for found in facts]},
        )

    return plant


def with_tables(evidence, **tables):
    """Put other tables in the place of some."""
    return replace(evidence, tables={**evidence.tables, **tables})


def in_table(part, changes, **conditions):
    """Change columns of the rows that are under such conditions."""

    def plant(evidence):
        table = evidence.tables[part].copy()
        table.loc[rows(table, **conditions), list(changes)] = list(changes.values())
        return with_tables(evidence, **{part: table})

    return plant


def in_pairs(changes, **conditions):
    """Make pairs of cells come out otherwise."""
    changed = {key: value for key, value in pair({}, "", **changes).items() if key != "against"}
    if "only_this" not in changes:
        changed = changes
    return in_table("paired", changed, **conditions)


def never_aware(name):
    """Forget everything that an aware attacker did to a filter."""

    def plant(evidence):
        kept = {}
        for part in ("cells", "paired", "worst_case"):
            table = evidence.tables[part]
            kept[part] = table[~rows(table, filter=name, threat=AWARE)]
        probes = [found for found in evidence.attack_probes if found["cell"]["filter"] != name]
        return replace(with_tables(evidence, **kept), attack_probes=probes)

    return plant


def without(part, **conditions):
    """Forget rows of a table."""

    def plant(evidence):
        table = evidence.tables[part]
        return with_tables(evidence, **{part: table[~rows(table, **conditions)]})

    return plant


def missed(share, **conditions):
    """Let a gradient-free attack find what others missed."""
    return in_table("worst_case", {"gradient_free_only": round(share * N)}, **conditions)


def first_by_square(n, **conditions):
    """Let PGD be an ensemble, of which Square is the first to fool some examples."""

    def plant(evidence):
        cells = evidence.tables["cells"]
        found = in_table("cells", {"n_fooled_by_square": n}, attack="pgd", **conditions)
        parts = {**evidence.attacks["pgd"], "gradient_free_parts": ["square"]}
        return replace(
            found(with_tables(evidence, cells=cells.assign(n_fooled_by_square=float("nan")))),
            attacks={**evidence.attacks, "pgd": parts},
        )

    return plant


# Worse beyond chance.
BELOW = {"only_this": 10, "only_other": 40}
BARE = {"threat": BLIND, "filter": "none"}
KNOWN = {"threat": AWARE, "filter": "gaussian"}
UNKNOWN = {"threat": BLIND, "filter": "gaussian"}
WATCHED = {"threat": AWARE, "filter": "watched"}

FAULTS = [
    # The model.
    (
        "softmax instead of logits",
        in_facts("model_probes", {"probability_like": 1.0}),
        ("logits", "fail"),
        {"model": "mlp", "seed": 0},
    ),
    (
        "a module in training mode",
        in_facts("model_probes", {"training_modules": 1}),
        ("eval_mode", "fail"),
        {"model": "mlp"},
    ),
    (
        "other logits when asked again",
        in_facts("model_probes", {"repeat_error": 0.2}),
        ("deterministic", "fail"),
        {"model": "mlp"},
    ),
    (
        "other logits in another batch",
        in_facts("model_probes", {"batch_error": 0.2}),
        ("deterministic", "fail"),
        {"model": "mlp"},
    ),
    (
        "shuffled labels",
        in_facts("model_probes", {"n_correct": 112, "deviations_above_chance": 1.3}),
        ("above_chance", "fail"),
        {"model": "mlp"},
    ),
    (
        "lost gradients",
        in_facts("attack_probes", {"lost_gradients": 0.3}, attack="fgsm", **BARE),
        ("gradients", "warn"),
        {"attack": "fgsm", **BARE, "strength": "fixed"},
    ),
    (
        "gradients lost in a filter",
        in_facts("attack_probes", {"lost_gradients": 1.0}, attack="pgd", **KNOWN),
        ("gradients", "warn"),
        {"attack": "pgd", **KNOWN, "strength": "sigma~1"},
    ),
    # The filters.
    (
        "a filter that is not its formula",
        in_facts("filter_probes", {"formula_error": 1e-3}, filter="gaussian"),
        ("formula", "fail"),
        {"dataset": "digits", "filter": "gaussian", "strength": "sigma~1"},
    ),
    (
        "noise with a mean",
        in_facts("filter_probes", {"formula_error": 0.04}, filter="noise"),
        ("formula", "fail"),
        {"filter": "noise"},
    ),
    (
        "noise of another deviation",
        in_facts("filter_probes", {"measured_deviation": 0.12}, filter="noise"),
        ("deviation", "fail"),
        {"filter": "noise", "strength": "std~1"},
    ),
    (
        "another frequency response",
        in_facts("filter_probes", {"response_error": 1e-3}, filter="gaussian"),
        ("response", "fail"),
        {"filter": "gaussian"},
    ),
    (
        "a filter that does nothing",
        in_facts("filter_probes", {"changed": 0.0}, filter="median"),
        ("changes_pixels", "fail"),
        {"filter": "median"},
    ),
    (
        "no filter that does something",
        in_facts("filter_probes", {"changed": 1e-7}, filter="none"),
        ("changes_pixels", "fail"),
        {"filter": "none", "strength": "fixed"},
    ),
    (
        "a filter for its detectors alone that does something",
        in_facts("filter_probes", {"changed": 1e-7}, filter="watched"),
        ("changes_pixels", "fail"),
        {"filter": "watched", "strength": "fixed"},
    ),
    (
        "a filter that stops something of everything",
        in_facts("filter_probes", {"all_pass_error": 1e-3}, filter="gaussian"),
        ("all_pass", "fail"),
        {"filter": "gaussian"},
    ),
    (
        "a filter that was not applied",
        in_pairs({"largest_change": 0.0}, against="none", attack="pgd", **UNKNOWN),
        ("filter_applied", "fail"),
        {"attack": "pgd", **UNKNOWN, "strength": "sigma~1"},
    ),
    (
        "a non-differentiable filter that nobody attacks",
        never_aware("median"),
        ("attacked_aware", "fail"),
        {"filter": "median"},
    ),
    (
        "a random filter that nobody attacks",
        never_aware("noise"),
        ("attacked_aware", "fail"),
        {"filter": "noise"},
    ),
    (
        "a differentiable filter that nobody attacks",
        never_aware("gaussian"),
        ("attacked_aware", "warn"),
        {"filter": "gaussian"},
    ),
    # The detectors.
    (
        "detected and corrected that are not told apart",
        without("detection"),
        ("scored_apart", "fail"),
        {"filter": "watched"},
    ),
    (
        "a detector without an ROC",
        without("detectors", detector="dull"),
        ("scored_apart", "fail"),
        {"filter": "watched"},
    ),
    (
        "a detector that rejects more clean images than it was to",
        in_table(
            "detectors",
            {"false_positive": 0.03, "false_positive_low": 0.021},
            detector="dull",
        ),
        ("false_positives", "warn"),
        {"dataset": "digits", "model": "mlp", "seed": 0, "filter": "watched"},
    ),
    (
        "a detector behind which an attack without bounds still leaves much",
        in_facts("attack_probes", unbounded(0.2), attack="pgd", **WATCHED),
        ("unbounded", "warn"),
        {"attack": "pgd", **WATCHED, "strength": "fixed"},
    ),
    # The proofs.
    (
        "an image that is proved safe and fooled",
        in_table("proofs", {"n_contradicted": 1}, budget=0.1, filter="gaussian"),
        ("proofs_hold", "fail"),
        {"filter": "gaussian", "strength": "sigma~1"},
    ),
    (
        "a counterexample that the model classifies correctly",
        in_table("cells", {"n_refuted": 2}, budget=0.1, attack="pgd", **KNOWN),
        ("counterexamples", "fail"),
        {"attack": "pgd", **KNOWN, "strength": "sigma~1"},
    ),
    (
        "more draws fooled than certified radii allow",
        in_table("smoothed", {"p_value": 2e-4}, radius=0.1, threat=AWARE, attack="pgd_l2"),
        ("smoothing_holds", "fail"),
        {"attack": "pgd_l2", "threat": AWARE, "filter": "noise", "strength": "std~1"},
    ),
    # The attacks.
    (
        "a perturbation outside the linf ball",
        in_table("cells", {"linf_max": 0.2001}, budget=0.2, attack="pgd", **BARE),
        ("in_ball", "fail"),
        {"attack": "pgd", **BARE},
    ),
    (
        "a perturbation outside the l2 ball",
        in_table("cells", {"l2_max": 0.2001}, budget=0.2, attack="pgd_l2", **KNOWN),
        ("in_ball", "fail"),
        {"attack": "pgd_l2", **KNOWN, "strength": "sigma~1"},
    ),
    (
        "images that are not clipped",
        in_table("cells", {"outside_max": 0.05}, budget=0.1, attack="sign_noise", **BARE),
        ("in_range", "fail"),
        {"attack": "sign_noise", **BARE},
    ),
    (
        "a set of another type than the study's",
        in_table("cells", {"stored_as": "float16"}, budget=0.1, attack="pgd", **BARE),
        ("stored", "fail"),
        {"attack": "pgd", **BARE},
    ),
    (
        "rounding that undoes what an attack did",
        in_table("cells", {"n_lost": 100}, budget=0.2, attack="pgd", **KNOWN),
        ("stored", "warn"),
        {"attack": "pgd", **KNOWN, "strength": "sigma~1"},
    ),
    (
        "an attack without a budget that is none",
        in_pairs({"largest_change": 0.01}, against="clean", attack="square", **KNOWN),
        ("clean_at_zero", "fail"),
        {"attack": "square", **KNOWN},
    ),
    (
        "accuracy that rises under PGD",
        in_pairs(BELOW, against="smaller_budget", budget=0.2, attack="pgd", **BARE),
        ("monotone", "fail"),
        {"attack": "pgd", **BARE},
    ),
    (
        "accuracy that rises under PGD through the filter",
        in_pairs(BELOW, against="smaller_budget", budget=0.1, attack="pgd_l2", **KNOWN),
        ("monotone", "fail"),
        {"attack": "pgd_l2", **KNOWN},
    ),
    (
        "accuracy that rises under a PGD that does not know the filter",
        in_pairs(BELOW, against="smaller_budget", budget=0.2, attack="pgd", **UNKNOWN),
        ("monotone", "warn"),
        {"attack": "pgd", **UNKNOWN},
    ),
    (
        "accuracy that rises under FGSM",
        in_pairs(BELOW, against="smaller_budget", budget=0.2, attack="fgsm", **BARE),
        ("monotone", "warn"),
        {"attack": "fgsm", **BARE},
    ),
    (
        "steps that are worth less than one",
        in_pairs(BELOW, against="single_step", budget=0.1, attack="pgd", **KNOWN),
        ("iterative", "fail"),
        {"attack": "pgd", **KNOWN},
    ),
    (
        "another model that is worth more than this one",
        in_pairs(BELOW, against="transfer", budget=0.1, attack="pgd", **BARE),
        ("above_transfer", "fail"),
        {"attack": "pgd", **BARE},
    ),
    (
        "noise that is worth more than the gradient",
        in_pairs(BELOW, against="noise", budget=0.2, attack="pgd", **BARE),
        ("above_noise", "fail"),
        {"attack": "pgd", **BARE},
    ),
    (
        "noise that is worth more than a transfer",
        in_pairs(BELOW, against="noise", budget=0.2, attack="transfer", **UNKNOWN),
        ("above_noise", "warn"),
        {"attack": "transfer", **UNKNOWN},
    ),
    (
        "an attacker whom knowledge makes weaker",
        in_pairs(BELOW, against="blind", budget=0.2, attack="pgd", **KNOWN),
        ("aware", "fail"),
        {"attack": "pgd", **KNOWN, "strength": "sigma~1"},
    ),
    (
        "a search whom knowledge makes weaker",
        in_pairs(BELOW, against="blind", attack="square", threat=AWARE, filter="median"),
        ("aware", "fail"),
        {"attack": "square", "threat": AWARE, "filter": "median"},
    ),
    (
        "a gradient whom knowledge of a random filter makes weaker",
        in_pairs(BELOW, against="blind", attack="fgsm", threat=AWARE, filter="noise"),
        ("aware", "fail"),
        {"attack": "fgsm", "threat": AWARE, "filter": "noise"},
    ),
    (
        "a search whom knowledge of a random filter makes weaker",
        in_pairs(BELOW, against="blind", attack="square", threat=AWARE, filter="noise"),
        ("aware", "warn"),
        {"attack": "square", "threat": AWARE, "filter": "noise"},
    ),
    (
        "something right that could be anything",
        in_facts("attack_probes", unbounded(0.05), attack="pgd_l2", **BARE),
        ("unbounded", "fail"),
        {"attack": "pgd_l2", **BARE},
    ),
    (
        "more right than chance that could be grey",
        in_facts("attack_probes", half_range(0.15), attack="pgd", **KNOWN),
        ("half_range", "fail"),
        {"attack": "pgd", **KNOWN},
    ),
    (
        "an attack that has not converged",
        in_facts("attack_probes", {"errors": [0.7, 0.75]}, attack="square", **BARE),
        ("converged", "warn"),
        {"attack": "square", **BARE, "strength": "fixed"},
    ),
    (
        "an ascent that is far from its end",
        in_facts("attack_probes", {"errors": [0.7, 0.75]}, attack="pgd", **BARE),
        ("converged", "fail"),
        {"attack": "pgd", **BARE, "strength": "fixed"},
    ),
    (
        "an ascent that gains more than a point, and less than chance",
        in_facts("attack_probes", {"errors": [0.7, 0.715]}, attack="pgd", **BARE),
        ("converged", "warn"),
        {"attack": "pgd", **BARE},
    ),
    (
        "an ascent that Auto-PGD beats beyond chance",
        in_facts("attack_probes", {"n_fooled_by_auto_pgd": 925}, attack="pgd", **KNOWN),
        ("auto_pgd", "fail"),
        {"attack": "pgd", **KNOWN, "strength": "sigma~1"},
    ),
    (
        "an attacker whom the gradient of the identity beats beyond chance",
        in_facts("attack_probes", {"n_fooled_by_identity": 925}, attack="pgd", **KNOWN),
        ("surrogate", "fail"),
        {"attack": "pgd", **KNOWN, "strength": "sigma~1"},
    ),
    (
        "an attacker who fools more by twice the draws, beyond chance",
        in_facts(
            "attack_probes",
            {"n_fooled_by_draws": 925, "draws": [10, 20]},
            attack="pgd",
            **KNOWN,
        ),
        ("draws", "fail"),
        {"attack": "pgd", **KNOWN, "strength": "sigma~1"},
    ),
    (
        "a search whose perturbations still get smaller",
        in_facts("attack_probes", {"sizes": [1.0, 0.9]}, attack="carlini_wagner", **BARE),
        ("converged_size", "warn"),
        {"attack": "carlini_wagner", **BARE},
    ),
    (
        "a search that does not fool everything",
        in_facts("attack_probes", unbounded(0.05), attack="carlini_wagner", **BARE),
        ("unbounded", "fail"),
        {"attack": "carlini_wagner", **BARE},
    ),
    (
        "fooling images that are not accepted",
        in_table("cells", {"attack_success": 0.9}, budget=0.1, attack="fooling", **BARE),
        ("accepted", "warn"),
        {"attack": "fooling", **BARE},
    ),
    (
        "a loss that still rises",
        in_facts("attack_probes", {"losses": list(range(20))}, attack="pgd", **BARE),
        ("levelled", "warn"),
        {"attack": "pgd", **BARE},
    ),
    (
        "an attack that does worse for longer",
        in_facts("attack_probes", {"errors": [0.7, 0.65]}, attack="pgd", **BARE),
        ("converged", "warn"),
        {"attack": "pgd", **BARE},
    ),
    (
        "examples that only a search fools",
        missed(0.006, budget=0.1, **KNOWN),
        ("gradient_free", "warn"),
        {**KNOWN, "strength": "sigma~1"},
    ),
    (
        "examples that only a search fools, beyond chance",
        missed(0.02, budget=0.1, **KNOWN),
        ("gradient_free", "fail"),
        {**KNOWN, "strength": "sigma~1"},
    ),
    (
        "examples that only a search in an ensemble fools",
        first_by_square(6, budget=0.1, **KNOWN),
        ("gradient_free", "warn"),
        {"attack": "pgd", **KNOWN, "strength": "sigma~1"},
    ),
    (
        "examples that only a search in an ensemble fools, beyond chance",
        first_by_square(20, budget=0.1, **KNOWN),
        ("gradient_free", "fail"),
        {"attack": "pgd", **KNOWN, "strength": "sigma~1"},
    ),
    (
        "examples that only a search fools through a filter that nobody knows",
        missed(0.02, budget=0.1, **UNKNOWN),
        ("gradient_free", "warn"),
        {**UNKNOWN, "strength": "sigma~1"},
    ),
    (
        "examples that only a search fools, by the luck of a draw",
        missed(0.02, budget=0.1, threat=AWARE, filter="noise"),
        ("gradient_free", "warn"),
        {"threat": AWARE, "filter": "noise", "strength": "std~1"},
    ),
]


FUNCTIONS = {name: load(check.implementation) for name, check in CHECKS.items()}


def run_checks(evidence):
    return [verdict for function in FUNCTIONS.values() for verdict in function(evidence)]


def complaints(evidence):
    return [verdict for verdict in run_checks(evidence) if verdict.verdict != "pass"]


def test_nothing_is_wrong_with_a_sound_study_and_every_check_says_so():
    found = run_checks(sound())
    assert {verdict.verdict for verdict in found} == {"pass"}
    # Each of the verdicts that a planted fault turns is there.
    planted = {check for _, _, (check, _), _ in FAULTS}
    assert {verdict.check for verdict in found} == planted
    # A check is named as its verdicts are.
    for name, function in FUNCTIONS.items():
        assert {verdict.check for verdict in function(sound())} == {name}


@pytest.mark.parametrize(
    ("plant", "expected", "subject"),
    [pytest.param(*fault, id=name) for name, *fault in FAULTS],
)
def test_a_planted_fault_is_found_by_its_check_and_by_no_other(plant, expected, subject):
    evidence = plant(sound())
    (verdict,) = complaints(evidence)
    assert (verdict.check, verdict.verdict) == expected
    assert {name: verdict.subject[name] for name in subject} == subject
    assert verdict.sentence


def test_every_public_function_of_the_checks_is_registered_once():
    public = {
        function
        for module in (models, filters, detectors, attacks, strength, proofs)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert set(FUNCTIONS.values()) == public
    assert len(FUNCTIONS) == len(public)


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(
            # Of three budgets one is as improbable by chance.
            in_table("smoothed", {"p_value": 4e-4}, radius=0.1, threat=AWARE),
            id="an unlikely draw of several",
        ),
        pytest.param(
            in_table("cells", {"linf_max": 0.2000005}, attack="pgd", budget=0.2), id="rounding"
        ),
        pytest.param(in_table("cells", {"linf_max": 1.0}, attack="pgd_l2"), id="another norm"),
        pytest.param(
            in_table("cells", {"budget": 20.0, "l2_max": 20.0001}, attack="pgd_l2", budget=0.2),
            id="rounding of a long perturbation",
        ),
        pytest.param(
            in_table("cells", {"outside_max": 5e-7}, attack="pgd"), id="rounding of the range"
        ),
        pytest.param(
            in_facts("model_probes", {"probability_like": 0.9}), id="most logits look like softmax"
        ),
        pytest.param(
            in_facts("model_probes", {"n_correct": 120, "deviations_above_chance": 2.1}),
            id="a poor model",
        ),
        pytest.param(
            in_facts("attack_probes", half_range(0.115), attack="pgd", **BARE),
            id="chance, as far as these examples tell",
        ),
        pytest.param(
            in_pairs({"largest_change": 0.0}, against="none", budget=0.1, attack="pgd", **KNOWN),
            id="a filter that changes nothing at one budget",
        ),
        pytest.param(missed(0.005, **KNOWN), id="few examples that only a search fools"),
        pytest.param(
            in_facts("attack_probes", half_range(1.0), attack="pgd", **WATCHED),
            id="grey images that a detector rejects",
        ),
        pytest.param(
            in_pairs({"largest_change": 0.0}, against="none", **WATCHED),
            id="a filter for its detectors alone that changes nothing",
        ),
        pytest.param(
            in_table("detectors", {"false_positive": 0.03, "false_positive_low": 0.019}),
            id="twice as many false positives as asked for, as far as these examples tell",
        ),
    ],
)
def test_what_a_sound_study_may_have_is_no_fault(plant):
    assert complaints(plant(sound())) == []


# --- A study that is correct, and unusual


class Answers(torch.nn.Module):
    """A model that has an answer to each image, which shows its number."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, images):
        return self.logits[images[:, 0, 0, 0].long()]


def model_of(labels, prediction, scale=10.0, **errors):
    """What a probe finds of a model that gives such answers, with logits as large."""
    logits = scale * torch.eye(int(max(*labels, *prediction)) + 1)[list(prediction)]
    found = examine_model(Answers(logits).eval(), *as_images(labels))
    return in_facts("model_probes", {**found, **errors})


def as_images(labels):
    return torch.arange(len(labels)).float()[:, None, None, None], torch.tensor(list(labels))


def tiny(n, **found):
    """What a probe of PGD finds on a few images."""
    sound = {**unbounded(0.0), **half_range(0.0), "errors": [1.0, 1.0], "lost_gradients": 0.0}
    all_fooled = {"n": n, "n_fooled": n, "n_fooled_by_auto_pgd": n}
    return in_facts("attack_probes", {**sound, **all_fooled, **found}, attack="pgd", **BARE)


def weak(**found):
    """A filter that by its definition, too, does nothing."""
    weaker = in_facts("filter_probes", {"changed": 3e-6, **found}, filter="gaussian")
    unmoved = in_pairs({"largest_change": 0.0}, against="none", attack="fgsm", **UNKNOWN)
    return lambda evidence: unmoved(weaker(evidence))


def large(change):
    """Logits in the thousands, which a GPU rounds otherwise."""
    return in_pairs(
        {"largest_change": change, "largest_margin": 4000.0},
        against="clean",
        attack="fgsm",
        **BARE,
    )


def aiming(**found):
    plant = in_facts("attack_probes", found, attack="pgd", **BARE)

    def aim(evidence):
        aims = {**evidence.attacks["pgd"], "targeted": True}
        return plant(replace(evidence, attacks={**evidence.attacks, "pgd": aims}))

    return aim


def half(majority, n_half):
    return {"majority": majority, "n_half": n_half, "half_accuracy": n_half / 60}


def searched(n, alone):
    return in_table("worst_case", {"n": n, "gradient_free_only": alone}, budget=0.1, **KNOWN)


RARE = [0] * 57 + [1] * 3
DRAWS_ANEW = {"deterministic": "fail"}
BOTH_WARN = {"changes_pixels": "warn", "filter_applied": "warn"}
BOTH_FAIL = {"changes_pixels": "fail", "filter_applied": "fail"}
THIRTY = [label for label in range(30) for _ in range(8)]
UNUSUAL = [
    ("57 to 3, all right", model_of(RARE, RARE), {}),
    ("57 to 3, one class named always", model_of(RARE, [0] * 60), {"above_chance": "fail"}),
    (
        "57 to 3, rare ones found, others taken for rare",
        model_of(RARE, [0] * 50 + [1] * 10),
        {"above_chance": "warn"},
    ),
    ("two classes", model_of([0, 1] * 30, [0, 1] * 29 + [1, 0]), {}),
    ("30 classes of 8", model_of(THIRTY, THIRTY[:120] + THIRTY[:120]), {}),
    ("30 classes at chance", model_of(THIRTY, [*range(30)] * 8), {"above_chance": "fail"}),
    ("1 image, right", model_of([0], [0]), {"above_chance": "warn"}),
    ("1 image, wrong", model_of([0], [1]), {"above_chance": "warn"}),
    ("images of one class", model_of([2] * 9, [2] * 9), {"above_chance": "warn"}),
    ("4 images", model_of([0, 0, 1, 1], [0, 0, 1, 1]), {"above_chance": "warn"}),
    ("logits in the thousands", model_of(RARE, RARE, 5000.0, batch_error=0.01), {}),
    ("16 bits", model_of(RARE, RARE, batch_error=0.04), {"deterministic": "warn"}),
    ("logits near 0 that wobble", model_of(RARE, RARE, 1e-3, repeat_error=1e-4), DRAWS_ANEW),
    ("57 to 3, grey is frequent", tiny(60, majority=0.95, half_accuracy=0.95, n_half=57), {}),
    ("a tenth more than the frequent class", tiny(60, **half(0.8, 58)), {"half_range": "fail"}),
    ("aims, and is not at grey", aiming(half_accuracy=0.9, n_half=900), {}),
    ("aims at what the model never names", aiming(**unbounded(0.5)), {"unbounded": "warn"}),
    (
        "1 image that resists",
        tiny(1, unbounded_accuracy=1.0, n_unbounded=1, majority=1.0, half_accuracy=1.0, n_half=1),
        {"unbounded": "warn"},
    ),
    (
        "1 image that Auto-PGD fools",
        tiny(1, n_fooled=0, n_fooled_by_auto_pgd=1),
        {"auto_pgd": "warn"},
    ),
    (
        "20 images, 6 of which Auto-PGD fools",
        tiny(20, n_fooled=2, n_fooled_by_auto_pgd=9),
        {"auto_pgd": "fail"},
    ),
    ("1 image that takes longer", tiny(1, errors=[0.0, 1.0]), {"converged": "warn"}),
    ("20 images, 8 take longer", tiny(20, errors=[0.0, 0.4]), {"converged": "fail"}),
    ("1 of 30 without a gradient", tiny(30, lost_gradients=1 / 30), {}),
    ("2 of 30 without one", tiny(30, lost_gradients=2 / 30), {"gradients": "warn"}),
    ("1 of 40 that a search fools", searched(40, 1), {"gradient_free": "warn"}),
    ("a search that an ensemble does not need", first_by_square(5, **KNOWN), {}),
    ("a search through what an ensemble does not know", first_by_square(99, **UNKNOWN), {}),
    ("a σ that does nothing", weak(defined_change=3e-6), BOTH_WARN),
    ("a σ that should do something", weak(defined_change=0.1), BOTH_FAIL),
    ("margins of 4,000, rounded", large(0.02), {}),
    ("margins of 4,000, attacked", large(0.1), {"clean_at_zero": "fail"}),
]


@pytest.mark.parametrize(
    ("plant", "expected"), [pytest.param(*study, id=name) for name, *study in UNUSUAL]
)
def test_a_correct_study_that_is_unusual_fails_no_check_and_a_wrong_one_still_does(plant, expected):
    # Of those that read tables only, which take their time, the one that may complain.
    evidence = plant(sound())
    asked = {name for name in FUNCTIONS if CHECKS[name].needs} - {"filter_applied"}
    asked |= {"clean_at_zero", *expected}
    found = [verdict for name in asked for verdict in FUNCTIONS[name](evidence)]
    complained = {one.check: one.verdict for one in found if one.verdict != "pass"}
    assert complained == expected


# --- Attacks that count features, have no ball, or make images of their own


def only(attack, **about):
    """A study of one attack, of which more or something else is known."""
    evidence = sound()
    known = {**evidence.attacks, attack: {**evidence.attacks[attack], **about}}
    kept = {
        name: table[table["attack"] == attack]
        for name, table in evidence.tables.items()
        if name in ("cells", "paired")
    }
    probes = [found for found in evidence.attack_probes if found["cell"]["attack"] == attack]
    return replace(with_tables(evidence, **kept), attacks=known, attack_probes=probes)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        (0.2, "pass"),
        # The next number of features, of 784.
        (0.2 + 1 / 784, "fail"),
        (float(np.float32(0.2)), "pass"),
    ],
)
def test_an_attack_that_counts_features_changes_no_more_than_its_share(changed, verdict):
    plant = in_table("cells", {"changed_max": changed}, attack="pgd", budget=0.2, **BARE)
    # As far as it goes in the other norms does not matter.
    plant_norms = in_table("cells", {"linf_max": 1.0, "l2_max": 9.0}, attack="pgd")
    evidence = plant_norms(plant(only("pgd", norm="l0", minimises="l0")))
    found = {
        (verdict.subject["threat"], verdict.subject["filter"]): verdict
        for verdict in attacks.in_ball(evidence)
    }
    assert found.pop((BLIND, "none")).verdict == verdict
    assert {one.verdict for one in found.values()} == {"pass"}


def test_what_nothing_bounds_is_in_no_ball_but_in_the_pixel_range():
    for family in ("iterative", "fooling"):
        evidence = only("carlini_wagner", family=family)
        evidence = in_table("cells", {"outside_max": 0.1}, filter="none")(evidence)
        assert list(attacks.in_ball(evidence)) == []
        found = list(attacks.in_range(evidence))
        failed = [verdict.subject["filter"] for verdict in found if verdict.verdict == "fail"]
        assert failed == ["none"]


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"norm": "linf"}, "fail"),
        ({"norm": "l0"}, "fail"),
        # A larger margin is another question: it need not be as often.
        ({"norm": None}, "warn"),
        ({"norm": "linf", "family": "single_step"}, "warn"),
    ],
    ids=str,
)
def test_only_what_climbs_in_a_ball_must_gain_by_a_larger_one(about, expected):
    plant = in_pairs(BELOW, against="smaller_budget", budget=0.2, attack="pgd", **BARE)
    evidence = plant(only("pgd", **about))
    (verdict,) = [found for found in attacks.monotone(evidence) if found.verdict != "pass"]
    assert verdict.verdict == expected


@pytest.mark.parametrize(
    ("losses", "share", "verdict"),
    [
        ([0, 5, 9, *[10] * 17], 0, "pass"),
        # A tenth of twenty steps are two.
        ([*range(20)], 2 / 19, "warn"),
        ([0, *[19] * 17, 19.5, 20], 1 / 20, "pass"),
        ([0, *[18.9] * 17, 19.5, 20], 1.1 / 20, "warn"),
        # Of two steps, the second is the last tenth.
        ([0, 1], 1, "warn"),
        # There is no telling of a single step, nor of a loss that never rises.
        ([3], 0, "pass"),
        ([3, 3, 3], 0, "pass"),
        ([3, 2, 1], 0, "pass"),
        # It falls at last: no longer rising.
        ([0, 10, 9], -0.1, "pass"),
    ],
)
def test_a_loss_has_levelled_off_if_little_of_its_rise_is_in_the_last_tenth(losses, share, verdict):
    plant = in_facts("attack_probes", {"losses": losses}, attack="pgd", **BARE)
    evidence = plant(only("pgd"))
    (found,) = [one for one in strength.levelled(evidence) if one.subject["threat"] == BLIND]
    assert found.figure == pytest.approx(share)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    "about",
    [{"norm": None}, {"family": "fooling", "norm": None}, {"family": "gradient_free"}],
    ids=str,
)
def test_a_loss_that_starts_over_or_is_not_climbed_need_not_level_off(about):
    plant = in_facts("attack_probes", {"losses": [0, 1, 2]}, attack="pgd")
    assert list(strength.levelled(plant(only("pgd")))) != []
    assert list(strength.levelled(plant(only("pgd", **about)))) == []


@pytest.mark.parametrize(
    ("attack", "minimises", "name", "expected"),
    [
        ("square", "linf", "median", "warn"),
        ("square", "linf", "gaussian", "fail"),
        ("square", None, "median", "fail"),
        ("pgd", "linf", "median", "fail"),
    ],
)
def test_a_walk_along_the_boundary_may_be_weaker_where_it_has_steps(
    attack, minimises, name, expected
):
    plant = in_pairs(BELOW, against="blind", attack=attack, threat=AWARE, filter=name)
    evidence = plant(only(attack, minimises=minimises))
    found = {verdict.subject["filter"]: verdict.verdict for verdict in attacks.aware(evidence)}
    assert found.pop(name) == expected
    assert set(found.values()) == {"pass"}


@pytest.mark.parametrize(
    ("minimises", "sizes", "verdicts_found"),
    [
        ("l2", [1.0, 0.985], ["pass"]),
        ("l2", [1.0, 0.97], ["warn"]),
        # Longer is longer only by chance.
        ("l2", [1.0, 1.1], ["pass"]),
        # Where nothing was reached there is no length.
        ("l2", [None, 1.0], []),
        ("l2", [None, None], []),
        ("l0", [1.0, 0.5], []),
        (None, [1.0, 0.5], []),
    ],
)
def test_only_of_what_shortens_the_length_is_asked_whether_it_got_shorter(
    minimises, sizes, verdicts_found
):
    plant = in_facts("attack_probes", {"sizes": sizes}, attack="carlini_wagner", **BARE)
    evidence = plant(only("carlini_wagner", minimises=minimises))
    found = [one for one in strength.converged_size(evidence) if one.subject["threat"] == BLIND]
    assert [one.verdict for one in found] == verdicts_found


@pytest.mark.parametrize(
    ("attack", "learnt", "verdict"),
    [
        ("fgsm", True, "warn"),
        ("fgsm", False, "fail"),
        ("pgd", True, "fail"),
        ("pgd", False, "fail"),
    ],
)
def test_only_a_single_step_through_an_autoencoder_may_do_worse_than_who_does_not_know_it(
    attack, learnt, verdict
):
    evidence = sound()
    known = {**evidence.filters, "gaussian": {**evidence.filters["gaussian"], "learnt": learnt}}
    weaker = in_pairs(BELOW, against="blind", attack=attack, **KNOWN)
    found = attacks.aware(weaker(replace(evidence, filters=known)))
    assert {
        one.verdict
        for one in found
        if one.subject["attack"] == attack and one.subject["filter"] == "gaussian"
    } == {verdict}


@pytest.mark.parametrize("once", [0.3, 0.62, 0.95, 0.96])
def test_a_gain_of_a_point_is_a_point_however_its_bounds_are_rounded(once):
    for gained, expected in ((0.01, "pass"), (0.0101, "warn")):
        errors = [once, round(once + gained, 4)]
        evidence = in_facts("attack_probes", {"errors": errors}, attack="pgd", **BARE)(only("pgd"))
        found = [one for one in strength.converged(evidence) if one.subject["threat"] == BLIND]
        assert [one.verdict for one in found] == [expected]


@pytest.mark.parametrize(
    ("fooled", "by_auto_pgd", "verdict"),
    [(900, 917, "pass"), (900, 919, "fail"), (1000, 1000, "pass"), (900, 700, "pass")],
)
def test_auto_pgd_may_leave_less_within_the_interval_only(fooled, by_auto_pgd, verdict):
    found = {"n_fooled": fooled, "n_fooled_by_auto_pgd": by_auto_pgd}
    evidence = in_facts("attack_probes", found, attack="pgd", **BARE)(only("pgd"))
    found = [one for one in strength.auto_pgd(evidence) if one.subject["threat"] == BLIND]
    assert [one.verdict for one in found] == [verdict]
    # What to do stands where there is something to do.
    told = ["loss: margin" in add_remedy(one).sentence for one in found]
    assert told == [verdict == "fail"]


def test_auto_pgd_is_held_against_the_strongest_attack_of_a_ball():
    weak = {"n_fooled": 500, "n_fooled_by_auto_pgd": 905}
    evidence = sound()
    (other,) = [
        one
        for one in evidence.attack_probes
        if (one["cell"]["attack"], one["cell"]["threat"]) == ("pgd", BLIND)
    ]
    second = {**other, "cell": {**other["cell"], "attack": "mifgsm"}, **weak}
    both = replace(
        evidence,
        attacks={**evidence.attacks, "mifgsm": evidence.attacks["pgd"]},
        attack_probes=[other, second],
    )
    (verdict,) = strength.auto_pgd(both)
    assert (verdict.verdict, verdict.subject["attack"]) == ("pass", "pgd")
    # An ensemble, of which only that is known, helps as well.
    ensemble = {name: value for name, value in other.items() if name != "n_fooled_by_auto_pgd"}
    (verdict,) = strength.auto_pgd(replace(both, attack_probes=[ensemble, second]))
    assert (verdict.verdict, verdict.subject["attack"]) == ("pass", "pgd")
    assert not list(strength.auto_pgd(replace(both, attack_probes=[ensemble])))
    # Alone, at another budget, or in another ball it has no help.
    for changed in (
        replace(both, attack_probes=[second]),
        replace(both, attack_probes=[{**other, "budget": "eps~0.2"}, second]),
        replace(both, attacks={**both.attacks, "pgd": evidence.attacks["pgd_l2"]}),
    ):
        failed = [one for one in strength.auto_pgd(changed) if one.verdict == "fail"]
        assert [one.subject["attack"] for one in failed] == ["mifgsm"]


PAIRED = ["smaller_budget", "single_step", "transfer", "noise", "blind"]


@pytest.mark.parametrize("against", PAIRED)
@pytest.mark.parametrize(
    ("only_this", "only_other"), [(45, 55), (0, 5), (0, 0), (300, 330), (6, 20)]
)
def test_a_difference_that_chance_explains_is_no_fault(against, only_this, only_other):
    plant = in_pairs({"only_this": only_this, "only_other": only_other}, against=against)
    assert complaints(plant(sound())) == []


def test_no_fault_is_found_where_chance_alone_decides():
    generator = np.random.default_rng(0)
    evidence = sound()
    fair = []
    for row in evidence.tables["paired"].to_dict("records"):
        if row["against"] in PAIRED:
            discordant = int(generator.integers(1, 400))
            more = int(generator.binomial(discordant, 0.5))
            row = pair(row, row["against"], more, discordant - more, row["largest_change"])
        fair.append(row)
    paired = pd.DataFrame(fair)
    evidence = with_tables(evidence, paired=paired)
    # Some are further from 0 than 95 % would be.
    unlikely = (paired["difference"] < 0) & (paired["p_value"] < 0.05)
    assert unlikely.any()
    assert complaints(evidence) == []


def with_twin(evidence, **found):
    """Add an attack that is PGD by the gradient of the identity, which a probe has asked."""
    twin = {**evidence.attacks["pgd"], "gradient": "identity"}
    probes = [
        {**one, "cell": {**one["cell"], "attack": "twin"}, **found}
        for one in evidence.attack_probes
        if one["cell"]["attack"] == "pgd" and "n_fooled_by_identity" in one
    ]
    facts = {**evidence.attacks, "twin": twin}
    return replace(evidence, attacks=facts, attack_probes=[*evidence.attack_probes, *probes])


def test_an_attack_by_the_gradient_of_the_identity_answers_for_one_whose_own_is_masked():
    masked = in_facts("attack_probes", {"n_fooled_by_identity": 925}, attack="pgd", **KNOWN)(
        sound()
    )
    assert [one.check for one in complaints(masked)] == ["surrogate"]
    parts = ("n_fooled", "n_fooled_by_identity", "cell", "n", "budget")
    lean = [{name: one[name] for name in parts if name in one} for one in masked.attack_probes]
    evidence = with_twin(replace(masked, attack_probes=lean), n_fooled=925)
    assert {one.verdict for one in strength.surrogate(evidence)} == {"pass"}


def test_an_attack_by_the_gradient_of_the_identity_may_be_the_weaker_one():
    evidence = in_pairs(BELOW, against="single_step", budget=0.1, attack="pgd", **KNOWN)(sound())
    assert [one.verdict for one in complaints(evidence)] == ["fail"]
    twin = {**evidence.attacks["pgd"], "gradient": "identity"}
    evidence = replace(evidence, attacks={**evidence.attacks, "pgd": twin})
    assert [one.verdict for one in complaints(evidence)] == ["warn"]


@pytest.mark.parametrize(("lost", "verdict"), [(29, "fail"), (30, "warn")])
@pytest.mark.parametrize("against", ["single_step", "noise", "blind"])
def test_what_rounding_may_have_undone_is_no_failure(against, lost, verdict):
    here = {"budget": 0.1, "attack": "pgd", **KNOWN}
    evidence = in_pairs(BELOW, against=against, **here)(sound())
    evidence = in_table("cells", {"n_lost": lost}, **here)(evidence)
    (found,) = complaints(evidence)
    assert found.verdict == verdict
    assert ("Rounding to uint8 undid as many" in found.sentence) == (verdict == "warn")


@pytest.mark.parametrize(("budgets", "found"), [([0.2], ["monotone"]), ([0.1, 0.2], [])])
def test_of_more_budgets_one_must_be_less_likely_by_chance(budgets, found):
    # 9 against 31: p = 0.0007, below 0.001 but not below half of it.
    curve = {"against": "smaller_budget", "attack": "pgd", **BARE}
    evidence = in_pairs({"only_this": 9, "only_other": 31}, budget=0.2, **curve)(sound())
    table = evidence.tables["paired"]
    table = table[~rows(table, **curve) | table["budget"].isin(budgets)]
    assert [verdict.check for verdict in complaints(with_tables(evidence, paired=table))] == found


def test_each_seed_is_judged_by_itself():
    evidence = sound()
    both = {
        name: pd.concat([table, table.assign(seed=3)], ignore_index=True)
        for name, table in evidence.tables.items()
    }
    plant = in_pairs(BELOW, against="blind", budget=0.1, attack="pgd", seed=3, **KNOWN)
    (verdict,) = complaints(plant(with_tables(evidence, **both)))
    assert verdict.subject["seed"] == 3


def test_a_random_filter_is_not_held_to_the_clean_images_example_by_example():
    found = [verdict.subject for verdict in run_checks(sound()) if verdict.check == "clean_at_zero"]
    assert {subject["filter"] for subject in found} == {"none", "gaussian", "median", "watched"}


def test_the_sentence_of_a_weaker_attacker_says_by_how_much_where_and_how_often():
    plant = in_pairs(BELOW, against="blind", budget=0.2, attack="pgd", **KNOWN)
    (verdict,) = complaints(plant(sound()))
    assert verdict.sentence == (
        "Aware against blind, on the same images: the smallest difference of error rates is "
        "-3.00 points (at eps = 0.2); 1 of 3 comparisons are below 0 beyond chance."
    )
    assert verdict.figure == -0.03


def test_the_smallest_difference_is_told_of_a_budget_at_which_something_is_attacked():
    alike = {"only_this": 0, "only_other": 0}
    plant = in_pairs(alike, against="blind", budget=0, attack="pgd", **KNOWN)
    found = [
        verdict
        for verdict in run_checks(plant(sound()))
        if verdict.check == "aware"
        and (verdict.subject["attack"], verdict.subject["filter"]) == ("pgd", "gaussian")
    ]
    assert len(found) == 1
    assert "eps = 0)" not in found[0].sentence


def test_the_sentence_of_convergence_says_of_which_images_its_rates_are():
    found = [verdict for verdict in run_checks(sound()) if verdict.check == "converged"]
    assert found
    for verdict in found:
        assert "images are misclassified (those that are wrong when clean among them)" in (
            verdict.sentence
        )


def test_the_sentence_of_an_attacked_filter_says_how():
    found = {
        verdict.subject["filter"]: verdict.sentence
        for verdict in run_checks(sound())
        if verdict.check == "attacked_aware"
    }
    assert found == {
        "gaussian": "6 attacks know the filter.",
        "median": "6 attacks know the filter through BPDA.",
        "noise": "6 attacks know the filter through EOT.",
        "watched": "6 attacks know the filter.",
    }


# --- A check that is added


def never_all(evidence):
    """Something is left of each class, however strong the attack."""
    for subject, curve in curves(evidence.tables["classes"]):
        least = float(curve["accuracy"].min())
        yield Verdict("never_all", subject, "pass" if least > 0 else "fail", least, 0, "Least.")


def test_a_check_is_a_function_of_the_evidence_and_an_entry(tmp_path, make_job):
    """It may read every table that is made of ledgers, whatever other checks read."""
    table = pd.DataFrame([{**where(BLIND, "pgd", "none", 0.1), "label": 3, "accuracy": 0.0}])
    every = {**CHECKS, "never_all": CheckKind(f"{__name__}:never_all")}
    found = stage(with_tables(sound(), classes=table), tmp_path, make_job, every)
    assert found["check"].tolist()[0] == "never_all"
    assert found.loc[0, ["verdict", "attack", "filter", "strength"]].tolist() == [
        *("fail", "pgd", "none", "fixed")
    ]
    assert set(found["verdict"][1:]) == {"pass"}


def test_a_verdict_is_of_a_cell_but_for_its_budget():
    assert SUBJECT == ("dataset", "model", "seed", "threat", "attack", "filter", "strength")


# --- The table


COLUMNS = ["check", *SUBJECT, "verdict", "figure", "threshold", "sentence"]


def verdict(check, judgement, **subject):
    return Verdict(check, subject, judgement, 0.5, 0.1, f"{check} is {judgement}.")


def test_failures_come_first_and_what_is_judged_alike_keeps_its_order():
    found = [
        verdict("a", "pass", seed=0),
        verdict("b", "warn"),
        verdict("c", "fail", filter="gaussian", strength="sigma~1"),
        verdict("d", "pass"),
        verdict("e", "fail", dataset="digits", model="mlp", seed=3),
    ]
    table = tabulate_verdicts(found)
    assert list(table.columns) == COLUMNS
    assert table["check"].tolist() == ["c", "e", "b", "a", "d"]
    assert table["verdict"].tolist() == ["fail", "fail", "warn", "pass", "pass"]
    assert table["seed"].dropna().tolist() == [3, 0]
    assert table["strength"].dropna().tolist() == ["sigma~1"]


def stage(evidence, tmp_path, make_job, checks=CHECKS, left_out=()):
    """Write down what is known of a study, let the stage judge it, and read what it says."""
    inputs = {"tables": []}
    for name, table in evidence.tables.items():
        inputs["tables"].append(str(tmp_path / f"{name}.csv"))
        table.to_csv(inputs["tables"][-1], index=False)
    for name in ("model_probes", "filter_probes", "attack_probes"):
        inputs[name] = []
        for index, facts in enumerate(getattr(evidence, name)):
            # A probe writes its job's cell: wildcards, all of them text.
            facts = {**facts, "cell": {key: str(value) for key, value in facts["cell"].items()}}
            inputs[name].append(str(tmp_path / f"{name}{index}.json"))
            write_json(inputs[name][-1], facts)
    path = str(tmp_path / "checks.csv")
    known = ("attacks", "filters", "rates", "stored_as")
    settings = {name: getattr(evidence, name) for name in known}
    settings["checks"] = {name: one.implementation for name, one in checks.items()}
    settings["left_out"] = list(left_out)
    check(make_job(settings), **inputs, checks=path, page=f"{path}.html")
    return read_table(path)


def test_the_stage_judges_what_the_files_say(tmp_path, make_job):
    evidence = sound()
    for plant in (
        in_facts("model_probes", {"probability_like": 1.0}),
        in_pairs(BELOW, against="blind", budget=0.2, attack="pgd", **KNOWN),
        in_facts("attack_probes", {"errors": [0.7, 0.75]}, attack="square", **BARE),
    ):
        evidence = plant(evidence)
    table = stage(evidence, tmp_path, make_job)
    assert list(table.columns) == COLUMNS
    assert table["check"].tolist()[:3] == ["logits", "aware", "converged"]
    assert table["verdict"].tolist()[:3] == ["fail", "fail", "warn"]
    assert set(table["verdict"][3:]) == {"pass"}
    assert len(table) == len(run_checks(evidence))
    # Without a seed, empty; with one, the number that the tables have.
    assert set(table[table["check"] == "formula"]["seed"].isna()) == {True}
    assert set(table[table["check"] == "logits"]["seed"]) == {0}
    assert concerns(evidence.tables["cells"], table).all()


def test_what_a_study_leaves_out_is_named_last_and_judged_by_nobody(tmp_path, make_job):
    few = {"logits": CHECKS["logits"]}
    left_out = [name for name in CHECKS if name not in few]
    table = stage(sound(), tmp_path, make_job, few, left_out)
    assert table["check"].tolist() == ["logits", *left_out]
    assert table["verdict"].tolist() == ["pass", *["not judged"] * len(left_out)]
    assert table["threshold"].isna().tolist() == [False, *[True] * len(left_out)]
    assert "Verdicts" in (tmp_path / "checks.csv.html").read_text(encoding="utf-8")
    assert not concerns(sound().tables["cells"], table).any()
    # Nothing at all may be asked for.
    assert set(stage(sound(), tmp_path, make_job, {}, CHECKS)["verdict"]) == {"not judged"}


def test_the_gate_says_what_was_not_judged(tmp_path, make_job):
    text = tmp_path / "verdict.txt"
    found = (*FOUND[2:], leave_out("auto_pgd"), leave_out("levelled"))
    gate(make_job({"strict": True}), checks=judged(tmp_path, *found), verdict=str(text))
    assert text.read_text(encoding="utf-8") == (
        "2 checks: 1 pass, 1 warn, 0 fail; not judged, as `checks` asks: auto_pgd, levelled\n"
    )


@pytest.mark.parametrize(
    ("prediction", "labels"),
    [([0, 0, 1, 1, 2], [0, 1, 1, 2, 2]), ([0, 0, 0, 1], [0, 1, 0, 0]), ([3, 3, 3], [0, 1, 3])],
)
def test_chance_is_the_mean_over_all_orders_of_the_labels(prediction, labels):
    right = [
        sum(one == other for one, other in zip(prediction, order, strict=True))
        for order in itertools.permutations(labels)
    ]
    mean, deviations = compare_with_chance(torch.tensor(prediction), torch.tensor(labels))
    assert mean == pytest.approx(np.mean(right))
    # The first order is the labels' own.
    spread = np.std(right)
    expected = (right[0] - np.mean(right)) / spread if spread else 0
    assert deviations == pytest.approx(expected)


# --- The gate


def judged(tmp_path, *found):
    path = tmp_path / "checks.csv"
    tabulate_verdicts(found).to_csv(path, index=False)
    return str(path)


FOUND = (
    verdict("monotone", "fail", dataset="digits", model="mlp", seed=0, attack="pgd"),
    verdict("formula", "fail", dataset="digits", filter="gaussian", strength="sigma~1"),
    verdict("converged", "warn", attack="pgd"),
    verdict("logits", "pass", model="mlp", seed=0),
)


def test_a_strict_study_with_a_failure_ends_with_an_error_that_names_it_and_the_remedy(
    tmp_path, make_job
):
    path, text = judged(tmp_path, *FOUND), tmp_path / "verdict.txt"
    with pytest.raises(ValueError, match="4 checks: 1 pass, 1 warn, 2 fail") as raised:
        gate(make_job({"strict": True}), checks=path, verdict=str(text))
    _, *failures, remedy = str(raised.value).splitlines()
    assert failures == [
        "  monotone (digits mlp 0 pgd): monotone is fail.",
        "  formula (digits gaussian sigma~1): formula is fail.",
    ]
    assert path in remedy
    assert "strict: false" in remedy
    assert not text.exists()


@pytest.mark.parametrize(
    ("strict", "found", "first", "failures"),
    [
        (False, FOUND, "4 checks: 1 pass, 1 warn, 2 fail", 2),
        (True, FOUND[2:], "2 checks: 1 pass, 1 warn, 0 fail", 0),
        (True, FOUND[3:], "1 checks: 1 pass, 0 warn, 0 fail", 0),
    ],
)
def test_a_study_without_failures_or_not_strict_ends_with_its_verdict(
    tmp_path, make_job, strict, found, first, failures
):
    text = tmp_path / "verdict.txt"
    gate(make_job({"strict": strict}), checks=judged(tmp_path, *found), verdict=str(text))
    head, *rest = text.read_text(encoding="utf-8").splitlines()
    assert head == first
    assert len(rest) == failures


def test_a_check_is_named_by_what_it_looked_at():
    table = tabulate_verdicts(FOUND)
    assert name_verdict(table.iloc[0]) == "monotone (digits mlp 0 pgd)"


# --- Doubt


CELLS = pd.DataFrame(
    [
        where(threat, attack, name, 0.1) | {"seed": seed, "strength": strength}
        for seed in (0, 3)
        for attack in ("fgsm", "pgd")
        for threat, name, strength in (
            (BLIND, "none", None),
            (BLIND, "gaussian", 1),
            (BLIND, "gaussian", 1.5),
            (AWARE, "gaussian", 1.5),
        )
    ]
)


@pytest.mark.parametrize(
    ("subject", "doubted"),
    [
        ({}, "1111 1111  1111 1111"),
        ({"dataset": "digits", "model": "mlp", "seed": 3}, "0000 0000  1111 1111"),
        ({"dataset": "mnist"}, "0000 0000  0000 0000"),
        ({"attack": "pgd"}, "0000 1111  0000 1111"),
        ({"filter": "gaussian"}, "0111 0111  0111 0111"),
        ({"filter": "none", "strength": "fixed"}, "1000 1000  1000 1000"),
        ({"dataset": "digits", "filter": "gaussian", "strength": "sigma~1.5"}, "0011 " * 4),
        ({"filter": "gaussian", "strength": "sigma~2"}, "0000 " * 4),
        ({"filter": "gaussian", "strength": "cutoff~1"}, "0000 " * 4),
        (
            {"seed": 0, "threat": AWARE, "attack": "pgd", "filter": "gaussian"},
            "0000 0001  0000 0000",
        ),
    ],
)
def test_a_failure_casts_doubt_on_the_rows_that_it_is_about_and_on_no_others(
    tmp_path, subject, doubted
):
    # Read back, as the stage that draws does.
    checks = read_table(judged(tmp_path, verdict("a", "fail", **subject), verdict("b", "pass")))
    expected = [bit == "1" for bit in doubted.replace(" ", "")]
    shuffled = CELLS.sample(frac=1, random_state=0)
    assert concerns(CELLS, checks).tolist() == expected
    assert concerns(shuffled, checks)[CELLS.index].tolist() == expected


@pytest.mark.parametrize("judgement", VERDICTS)
def test_only_failures_cast_doubt(judgement):
    checks = tabulate_verdicts([verdict("a", judgement, attack="pgd")])
    assert concerns(CELLS, checks).any() == (judgement == "fail")


def test_doubts_add_up():
    checks = tabulate_verdicts([verdict("a", "fail", seed=0), verdict("b", "fail", attack="pgd")])
    expected = (CELLS["seed"] == 0) | (CELLS["attack"] == "pgd")
    assert concerns(CELLS, checks).tolist() == expected.tolist()


WORST = pd.DataFrame(
    [
        where(threat, "", name, 0.1) | {"norm": norm}
        for norm in ("linf", "l2")
        for threat, name in ((BLIND, "none"), (BLIND, "gaussian"), (AWARE, "gaussian"))
    ]
).drop(columns="attack")


@pytest.mark.parametrize(
    ("subject", "doubted"),
    [
        ({"attack": "pgd", "threat": AWARE, "filter": "gaussian"}, "001 000"),
        # An aware attacker may do what a blind one does.
        ({"attack": "pgd", "threat": BLIND, "filter": "gaussian"}, "011 000"),
        ({"attack": "pgd_l2", "threat": BLIND, "filter": "none"}, "000 100"),
        ({"filter": "gaussian"}, "011 011"),
        ({"model": "mlp", "seed": 0}, "111 111"),
    ],
)
def test_worst_cases_are_in_doubt_if_an_attack_is_that_they_are_over(subject, doubted):
    checks = tabulate_verdicts([verdict("a", "fail", **subject)])
    norms = {name: norm for name, (_, norm) in ATTACKS.items()}
    expected = [bit == "1" for bit in doubted.replace(" ", "")]
    assert concerns(WORST, checks, norms).tolist() == expected


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("sigma", 1.0, "sigma~1"),
        ("bits", 3, "bits~3"),
        ("cutoff", 0.05, "cutoff~0.05"),
        (None, None, "fixed"),
        (float("nan"), float("nan"), "fixed"),
    ],
)
def test_strengths_are_spelled_as_paths_spell_them(name, value, text):
    assert spell_strength(name, value) == text
