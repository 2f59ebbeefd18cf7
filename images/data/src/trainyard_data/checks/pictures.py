"""What the checks of images have in common: opening them, and what is told of a picture.

Separate because folders of classes, boxes and masks all do it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from trainyard_data.checks.subject import Subject
from trainyard_data.findings import BadData
from trainyard_data.formats.images import Picture, with_pictures

Item = TypeVar("Item")
_USUAL_MODES = frozenset({"RGB"})


@dataclass(slots=True)
class Gallery:
    """Opens images, once each in the profile, and tells at the end which are in other colours than the most."""

    subject: Subject
    modes: Counter[str] = field(default_factory=Counter)

    def look(
        self, items: Iterable[Item], path_of: Callable[[Item], str]
    ) -> Iterator[tuple[Item, Picture | None]]:
        """Each item with its picture; None for one that is broken, which is a finding, or has no path."""
        for item, picture in with_pictures(self.subject.tree, items, path_of):
            path = path_of(item)
            if isinstance(picture, BadData):
                if path not in self.subject.checked:
                    self.subject.findings.bad(picture)
                    self.subject.checked.add(path)
                yield item, None
                continue
            if picture is not None and path not in self.subject.checked:
                self.subject.checked.add(path)
                self.subject.profile.add_image(picture.width, picture.height)
                self.modes[picture.mode] += 1
            yield item, picture

    def tell_modes(self) -> None:
        if len(self.modes) > 1:
            said = ", ".join(f"{count} {_mode(mode)}" for mode, count in self.modes.most_common())
            self.subject.note(f"The images are not all in the same colours: {said}.")


def _mode(mode: str) -> str:
    return {"L": "grey", "RGB": "in colour", "P": "with a palette", "RGBA": "with transparency"}.get(
        mode, mode
    )
