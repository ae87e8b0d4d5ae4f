"""Checks of the filters: that they are what their formula says, and are attacked."""

from collections.abc import Iterator

from epsigma.checks.evidence import Evidence
from epsigma.checks.verdict import FAIL, PASS, WARN, Verdict, at_most, judged
from epsigma.vocabulary import AWARE, NO_FILTER

EXACT = 1e-5
RESPONSE = 1e-4
# Of the standard deviation of a random filter, and in standard errors of its mean.
DEVIATION = 0.05
STANDARD_ERRORS = 6.0
# The kind of a filter that has detectors alone.
IDENTITY = "identity"


def formula(evidence: Evidence) -> Iterator[Verdict]:
    """An impulse and images come out of a filter as its definition says."""
    for found in evidence.filter_probes:
        worst = found["formula_error"]
        allowed = EXACT + STANDARD_ERRORS * found["standard_error"] + found.get("tolerance", 0.0)
        sentence = (
            "An impulse and test images differ from the filter's definition by at most "
            f"{worst:.2g}."
        )
        yield at_most("formula", found["cell"], worst, allowed, sentence)


def deviation(evidence: Evidence) -> Iterator[Verdict]:
    """A random filter has the standard deviation of its definition."""
    for found in evidence.filter_probes:
        if found["deviation"]:
            off = abs(found["measured_deviation"] / found["deviation"] - 1)
            sentence = (
                f"The draws have a standard deviation of {found['measured_deviation']:.4g}, by "
                f"definition it is {found['deviation']:.4g}."
            )
            yield at_most("deviation", found["cell"], off, DEVIATION, sentence)


def response(evidence: Evidence) -> Iterator[Verdict]:
    """The spectrum of a linear filter's impulse response is its frequency response."""
    for found in evidence.filter_probes:
        worst = found["response_error"]
        if worst is not None:
            sentence = (
                "Along an axis, the transform of the impulse response differs from the formula's "
                f"by at most {worst:.2g}."
            )
            yield at_most("response", found["cell"], worst, RESPONSE, sentence)


def _is_identity(evidence: Evidence, name: str) -> bool:
    """Whether a filter is to change nothing: there is none, or it is there for its detectors."""
    return name == NO_FILTER or evidence.filters.get(name, {}).get("kind") == IDENTITY


def changes_pixels(evidence: Evidence) -> Iterator[Verdict]:
    """A filter changes images, and `none` does not.

    One may be so weak, or images so plain, that by its definition, too, nothing changes.
    """
    for found in evidence.filter_probes:
        changed, otherwise = found["changed"], FAIL
        if _is_identity(evidence, found["cell"]["filter"]):
            holds, threshold, what = changed == 0, 0.0, "must not change any"
        else:
            holds, threshold, what = changed > EXACT, EXACT, "a filter must"
            if found["defined_change"] <= EXACT:
                otherwise, what = WARN, "by its definition it does nothing to them at this strength"
        sentence = f"Test images change by up to {changed:.2g} of the pixel range; {what}."
        verdict = judged(holds, otherwise)
        yield Verdict("changes_pixels", found["cell"], verdict, changed, threshold, sentence)


def all_pass(evidence: Evidence) -> Iterator[Verdict]:
    """A filter with its identity parameters changes nothing."""
    for found in evidence.filter_probes:
        error = found["all_pass_error"]
        if error is not None:
            sentence = (
                f"Set to pass everything, the filter changes test images by up to {error:.2g}."
            )
            yield at_most("all_pass", found["cell"], error, EXACT, sentence)


def filter_applied(evidence: Evidence) -> Iterator[Verdict]:
    """A cell was scored through its filter: its margins are not those without it.

    They may be where the filter, by its definition, does nothing to the test images.
    """
    idle = {
        tuple(found["cell"][name] for name in ("dataset", "filter", "strength"))
        for found in evidence.filter_probes
        if max(found["changed"], found["defined_change"]) <= EXACT
    }
    for subject, curve in evidence.compared_with(NO_FILTER):
        if _is_identity(evidence, subject["filter"]):
            continue
        most = float(curve["largest_change"].max())
        sentence = f"The filter moves the logit margin of an example by up to {most:.3g}."
        if not most > 0:
            sentence = "Every logit margin is the one without the filter: it was not applied."
        does_nothing = (subject["dataset"], subject["filter"], subject["strength"]) in idle
        verdict = judged(most > 0, WARN if does_nothing else FAIL)
        yield Verdict("filter_applied", subject, verdict, most, 0, sentence)


def attacked_aware(evidence: Evidence) -> Iterator[Verdict]:
    """A filter is attacked by one who knows it, and by the means that it calls for."""
    cells = evidence.tables["cells"]
    for name, about in evidence.filters.items():
        aware = cells[(cells["filter"] == name) & (cells["threat"] == AWARE)]
        needs = "EOT" if about["random"] else "BPDA" if about["gradient"] != "exact" else ""
        if len(aware):
            verdict, end = PASS, f" through {needs}" if needs else ""
            sentence = f"{aware['attack'].nunique()} attacks know the filter{end}."
        else:
            verdict = FAIL if needs else WARN
            sentence = "No attack of the study knows the filter: its figures are blind ones only."
        figure = float(aware["attack"].nunique())
        yield Verdict("attacked_aware", {"filter": name}, verdict, figure, 1, sentence)
