"""Stage spectrum_fooling: where fooling images have their energy, and what filters pass."""

from collections.abc import Sequence

from epsigma.device import CPU
from epsigma.job import Job
from epsigma.probing.spectra import image_curve, response_curves, transform, write_spectra
from epsigma.sizing import fit_batches
from epsigma.storage.stored import open_clean, open_image_set


def spectrum_fooling(job: Job, *, test: str, adversarial: Sequence[str], spectrum: str) -> None:
    """Write the amplitude spectra of images and of fooling images, and the filters' responses.

    As `make_spectrum` of the stage `spectrum` does, with `fooling` in place of `perturbation`.
    """
    with job.logged():
        clean = open_clean(test, CPU).images
        with fit_batches(job, clean, transform, CPU):
            curves = [image_curve("images", "", clean)]
            for budget, path in zip(job.settings["budgets"], adversarial, strict=True):
                curves.append(image_curve("fooling", budget, open_image_set(path, CPU).images))
        write_spectra(spectrum, [*curves, *response_curves(job.settings["filters"])])
