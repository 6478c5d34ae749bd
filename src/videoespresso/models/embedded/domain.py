"""Is a film the theatre's? The pack was taught nothing else, so it must refuse every other one.

The theatre has few places, and they are known exactly: each frame is compared with the empty stage
of every place, in every weather and paint, as the theatre itself draws it (`lab/stages.py` did, and
a test holds that it would again). Of a place, what is the same in all its pictures must be where it
belongs (sky, road, cupboards), and of what moves (trees) there must be as much. People and things
may hide a part of it; another picture has hardly any.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videoespresso.models.embedded import PACK

Floats: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]

STAGES = PACK / "stages.npz"
"""mean, slope, loose: an array a stage. parts: where a colour is; of: of which stage; least: of how
many cells, 0 for all. tints: of films, a colour each."""
COLUMNS, ROWS, CELL = 64, 36, 5
"""A picture is compared in cells of 5 x 5 of the stage's 320 x 180 units; a cell has the median of
its colours, which neither grain, rain nor an outline changes."""
SHIFT = 12
"""A film's grounds are up to so much lighter or darker than their paint (theatre/style.py)."""
NEAR = 14.0
"""Levels (of 255) a channel may be off: the theatre's grain and H.264 stay below."""
LIKENESS = 0.69
"""Least likeness of a theatre film's typical frame: between theatre films (0.74 and more) and two
halves in its colours (0.67). Measured: docs/log.md, 2026-11-29."""
ASPECT, ASPECT_OFF = 16 / 9, 0.1
"""The theatre's pictures are 16:9; a frame that is scaled down is so within a tenth."""


@dataclass(frozen=True)
class Stage:
    """An empty stage. mean: its cells, (rows, columns, 3). slope: how they change with the film's
    shift of the grounds. fixed: where a colour must be. loose: where there must be so many cells of
    each of `colors`."""

    mean: Floats
    slope: Floats
    fixed: tuple[Mask, ...]
    loose: Mask
    colors: tuple[tuple[Mask, int], ...]

    @cached_property
    def ground(self) -> Mask:
        """Some of the cells that show the film's shift."""
        shows: Mask = self.slope[..., 0] != 0
        some: Mask = np.arange(shows.size).reshape(shows.shape) % 7 == 0
        return shows & some

    def likeness(self, seen: Floats) -> float:
        """The mean share of its colours that a picture (cells without its tint) shows, 0 to 1."""
        where = self.ground
        shifts = (seen[where] - self.mean[where])[:, 0] / self.slope[where][:, 0]
        stage = self.mean + np.clip(np.median(shifts), -SHIFT, SHIFT) * self.slope
        fits = np.abs(seen - stage).max(-1) < NEAR
        shares = [float(fits[where].mean()) for where in self.fixed]
        around = seen[self.loose]
        for where, least in self.colors:
            shares.append(min(1.0, count(around, np.median(stage[where], 0)) / least))
        return float(np.mean(shares))


def likeness(image: Image.Image, among: Iterable[Stage] = ()) -> tuple[float, Stage | None]:
    """How much a picture shows of the stage that it shows most of, 0 to 1, and that stage."""
    if abs(image.width / image.height - ASPECT) > ASPECT_OFF or image.width < COLUMNS:
        return 0.0, None
    seen: Floats = cells(image) / _kept()["tints"][:, None, None]
    scored = ((max(stage.likeness(s) for s in seen), stage) for stage in among or stages())
    return max(scored, key=itemgetter(0))


def is_theatre(images: Sequence[Image.Image]) -> bool:
    """Whether the film that these frames are of is the theatre's: more than half of them are."""
    misses = 0
    known: Stage | None = None
    for image in images:
        like, _ = likeness(image, [known] if known else ())
        if like < LIKENESS:  # another place than the frame before, or none
            like, known = likeness(image)
        misses += like < LIKENESS
        if 2 * misses >= len(images):
            return False
    return True


@cache
def stages() -> tuple[Stage, ...]:
    """Every place in every weather and paint."""
    kept = _kept()
    mean, slope, loose = kept["mean"], kept["slope"], kept["loose"]
    parts, of, least = kept["parts"], kept["of"], kept["least"]
    return tuple(
        Stage(
            mean[k],
            slope[k],
            tuple(parts[(of == k) & (least == 0)]),
            loose[k],
            tuple((parts[row], int(least[row])) for row in np.flatnonzero((of == k) & (least > 0))),
        )
        for k in range(len(mean))
    )


@cache
def _kept() -> dict[str, NDArray[Any]]:
    with np.load(STAGES) as file:
        return dict(file)


def cells(image: Image.Image) -> Floats:
    """(rows, columns, 3) in 0-255."""
    small = image.convert("RGB").resize((COLUMNS * CELL, ROWS * CELL), Image.Resampling.BOX)
    parts = np.asarray(small).reshape(ROWS, CELL, COLUMNS, CELL, 3).swapaxes(1, 2)
    colors: Floats = np.median(parts.reshape(ROWS, COLUMNS, CELL * CELL, 3), 2).astype(np.float32)
    return colors


def count(colors: Floats, color: Floats) -> int:
    """How many of (n, 3) are that colour."""
    return int((np.abs(colors - color).max(-1) < NEAR).sum())
