"""Opening images that may be anything: broken, huge, or no images.

Separate because it is the one place that calls Pillow, whose limits are set here. Called by the checks of every layout
with images, and by the actions on them.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from trainyard_data.findings import TOO_LARGE, BadData
from trainyard_data.tree import Tree, reason_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
#: Pictures all the same, but of kinds that trainers do not read either.
UNREAD_SUFFIXES = (".heic", ".heif", ".avif", ".jfif", ".jp2", ".jxl", ".psd", ".dng", ".nef", ".cr2", ".arw")
#: About a square of 16,384 pixels; a decoded image of that size takes 800 MB, which no check needs.
MOST_PIXELS = 1 << 28
Pillow.MAX_IMAGE_PIXELS = MOST_PIXELS
#: Other formats than PNG and JPEG are decoded to know that they are whole, unless they are larger.
_DECODED_PIXELS = 1 << 24
_WORKERS = 2
_AHEAD = 64
Item = TypeVar("Item")
_FAULTS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    IndexError,
    EOFError,
    struct.error,
    OverflowError,
    KeyError,
)


@dataclass(frozen=True, slots=True)
class Picture:
    """What an image file is: pixels, and Pillow's word for its colours (`RGB`, `L`, `P`, `RGBA`, ...)."""

    width: int
    height: int
    mode: str


def is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def look(tree: Tree, path: str) -> Picture:
    """Open an image and check that it is whole, without decoding more than it must.

    Raises BadData for one that is broken, of a size that is refused, or no image.
    """
    if tree.size(path) == 0:
        raise BadData(path, None, "The file is empty.")
    with tree.open(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Pillow.open(file) as image:
                picture = Picture(*image.size, image.mode)
                # NB: verify() reads a PNG's checksums without decoding it, and of most other formats nothing.
                image.verify()
            if image.format == "JPEG":
                certain = _has_end(file, path)
            else:
                certain = image.format == "PNG" or picture.width * picture.height > _DECODED_PIXELS
            if not certain:
                file.seek(0)
                with Pillow.open(file) as image:
                    # NB: of a JPEG, an eighth of its size: all of it is read, but little memory is taken.
                    image.draft(None, (1, 1))
                    image.load()
        except Pillow.DecompressionBombError:
            raise BadData(path, None, f"The image has more than {MOST_PIXELS:,} pixels.") from None
        except UnidentifiedImageError:
            raise BadData(path, None, "This is no image that can be read.") from None
        except MemoryError:
            raise BadData(path, None, TOO_LARGE) from None
        except _FAULTS as error:
            raise BadData(path, None, f"The image is broken: {reason_of(error)}.") from None
    return picture


def decoded(tree: Tree, path: str) -> Pillow.Image:
    """An image with its pixels. Raises BadData as `look` does."""
    with tree.open(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Pillow.open(file) as image:
                image.load()
                return image
        except Pillow.DecompressionBombError:
            raise BadData(path, None, f"The image has more than {MOST_PIXELS:,} pixels.") from None
        except UnidentifiedImageError:
            raise BadData(path, None, "This is no image that can be read.") from None
        except MemoryError:
            raise BadData(path, None, TOO_LARGE) from None
        except _FAULTS as error:
            raise BadData(path, None, f"The image is broken: {reason_of(error)}.") from None


def with_pictures(
    tree: Tree, items: Iterable[Item], path_of: Callable[[Item], str]
) -> Iterator[tuple[Item, Picture | BadData | None]]:
    """Each item with what `look` finds of its image, on every core, in their order; None for an empty path.

    What is wrong with an image is given instead of it.
    """

    def one(item: Item) -> tuple[Item, Picture | BadData | None]:
        path = path_of(item)
        try:
            return item, look(tree, path) if path else None
        except BadData as error:
            return item, error

    rest = iter(items)
    with ThreadPoolExecutor(_WORKERS) as pool:
        while batch := list(islice(rest, _AHEAD)):
            yield from pool.map(one, batch)


def _has_end(file: Any, path: str) -> bool:
    """Whether a JPEG is surely whole; raises BadData where it surely is not.

    One that was cut off has no end marker; cameras add bytes after it, but not many. Where the last marker that pixels
    begin comes after it, it may be that of a thumbnail.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - (64 << 10)))
    tail = file.read()
    end = tail.rfind(b"\xff\xd9")
    if end < 0:
        raise BadData(path, None, "The image is broken: it ends too early.")
    return bool(tail.rfind(b"\xff\xda") < end)
