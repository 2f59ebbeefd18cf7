"""One change of an image: flipped, turned, cropped, coloured; and where its boxes and outlines are then.

Separate from the action because it is pure geometry and Pillow, and because what is drawn by chance must not depend on
the order in which images are changed: each image and copy has a generator of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image as Pillow
from PIL import ImageEnhance

from trainyard_data.formats.boxes import Box

Point = tuple[float, float]

#: Pillow turns counter-clockwise.
_TURNS = (None, Pillow.Transpose.ROTATE_90, Pillow.Transpose.ROTATE_180, Pillow.Transpose.ROTATE_270)
#: What is known of an object in space, and its keypoints: of a changed image it would be wrong.
_NOT_KEPT = ("keypoints", "num_keypoints", "alpha", "dimensions", "location", "rotation_y")
_LEAST_PIXELS = 1.0


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is done to an image of `width` x `height`, in this order. `crop` is left, top, right, bottom of the turned
    image; colours are factors, `hue` a share of the circle.
    """

    width: int
    height: int
    mirrored: bool = False
    upside_down: bool = False
    quarters: int = 0
    crop: tuple[int, int, int, int]
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height afterwards."""
        left, top, right, bottom = self.crop
        return right - left, bottom - top

    @property
    def moves(self) -> bool:
        """Whether anything is somewhere else afterwards."""
        return (
            self.mirrored or self.upside_down or bool(self.quarters) or self.size != (self.width, self.height)
        )

    def point(self, x: float, y: float) -> Point:
        """Where a point of the old image is in the new one; outside of it where it was cut away."""
        width, height = float(self.width), float(self.height)
        if self.mirrored:
            x = width - x
        if self.upside_down:
            y = height - y
        for _ in range(self.quarters):
            x, y, width, height = y, width - x, height, width
        return x - self.crop[0], y - self.crop[1]


def drawn(given: Mapping[str, Any], width: int, height: int, *, path: str, copy: int) -> Change:
    """The change of one copy of one image, by chance, within what the parameters allow."""
    # NB: every figure is drawn, wanted or not, so that one parameter does not change what the others come to.
    chance = random.Random(f"{given['seed']}/{copy}/{path}")
    mirrored = chance.random() < given["horizontal_flip"]
    upside_down = chance.random() < given["vertical_flip"]
    turned, turn = chance.random(), chance.randint(1, 3)
    quarters = turn if turned < given["rotate_90"] else 0
    if quarters % 2:
        across, down = height, width
    else:
        across, down = width, height
    cut = [chance.random() * given["crop"] for _ in range(2)]
    shift = [chance.random() for _ in range(2)]
    kept_across, kept_down = max(1, round(across * (1 - cut[0]))), max(1, round(down * (1 - cut[1])))
    left, top = round((across - kept_across) * shift[0]), round((down - kept_down) * shift[1])
    factors = {
        name: 1 + (2 * chance.random() - 1) * given[name] for name in ("brightness", "contrast", "saturation")
    }
    return Change(
        width=width,
        height=height,
        mirrored=mirrored,
        upside_down=upside_down,
        quarters=quarters,
        crop=(left, top, left + kept_across, top + kept_down),
        hue=(2 * chance.random() - 1) * given["hue"],
        **factors,
    )


def changed(image: Pillow.Image, change: Change, *, coloured: bool = True) -> Pillow.Image:
    """The image after the change; with `coloured` off only what is where changes."""
    if change.mirrored:
        image = image.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
    if change.upside_down:
        image = image.transpose(Pillow.Transpose.FLIP_TOP_BOTTOM)
    turn = _TURNS[change.quarters]
    if turn is not None:
        image = image.transpose(turn)
    if change.size != image.size:
        image = image.crop(change.crop)
    return _coloured(image, change) if coloured else image


def moved(box: Box, change: Change, *, min_visibility: float) -> Box | None:
    """The box after the change; None where too little of it is left."""
    if not change.moves:
        return box
    corners = [change.point(box.x, box.y), change.point(box.x + box.width, box.y + box.height)]
    (x0, x1), (y0, y1) = (sorted(values) for values in zip(*corners, strict=True))
    width, height = change.size
    left, top = max(0.0, x0), max(0.0, y0)
    right, bottom = min(float(width), x1), min(float(height), y1)
    if right - left < min(_LEAST_PIXELS, box.width) or bottom - top < min(_LEAST_PIXELS, box.height):
        return None
    visible = (right - left) * (bottom - top) / (box.width * box.height)
    if visible < min_visibility:
        return None
    return replace(
        box,
        x=left,
        y=top,
        width=right - left,
        height=bottom - top,
        truncated=1 - (1 - box.truncated) * min(1.0, visible) if visible < 1 - 1e-9 else box.truncated,
        extra=_extra(box.extra, change),
    )


def _extra(extra: Mapping[str, Any], change: Change) -> dict[str, Any]:
    kept = {key: value for key, value in extra.items() if key not in (*_NOT_KEPT, "segmentation", "area")}
    outlines = extra.get("segmentation")
    if isinstance(outlines, list):
        moved_outlines = [_outline(one, change) for one in outlines if isinstance(one, list)]
        if found := [one for one in moved_outlines if one]:
            kept["segmentation"] = [[round(value, 3) for point in one for value in point] for one in found]
            kept["area"] = round(sum(map(_area, found)), 3)
    elif "area" in extra and change.size in ((change.width, change.height), (change.height, change.width)):
        kept["area"] = extra["area"]
    return kept


def _outline(flat: Sequence[Any], change: Change) -> list[Point]:
    """A polygon after the change, cut to the image (Sutherland and Hodgman 1974)."""
    points = [change.point(float(x), float(y)) for x, y in zip(flat[::2], flat[1::2], strict=False)]
    width, height = change.size
    edges: tuple[tuple[int, float, Callable[[float, float], bool]], ...] = (
        (0, 0.0, lambda value, edge: value >= edge),
        (0, float(width), lambda value, edge: value <= edge),
        (1, 0.0, lambda value, edge: value >= edge),
        (1, float(height), lambda value, edge: value <= edge),
    )
    for axis, edge, inside in edges:
        kept: list[Point] = []
        for before, point in zip([points[-1], *points[:-1]] if points else [], points, strict=True):
            if inside(point[axis], edge) != inside(before[axis], edge):
                share = (edge - before[axis]) / (point[axis] - before[axis])
                kept.append(
                    (
                        before[0] + share * (point[0] - before[0]),
                        before[1] + share * (point[1] - before[1]),
                    )
                )
            if inside(point[axis], edge):
                kept.append(point)
        points = kept
    return points if len(points) >= 3 and _area(points) > 0 else []


def _area(points: Sequence[Point]) -> float:
    doubled = 0.0
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        doubled += x0 * y1 - x1 * y0
    return abs(doubled) / 2


def _coloured(image: Pillow.Image, change: Change) -> Pillow.Image:
    """NB: of 16 bits a pixel, CMYK and the like the colours stay as they are."""
    if change.brightness == change.contrast == change.saturation == 1.0 and change.hue == 0.0:
        return image
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    alpha = None
    if image.mode in ("RGBA", "LA"):
        alpha = image.getchannel("A")
        image = image.convert(image.mode[:-1])
    if image.mode not in ("RGB", "L"):
        return image
    for enhance, factor in (
        (ImageEnhance.Brightness, change.brightness),
        (ImageEnhance.Contrast, change.contrast),
        (ImageEnhance.Color, change.saturation),
    ):
        if factor != 1.0 and not (enhance is ImageEnhance.Color and image.mode == "L"):
            image = enhance(image).enhance(factor)
    if change.hue and image.mode == "RGB":
        hue, saturation, value = image.convert("HSV").split()
        shift = round(change.hue * 256)
        hue = hue.point([(level + shift) % 256 for level in range(256)])
        image = Pillow.merge("HSV", (hue, saturation, value)).convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
    return image
