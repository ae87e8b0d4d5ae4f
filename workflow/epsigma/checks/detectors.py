"""Checks of the detectors: scored apart from what they watch over, and not too loud."""

from collections.abc import Iterator

from epsigma.checks.evidence import Evidence
from epsigma.checks.verdict import WARN, Verdict, judged

# How many times the rate of false positives that was asked for a detector may have.
LOUD = 2.0


def scored_apart(evidence: Evidence) -> Iterator[Verdict]:
    """With detectors, detected and corrected are counted apart, and each has its ROC."""
    for name, about in evidence.filters.items():
        detectors = about.get("detectors")
        if not detectors:
            continue
        counted, drawn = (
            table[table["filter"] == name] if len(table) else table
            for table in (evidence.tables["detection"], evidence.tables["detectors"])
        )
        missing = [one for one in detectors if not len(drawn) or one not in set(drawn["detector"])]
        count, n_drawn = len(detectors), len(detectors) - len(missing)
        sentence = (
            f"In {len(counted)} cells detected and corrected are counted apart, and "
            f"{n_drawn} of {count} detectors have an ROC."
        )
        verdict = judged(bool(len(counted)) and not missing)
        yield Verdict("scored_apart", {"filter": name}, verdict, n_drawn, count, sentence)


def false_positives(evidence: Evidence) -> Iterator[Verdict]:
    """On clean test images a detector rejects about as many as on those its threshold is set by."""
    table = evidence.tables["detectors"]
    if not len(table):
        return
    names = ["dataset", "model", "seed", "filter", "detector"]
    for keys, rows in table.groupby(names, sort=False):
        *where, detector = keys
        first, asked = rows.iloc[0], evidence.rates[str(detector)]
        subject, rate = dict(zip(names, where, strict=False)), float(first["false_positive"])
        verdict = judged(first["false_positive_low"] <= LOUD * asked, WARN)
        sentence = (
            f"{detector} rejects {rate:.2%} of {first['n_clean']} clean test images; its threshold "
            f"was set for {asked:.2%}."
        )
        yield Verdict("false_positives", subject, verdict, rate, LOUD * asked, sentence)
