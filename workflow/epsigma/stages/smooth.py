"""Stage smooth: certify the majority vote over the noise of a filter, example by example."""

import torch
from torch import nn

from epsigma.device import resolve
from epsigma.filters.build import build_filter
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.proofs.network import UnprovableError
from epsigma.proofs.smoothing import certify_votes, know_nothing
from epsigma.randomness import seeded_generator
from epsigma.sizing import fit_batches
from epsigma.storage.files import write_json
from epsigma.storage.ledgers import write_ledger
from epsigma.storage.stored import open_clean


def smooth(job: Job, *, test: str, checkpoint: str, metrics: str, ledger: str) -> None:
    """Certify radii in ℓ2 of the smoothed classifier, around the first test images.

    Args:
        job: its settings are the `model`, the `filter`, and `smoothing`: the `samples`, the
            `selection` and `alpha` of `certify_votes`, and how many `examples`, None for all.
        test: the test images.
        checkpoint: of the classifier.
        metrics: JSON to write: `n_smoothed`, the examples; of these `n_abstained`, `n_correct`, of
            which the vote is certainly right, and the mean `radius`, with 0 for an error; and why
            nothing is certified (`refused`), or null.
        ledger: Parquet to write: the columns of `certify_votes`.
    """
    with job.logged() as log:
        device, asked = resolve(job.device), job.settings["smoothing"]
        how = {name: asked[name] for name in ("samples", "selection", "alpha")}
        clean = open_clean(test, device)
        images, labels = clean.images[: asked["examples"]], clean.labels[: asked["examples"]]
        classifier = load_classifier(checkpoint, job.settings["model"], device)
        generator = seeded_generator(job, device, "smoothing")
        module = build_filter(job.settings["filter"], generator)
        defended, refused = nn.Sequential(module, classifier), None
        try:
            with torch.no_grad(), fit_batches(job, images, defended, device, generator):
                columns = certify_votes(module, classifier, images, labels, **how)
        except UnprovableError as error:
            refused = str(error)
            columns = know_nothing(labels, asked["alpha"])
        right = ~columns["abstained"] & (columns["prediction"] == columns["label"])
        figures = {
            "n_smoothed": len(right),
            "n_abstained": int(columns["abstained"].sum()),
            "n_correct": int(right.sum()),
            "radius": float((columns["radius"] * right).mean()),
            "refused": refused,
        }
        write_ledger(ledger, columns, job.metadata)
        write_json(metrics, {**figures, "made_by": job.metadata})
        log.info("%s", figures)
