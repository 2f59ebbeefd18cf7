"""Places at which a test can kill the operator: before and after every kind of write.

Separate so that the executor names its places and knows nothing of how they are used. Without the environment variable
`TRAINYARD_FAILPOINT` (`<place>` or `<place>@<n>` for the n-th time it is passed) nothing ever happens at one.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable

logger = logging.getLogger(__name__)

VARIABLE = "TRAINYARD_FAILPOINT"
WRITES = ("pod-create", "status", "pod-release", "pod-delete", "event")
PLACES = tuple(f"{side}-{write}" for write in WRITES for side in ("before", "after"))
#: Those that only Datasets pass, and jobs that make one.
OF_DATASETS = tuple(
    f"{side}-{write}" for write in ("dataset-create", "annotate", "claim") for side in ("before", "after")
)
#: Those of the jobs and Experiments that Experiments and MLModels make.
OF_CHILDREN = tuple(
    f"{side}-{write}" for write in ("job-make", "job-patch", "job-remove") for side in ("before", "after")
)

#: Called with the name of the place that is passed.
Pass = Callable[[str], None]


def never(place: str) -> None:
    """Pass on."""


def from_environment() -> Pass:
    """What the environment asks for: SIGKILL of this process at one place. Raises ValueError for an unknown place
    and for what is no number from 1 on.
    """
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return never
    place, at_sign, count = wanted.partition("@")
    known = (*PLACES, *OF_DATASETS, *OF_CHILDREN)
    if place not in known:
        raise ValueError(f"{VARIABLE}: no place is called {place}; there are {', '.join(known)}.")
    if at_sign and not (count.isdecimal() and int(count) > 0):
        raise ValueError(
            f"{VARIABLE}: {count!r} in {wanted!r} is no number from 1 on, which counts the passes."
        )
    left = int(count or 1)
    logger.warning("This operator kills itself at %s (%s).", place, VARIABLE)

    def passed(at: str) -> None:
        nonlocal left
        if at == place:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return passed
