"""Stage spectrum: where images and perturbations have their energy, and what filters pass."""

from collections.abc import Sequence

from epsigma.device import CPU
from epsigma.job import Job
from epsigma.probing.spectra import image_curve, response_curves, write_spectra
from epsigma.storage.images import read_clean, read_image_set


def make_spectrum(job: Job, *, test: str, adversarial: Sequence[str], spectrum: str) -> None:
    """Write the amplitude spectra of images and perturbations, and the filters' responses.

    CSV, see `write_spectra`: the curves `images`, `perturbation` (its level is the budget) and
    `filter` (its level is the strength). The job's settings are the `budgets` (as paths spell them)
    of the sets, and the `filters`, as `response_curves` takes them.
    """
    with job.logged():
        clean = read_clean(test, CPU).images
        curves = [image_curve("images", "", clean)]
        for budget, path in zip(job.settings["budgets"], adversarial, strict=True):
            made = read_image_set(path, CPU)
            rows = slice(len(made.images)) if made.rows is None else made.rows["index"]
            curves.append(image_curve("perturbation", budget, made.images.sub_(clean[rows])))
        write_spectra(spectrum, [*curves, *response_curves(job.settings["filters"])])
