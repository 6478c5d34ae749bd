"""Of several boxes with one name, which show the colour that the name says? "red car" among cars.

A rule on pixels, no model. It only compares boxes with each other: light and cameras change what
red looks like, but seldom which of two cars is the redder one. Boxes that it cannot decide about
are kept.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from videoespresso.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

LEAST = 0.04
"""Share of a box's pixels from which its colour counts as seen; a shirt is a tenth of a person's
box and more."""
NEAR = 0.5
"""A box stays that has at least this share of the colour that the best one has."""
EDGE = 0.1
"""Left out on each side of a box: mostly background."""
_SIDE = 64
"""Pixels a side of the reduced box; a colour needs no more."""

Channel = NDArray[np.int16]
Mask = NDArray[np.bool_]


def _hue(low: int, high: int) -> Callable[[Channel, Channel, Channel], Mask]:
    """Colourful pixels between two hues, in 256ths of the circle from red by way of green."""

    def mask(h: Channel, s: Channel, v: Channel) -> Mask:
        between = (h >= low) & (h < high) if low < high else (h >= low) | (h < high)
        return between & (s >= 90) & (v >= 60)

    return mask


def _brown(h: Channel, s: Channel, v: Channel) -> Mask:
    return (h >= 6) & (h < 30) & (s >= 60) & (v >= 30) & (v < 160)


_MASKS: Mapping[str, Callable[[Channel, Channel, Channel], Mask]] = {
    "red": _hue(246, 11),
    "orange": _hue(11, 27),
    "yellow": _hue(27, 48),
    "green": _hue(48, 120),
    "blue": _hue(120, 182),
    "purple": _hue(182, 218),
    "pink": _hue(218, 246),
    "brown": _brown,
    "white": lambda _h, s, v: (s < 35) & (v >= 210),
    "black": lambda _h, _s, v: v < 55,
    "grey": lambda _h, s, v: (s < 35) & (v >= 55) & (v < 210),
}
"""Which pixels have a colour: hue, saturation and value from 0 to 255 (PIL's HSV)."""
_WORDS = {word: word for word in _MASKS} | {"gray": "grey", "violet": "purple", "golden": "yellow"}


class ColorCheck:
    """`LabelCheck` by colour words. Boxes whose name has none, or several, are all kept; so is the
    only box of a name, and every box of a name whose colour none of them shows."""

    name = "colors"

    def keep(self, image: "Image", boxes: Sequence[Box]) -> list[Box]:
        """See `LabelCheck`."""
        return [
            box
            for box, share, best in zip(boxes, *_shares(image, boxes), strict=True)
            if best < LEAST or share >= NEAR * best
        ]


def color_of(name: str) -> str | None:
    """The one colour that a name says, None for none or for several."""
    colors = {_WORDS[word] for word in re.findall(r"[a-z]+", name.casefold()) if word in _WORDS}
    return colors.pop() if len(colors) == 1 else None


def share_of(image: "Image", box: Box, color: str) -> float:
    """The share of a box's pixels that have a colour, 0 to 1."""
    x0, y0, x1, y1 = box.xyxy
    left, right = _inside(x0, x1, image.width)
    top, bottom = _inside(y0, y1, image.height)
    crop = image.crop((left, top, right, bottom))
    crop.thumbnail((_SIDE, _SIDE))
    pixels = np.asarray(crop.convert("RGB").convert("HSV"), dtype=np.int16)
    mask = _MASKS[color](pixels[..., 0], pixels[..., 1], pixels[..., 2])
    return float(mask.mean())


def _inside(low: float, high: float, side: int) -> tuple[int, int]:
    """Pixels from a box's one side to the other without its edges; at least one, on the picture."""
    edge = EDGE * (high - low)
    first = min(round((low + edge) * side), side - 1)
    return first, max(round((high - edge) * side), first + 1)


def _shares(image: "Image", boxes: Sequence[Box]) -> tuple[list[float], list[float]]:
    """Each box's share of its name's colour, and the largest of that name; 0 where it has none."""
    shares, best = [], dict[str, float]()
    for box in boxes:
        color = color_of(box.label)
        shares.append(share_of(image, box, color) if color else 0.0)
        best[box.label] = max(best.get(box.label, 0.0), shares[-1])
    return shares, [best[box.label] for box in boxes]
