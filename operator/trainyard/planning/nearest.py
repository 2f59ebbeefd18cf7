"""The known names that a wrong one comes closest to, as the end of a sentence.

Separate because runtimes, actions and parameters are all mistyped, and the commands say it in the same words.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_SHOWN = 60
_NAME_LIMIT = 200


def hint(name: str, known: Iterable[str]) -> str:
    """`did you mean dino?`, `known are ...` where nothing is near, `there is none yet` where nothing is known."""
    names = sorted(known)
    if not names:
        return "there is none yet"
    # NB: difflib takes quadratic time, and the name is a stranger's.
    close = difflib.get_close_matches(name[:_NAME_LIMIT], names, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"known are {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """Names with commas; of very many, the first."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
