"""Stage configuration: what was run."""

import yaml

from epsigma.job import Job
from epsigma.storage.files import write_text


def write_configuration(job: Job, *, configuration: str) -> None:
    """Write the job's settings, the configuration that was run, defaults included, as YAML."""
    with job.logged():
        text = yaml.safe_dump(job.settings, sort_keys=False, allow_unicode=True)
        write_text(configuration, text)
