"""Stage spectrum: where images and perturbations have their energy, and what filters pass."""

from collections.abc import Sequence

from torch import Tensor

from epsigma.device import CPU
from epsigma.job import Job
from epsigma.probing.spectra import image_curve, response_curves, transform, write_spectra
from epsigma.sizing import fit_batches
from epsigma.storage.batches import Changed
from epsigma.storage.stored import EncodedImages, StoredImages, open_clean, open_image_set


def make_spectrum(job: Job, *, test: str, adversarial: Sequence[str], spectrum: str) -> None:
    """Write the amplitude spectra of images and perturbations, and the filters' responses.

    CSV, see `write_spectra`: the curves `images`, `perturbation` (its level is the budget) and
    `filter` (its level is the strength). The job's settings are the `budgets` (as paths spell them)
    of the sets, and the `filters`, as `response_curves` takes them.
    """
    with job.logged():
        clean = open_clean(test, CPU).images
        with fit_batches(job, clean, transform, CPU):
            curves = [image_curve("images", "", clean)]
            for budget, path in zip(job.settings["budgets"], adversarial, strict=True):
                curves.append(image_curve("perturbation", budget, _subtract(path, clean)))
        write_spectra(spectrum, [*curves, *response_curves(job.settings["filters"])])


def _subtract(path: str, clean: StoredImages | EncodedImages | Tensor) -> Changed:
    """Open the perturbations of an adversarial set."""
    made = open_image_set(path, CPU)

    def subtract(images: Tensor, at: slice | Tensor) -> Tensor:
        return images - clean[at if made.rows is None else made.rows["index"][at]]

    return Changed(made.images, subtract)
