"""What a target tells of the version that it has now.

Separate because `running` and every target share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Published:
    """`digest` and `version` are the target's own; `sent` counts the files that were sent, 0 where all were
    there. `left` are the former aliases that the target does not let be taken back, and `why`.
    """

    uri: str
    digest: str
    version: str
    sent: int
    left: tuple[str, ...] = ()
    why: str = ""

    def said(self) -> dict[str, Any]:
        """As the last status line has it."""
        told = {"uri": self.uri, "digest": self.digest, "version": self.version}
        return {**told, "left": list(self.left)} if self.left else told
