"""The known names that a wrong one comes closest to, as the end of a sentence.

Separate because runtimes, actions and parameters are all mistyped, and the commands say it in the same words.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_SHOWN = 60
_NAME_LIMIT = 200
#: More names than this are looked up rather than read in a sentence.
_FEW = 12
_GUESSES = 3


def hint(name: str, known: Iterable[str], *, listed_by: str = "") -> str:
    """`did you mean dino?`, `known are ...` where nothing is near, `there is none yet` where nothing is known.

    `listed_by` is the command that lists what is known: of many, only the nearest are named then.
    """
    names = sorted(known)
    if not names:
        return "there is none yet."
    # NB: difflib takes quadratic time, and the name is a stranger's.
    name = name[:_NAME_LIMIT]
    close = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    begun = sorted((one for one in names if name and one.startswith(name)), key=len)
    guesses = list(dict.fromkeys([*begun, *close]))[:_GUESSES]
    if guesses:
        *others, last = guesses
        return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"
    if not listed_by or len(names) <= _FEW:
        return f"known are {listed(names)}."
    nearest = difflib.get_close_matches(name, names, n=_GUESSES, cutoff=0.3)
    listing = f"{listed_by} lists all {len(names)}."
    return f"the nearest are {', '.join(nearest)}; {listing}" if nearest else listing


def listed(names: Sequence[str]) -> str:
    """Names with commas; of very many, the first."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
