"""What jobs ask for: memory, and whether they want a GPU."""

from typing import Any

from epsigma.plan.inputs import is_attacked_when_scored, is_filtered_when_scored
from epsigma.study.schema import Study
from epsigma.vocabulary import MEMORY_MB, PROCESS_MB


class Resources:
    """The resources of a study's jobs, each a function of a job's wildcards."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def gpu(self, wildcards: Any) -> int:
        """GPUs of a job that trains, attacks or filters."""
        return 1 if self._study.device == "cuda" else 0

    def gpu_to_score(self, wildcards: Any) -> int:
        """GPUs of a job that scores, on the CPU, what may have yet to be made on a GPU."""
        is_ready = not (
            is_filtered_when_scored(self._study, wildcards)
            or is_attacked_when_scored(self._study, wildcards)
        )
        return 0 if is_ready else self.gpu(wildcards)

    def mem_mb(self, wildcards: Any, attempt: int) -> int:
        """MB of a job that works on images batch by batch; more when it is tried again."""
        return (PROCESS_MB + (self._study.memory_mb or MEMORY_MB)) * attempt
