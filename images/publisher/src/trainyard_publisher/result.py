"""What a target tells of the version that it has now.

Separate because `running` and every target share it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Published:
    """`digest` and `version` are the target's own; `sent` counts the files that were sent, 0 where all were there."""

    uri: str
    digest: str
    version: str
    sent: int

    def said(self) -> dict[str, str]:
        """As the last status line has it."""
        return {"uri": self.uri, "digest": self.digest, "version": self.version}
