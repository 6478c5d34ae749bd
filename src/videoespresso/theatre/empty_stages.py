"""The empty stage of every place, in every weather and paint, in cells: by it a film is known as
the theatre's."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videoespresso.theatre.scene import Phase, Scene
from videoespresso.theatre.stories import WEATHERS
from videoespresso.theatre.style import GROUNDS, OUTLINES, Rgb, Style, StyleFamily

Floats: TypeAlias = NDArray[np.float32]

COLUMNS, ROWS, CELL = 64, 36, 5
"""A picture is compared in cells of 5 x 5 of the stage's 320 x 180 units; a cell has the median of
its colours, which neither grain, rain nor an outline changes."""
SHIFT = 12
"""A film's grounds are up to so much lighter or darker than their paint (theatre/style.py)."""


@dataclass(frozen=True)
class EmptyStage:
    """mean: its cells, (rows, columns, 3) in 0-255. slope: how they change with the film's shift of
    the grounds. others: the same place with other houses and trees, at both ends of a pan."""

    mean: Floats
    slope: Floats
    others: tuple[Floats, ...]


def cells(image: Image.Image) -> Floats:
    """(rows, columns, 3) in 0-255."""
    small = image.convert("RGB").resize((COLUMNS * CELL, ROWS * CELL), Image.Resampling.BOX)
    parts = np.asarray(small).reshape(ROWS, CELL, COLUMNS, CELL, 3).swapaxes(1, 2)
    colors: Floats = np.median(parts.reshape(ROWS, COLUMNS, CELL * CELL, 3), 2).astype(np.float32)
    return colors


def empty_stages() -> tuple[EmptyStage, ...]:
    """All of them, in a fixed order."""
    return tuple(_all())


def _all() -> Iterator[EmptyStage]:
    for family, places in GROUNDS.items():
        for setting, paints in places.items():
            outdoors = setting in ("street", "park")
            for paint, weather in product(paints, WEATHERS if outdoors else ("",)):
                yield _drawn(family, setting, weather, paint)


def _drawn(family: StyleFamily, setting: str, weather: str, paint: tuple[Rgb, Rgb]) -> EmptyStage:
    """Seeds place houses and trees, instants of a pan move the camera."""

    def empty(seed: int = 0, t: float = 0.5, shift: int = 0) -> Floats:
        (r, g, b), (p, q, s) = paint
        far, near = (r + shift, g + shift, b + shift), (p - shift, q - shift, s - shift)
        style = Style(family, far, near, OUTLINES[family][0], 0.0, 0.0, (1.0, 1.0, 1.0), seed)
        phase = Phase(0.0, 1.0, setting, weather, (), pan=1.0)
        return cells(Scene(phase, t, style).render(COLUMNS * CELL))

    slope: Floats = (empty(shift=SHIFT) - empty(shift=-SHIFT)) / np.float32(2 * SHIFT)
    others = (empty(seed, t) for seed, t in product(range(4 if weather else 1), (0.0, 1.0)))
    return EmptyStage(empty(), slope, tuple(others))
