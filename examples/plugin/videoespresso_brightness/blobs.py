"""A detector of one's own: patches of one strong colour, by numpy alone.

videoespresso ask clip.mp4 "..." --detector blobs
videoespresso ask clip.mp4 "..." --detector blobs:red,blue
"""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from videoespresso.tools.detectors.base import Raw, tidy
from videoespresso.types import Box

HUES = {"red": 0, "yellow": 43, "green": 85, "blue": 170, "purple": 205}
"""Middles of the colours in PIL's hue, 0-255; a pixel takes the nearest."""
NEAR = 18
"""Further off, a hue is none of them."""
STRONG = 110
"""Saturation and value (0-255) from which a pixel has a colour at all."""
SIDE = 160
"""Pixels of the longer side that is looked at."""
LEAST = 0.002
"""Share of the picture below which a patch is a speck."""


class Blobs:
    """A patch is a box with the label "red patch" and so on; its score is how much of the box is
    of that colour."""

    def __init__(self, colours: str = "") -> None:
        self.colours = tuple(colours.split(",")) if colours else tuple(HUES)
        if unknown := set(self.colours) - set(HUES):
            raise ValueError(f"no colour of {', '.join(HUES)}: {', '.join(sorted(unknown))}")
        self.labels = tuple(f"{colour} patch" for colour in self.colours)

    def detect(self, image: Image.Image, names: Sequence[str] = ()) -> list[Box]:
        """All patches; the colours are what it can say, so names do not matter."""
        small = image.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
        hue, saturation, value = np.asarray(small.convert("HSV"), dtype=np.int16).transpose(2, 0, 1)
        strong = (saturation >= STRONG) & (value >= STRONG)
        boxes: list[Raw] = []
        for colour in self.colours:
            off = np.abs((hue - HUES[colour] + 128) % 256 - 128)
            for y0, y1, x0, x1, share in patches(strong & (off <= NEAR)):
                high, wide = hue.shape
                box = (x0 / wide, y0 / high, x1 / wide, y1 / high)
                boxes.append(Raw(f"{colour} patch", box, share))
        return tidy(boxes)


def patches(mask: np.ndarray) -> Iterator[tuple[int, int, int, int, float]]:
    """(y0, y1, x0, x1, share of the box that is set) of each connected part, specks left out."""
    nowhere = mask.size
    labels = np.where(mask, np.arange(mask.size).reshape(mask.shape), nowhere)
    while True:  # the least label of a part spreads by a pixel each way until nothing changes
        spread = labels.copy()
        np.minimum(spread[1:], labels[:-1], out=spread[1:])
        np.minimum(spread[:-1], labels[1:], out=spread[:-1])
        np.minimum(spread[:, 1:], labels[:, :-1], out=spread[:, 1:])
        np.minimum(spread[:, :-1], labels[:, 1:], out=spread[:, :-1])
        spread[~mask] = nowhere
        if np.array_equal(spread, labels):
            break
        labels = spread
    for label, pixels in zip(*np.unique(labels[mask], return_counts=True), strict=True):
        if pixels >= LEAST * mask.size:
            part = labels == label
            rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
            y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
            yield int(y0), int(y1), int(x0), int(x1), float(part[y0:y1, x0:x1].mean())
