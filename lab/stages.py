"""Draws the empty stages by which a film is known as the theatre's (models/embedded/domain.py).

    python -m lab.stages

writes them into the pack, 40 kB: drawing them takes half a second to a second, which nobody's
question should. Once more whenever the theatre has another place, weather, paint or style.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np

from videoespresso.models.embedded.domain import (
    CELL,
    COLUMNS,
    NEAR,
    SHIFT,
    STAGES,
    Floats,
    Mask,
    Stage,
    cells,
    count,
)
from videoespresso.theatre.scene import Phase, Scene
from videoespresso.theatre.stories import WEATHERS
from videoespresso.theatre.style import GROUNDS, OUTLINES, TINTS, Rgb, Style, StyleFamily

LEAST_CELLS = 25
"""Colours of fewer cells of a stage are not looked for."""


def stages() -> Iterator[Stage]:
    """All of them, in a fixed order."""
    for family, places in GROUNDS.items():
        for setting, paints in places.items():
            outdoors = setting in ("street", "park")
            for paint, weather in product(paints, WEATHERS if outdoors else ("",)):
                yield _stage(family, setting, weather, paint)


def _stage(family: StyleFamily, setting: str, weather: str, paint: tuple[Rgb, Rgb]) -> Stage:
    """What of it is to be looked for. Seeds place houses and trees, instants of a pan move the
    camera."""

    def empty(seed: int = 0, t: float = 0.5, shift: int = 0) -> Floats:
        (r, g, b), (p, q, s) = paint
        far, near = (r + shift, g + shift, b + shift), (p - shift, q - shift, s - shift)
        style = Style(family, far, near, OUTLINES[family][0], 0.0, 0.0, (1.0, 1.0, 1.0), seed)
        phase = Phase(0.0, 1.0, setting, weather, (), pan=1.0)
        return cells(Scene(phase, t, style).render(COLUMNS * CELL))

    mean = empty()
    slope: Floats = (empty(shift=SHIFT) - empty(shift=-SHIFT)) / np.float32(2 * SHIFT)
    others = [empty(seed, t) for seed, t in product(range(4 if weather else 1), (0.0, 1.0))]
    same = np.ptp(others, 0).max(-1) < NEAR / 2
    fixed = _by_color(mean, same)
    known = np.array([np.median(mean[where], 0) for where in fixed])
    colors = []
    for where in _by_color(mean, ~same):
        color = np.median(mean[where], 0)
        counts = [count(other[~same], color) for other in others]
        # houses have other shades in every film, trees have not
        if min(counts) >= max(LEAST_CELLS, max(counts) / 2) and not count(known, color):
            colors.append((where, min(counts)))
    return Stage(mean, slope, tuple(fixed), ~same, tuple(colors))


def _by_color(stage: Floats, among: Mask) -> list[Mask]:
    """Where each colour is that is not rare."""
    steps = np.round(stage / 10)
    parts = [among & (steps == color).all(-1) for color in np.unique(steps[among], axis=0)]
    return [where for where in parts if where.sum() >= LEAST_CELLS]


def main() -> None:
    """Draws them, and writes what `domain.stages` reads."""
    drawn = list(stages())
    rows = [
        (where, k, least)
        for k, stage in enumerate(drawn)
        for where, least in (*((where, 0) for where in stage.fixed), *stage.colors)
    ]
    parts, of, least = zip(*rows, strict=True)
    np.savez_compressed(
        STAGES,
        mean=np.stack([stage.mean for stage in drawn]),
        slope=np.stack([stage.slope for stage in drawn]),
        loose=np.stack([stage.loose for stage in drawn]),
        parts=np.stack(parts),
        of=np.array(of),
        least=np.array(least),
        tints=np.array(TINTS, np.float32),
    )


if __name__ == "__main__":
    main()
