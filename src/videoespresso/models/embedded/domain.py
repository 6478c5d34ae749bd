"""Is a film the theatre's? The pack was taught nothing else, so it must refuse every other one.

The theatre has few places, and they are known exactly: each frame is compared with the empty stage
of every place, in every weather and paint, as the theatre itself draws it. Of a place, what is the
same in all its pictures must be where it belongs (sky, road, cupboards), and of what moves (trees)
there must be as much. People and things may hide a part of it; another picture has hardly any.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import itemgetter
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videoespresso.theatre.empty_stages import COLUMNS, SHIFT, EmptyStage, Floats, cells
from videoespresso.theatre.empty_stages import empty_stages as drawn
from videoespresso.theatre.style import TINTS

Mask: TypeAlias = NDArray[np.bool_]

NEAR = 14.0
"""Levels (of 255) a channel may be off: the theatre's grain and H.264 stay below."""
LEAST_CELLS = 25
"""Colours of fewer cells of a stage are not looked for."""
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
            shares.append(min(1.0, _count(around, np.median(stage[where], 0)) / least))
        return float(np.mean(shares))


def likeness(image: Image.Image, among: Iterable[Stage] = ()) -> tuple[float, Stage | None]:
    """How much a picture shows of the stage that it shows most of, 0 to 1, and that stage."""
    if abs(image.width / image.height - ASPECT) > ASPECT_OFF or image.width < COLUMNS:
        return 0.0, None
    seen: Floats = cells(image) / np.array(TINTS, np.float32)[:, None, None]
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
    """Every place in every weather and paint: half a second, once a process."""
    return tuple(map(_stage, drawn()))


def _stage(empty: EmptyStage) -> Stage:
    """What of an empty stage is to be looked for."""
    mean, others = empty.mean, empty.others
    same = np.ptp(others, 0).max(-1) < NEAR / 2
    fixed = _by_color(mean, same)
    known = np.array([np.median(mean[where], 0) for where in fixed])
    colors = []
    for where in _by_color(mean, ~same):
        color = np.median(mean[where], 0)
        counts = [_count(other[~same], color) for other in others]
        # houses have other shades in every film, trees have not
        if min(counts) >= max(LEAST_CELLS, max(counts) / 2) and not _count(known, color):
            colors.append((where, min(counts)))
    return Stage(mean, empty.slope, tuple(fixed), ~same, tuple(colors))


def _count(colors: Floats, color: Floats) -> int:
    """How many of (n, 3) are that colour."""
    return int((np.abs(colors - color).max(-1) < NEAR).sum())


def _by_color(stage: Floats, among: Mask) -> list[Mask]:
    """Where each colour is that is not rare."""
    steps = np.round(stage / 10)
    parts = [among & (steps == color).all(-1) for color in np.unique(steps[among], axis=0)]
    return [where for where in parts if where.sum() >= LEAST_CELLS]
