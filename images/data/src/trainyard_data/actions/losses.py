"""What a new dataset cannot say that the old one did.

Separate because each writer adds to it and every report tells it: nothing is lost in silence.
"""

from __future__ import annotations

from collections import Counter


class Losses:
    """Counts by sentence; `{count}` in a sentence is how often."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, sentence: str, count: int = 1) -> None:
        if count:
            self._counts[sentence] += count

    def told(self) -> list[str]:
        """The sentences, in the order in which they first came."""
        return [sentence.replace("{count}", f"{count:,}") for sentence, count in self._counts.items()]

    def __len__(self) -> int:
        return len(self._counts)
