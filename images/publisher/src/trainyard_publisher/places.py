"""What a folder can be asked to do, whatever it is made of.

Separate because `folders` knows the steps alone. Made by `claims` and by `buckets`.
"""

from __future__ import annotations

from typing import Protocol

from trainyard_publisher.version import File


class Place(Protocol):
    """The folder of a target; files are named by their path in it."""

    def read(self, name: str) -> bytes | None:
        """A small file; None where there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Writes a small file, whole or not at all."""

    def tag(self, name: str) -> str | None:
        """What changes with the content of a file; None where there is none."""

    def put(self, file: File) -> str:
        """Puts a file there, whole or not at all; its tag."""

    def remove(self, name: str) -> None:
        """Removes a file; one that is gone already is no error."""
