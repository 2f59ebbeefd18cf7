"""Images with masks: each mask opens, is of its image's size, and its pixels are the classes."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from trainyard_data.checks.pictures import Gallery
from trainyard_data.checks.subject import Subject
from trainyard_data.findings import BadData
from trainyard_data.formats import unet
from trainyard_data.formats.images import decoded, look

#: Masks with more pixels are only measured: their classes are not counted.
_COUNTED_PIXELS = 1 << 25


def check(subject: Subject) -> None:
    gallery = Gallery(subject)
    for one, picture in gallery.look(unet.read(subject.tree, subject.findings), lambda item: item.image):
        if picture is None:
            continue
        subject.profile.add_split(one.split)
        if one.mask is None:
            continue
        subject.checked.add(one.mask)
        try:
            mask = look(subject.tree, one.mask)
            if (mask.width, mask.height) != (picture.width, picture.height):
                subject.findings.add(
                    one.mask,
                    None,
                    f"The mask is {mask.width} x {mask.height}, but its image is {picture.width} x {picture.height}.",
                )
            elif mask.width * mask.height <= _COUNTED_PIXELS:
                for value in _values(subject, one.mask):
                    subject.profile.add_class(str(value))
        except BadData as error:
            subject.findings.bad(error)
    gallery.tell_modes()


def _values(subject: Subject, path: str) -> list[int]:
    """The different pixels of a mask; none where it has colours instead of classes."""
    image: Pillow.Image = decoded(subject.tree, path)
    if len(image.getbands()) != 1 or image.mode == "F":
        return []
    return [int(value) for value in np.unique(np.asarray(image))]
