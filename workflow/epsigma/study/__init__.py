"""The configuration, as typed objects: what a study consists of, checked, defaults filled in.

Imports neither torch nor numpy.
"""

from epsigma.study.faults import LONGEST, ConfigurationError
from epsigma.study.reading import RESERVED, check_keys, typed, validate
from epsigma.study.schema import Study, expand

__all__ = [
    "LONGEST",
    "RESERVED",
    "ConfigurationError",
    "Study",
    "check_keys",
    "expand",
    "typed",
    "validate",
]
