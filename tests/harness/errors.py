"""The one error of the harness: a sentence for the person who ran it, never a traceback.

Separate because every module of the harness raises it; `__main__` prints it and exits with 1.
"""

from __future__ import annotations


class HarnessError(Exception):
    """What went wrong, what is needed, and, where a program failed, the file that has its output."""
