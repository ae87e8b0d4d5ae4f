"""Stage probe_fooling: whether more iterations make more fooling images."""

from typing import Any

from epsigma.attacks.fitting import fit_attacked_batches
from epsigma.attacks.fooling_set import fooling_rows, make_fooling_set
from epsigma.cell import Level
from epsigma.defence import build_target
from epsigma.device import CPU
from epsigma.job import Job
from epsigma.models.classifier import load_classifier, most_probable, predict
from epsigma.probing.attacks import Successes, count_successes, try_longer
from epsigma.randomness import seeded_generator
from epsigma.storage.files import write_json
from epsigma.storage.images import read_classes
from epsigma.storage.stored import count_kept, open_clean


def probe_fooling(job: Job, *, test: str, checkpoint: str, facts: str) -> None:
    """Make fooling images as long as the study does, and twice as long.

    JSON: `n`, `budget` and what `try_longer` returns. The errors are the shares that are
    taken for their class with the confidence; the sizes are null. The job's settings are those of
    the stage `attack` at a budget in the middle of the grid, and `swept`, `spends` and `traced`.
    """
    with job.logged():
        stored, classes = open_clean(test, CPU).images, read_classes(test)
        clean = stored[: count_kept(stored.shape)]
        settings, how = job.settings, job.settings["attack"]
        rows = fooling_rows(classes, how["images"], CPU)
        generator = seeded_generator(job, CPU, "attack")
        classifier = load_classifier(checkpoint, settings["model"], CPU)
        model = build_target(settings, classifier, generator)
        parameters, swept = how["parameters"], settings["swept"]

        def run(**changed: Any) -> Successes:
            made, measures = make_fooling_set(how, generator, model, clean, rows, **changed)
            prediction, probability = most_probable(predict(model, made))
            accepted = (prediction == rows.targets) & (probability >= parameters[swept])
            return count_successes(accepted, measures["l2"])

        with fit_attacked_batches(job, model, clean, rows.labels, generator):
            _, longer = try_longer(run, parameters, settings["spends"], settings["traced"])
        found = {
            "cell": job.cell,
            "n": len(rows.index),
            "budget": str(Level(swept, parameters[swept])),
        }
        write_json(facts, found | longer)
