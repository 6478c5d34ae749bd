"""Seeded look of a theatre video: palettes, outlines, grain, blur.

Three families that share no palette and no tint: "train" (what the pack learns from), "held_out"
(only ever tested on) and "winter" (what a user may teach the pack; it never saw it). Named colours
(a red car is red) hold in all.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from PIL import ImageDraw

Rgb = tuple[int, int, int]
Value = TypeVar("Value")
StyleFamily = Literal["train", "held_out", "winter"]

NAMED: dict[str, Rgb] = {
    "red": (214, 40, 40),
    "blue": (45, 95, 215),
    "green": (40, 150, 65),
    "yellow": (240, 205, 40),
    "purple": (140, 60, 175),
    "white": (245, 245, 245),
    "black": (35, 35, 40),
}

_TRAIN_GROUNDS: dict[str, tuple[tuple[Rgb, Rgb], ...]] = {
    "street": (
        ((176, 190, 205), (105, 105, 112)),
        ((205, 185, 165), (90, 92, 100)),
        ((165, 175, 180), (120, 116, 112)),
    ),
    "park": (
        ((120, 185, 120), (140, 200, 105)),
        ((150, 190, 130), (170, 205, 120)),
        ((105, 165, 125), (120, 180, 130)),
    ),
    "kitchen": (
        ((225, 228, 220), (170, 125, 85)),
        ((200, 222, 230), (150, 110, 90)),
        ((235, 215, 195), (125, 125, 130)),
    ),
    "room": (
        ((215, 195, 215), (150, 105, 75)),
        ((190, 205, 190), (165, 130, 95)),
        ((225, 210, 180), (125, 95, 85)),
    ),
}
_HELD_OUT_GROUNDS: dict[str, tuple[tuple[Rgb, Rgb], ...]] = {
    "street": (((150, 130, 150), (75, 80, 95)),),
    "park": (((175, 180, 95), (190, 190, 90)),),
    "kitchen": (((185, 175, 215), (95, 115, 130)),),
    "room": (((165, 205, 215), (110, 120, 85)),),
}
_WINTER_GROUNDS: dict[str, tuple[tuple[Rgb, Rgb], ...]] = {
    "street": (((120, 135, 175), (200, 205, 215)), ((165, 150, 190), (185, 190, 200))),
    "park": (((90, 125, 150), (215, 220, 230)), ((130, 140, 175), (200, 210, 225))),
    "kitchen": (((150, 175, 190), (85, 90, 125)),),
    "room": (((175, 160, 190), (75, 85, 130)),),
}
GROUNDS: dict[StyleFamily, dict[str, tuple[tuple[Rgb, Rgb], ...]]] = {
    "train": _TRAIN_GROUNDS,
    "held_out": _HELD_OUT_GROUNDS,
    "winter": _WINTER_GROUNDS,
}
"""The paints (far, near) of each setting; a film's own are a little lighter or darker."""
_WARM, _FROST = (1.0, 0.97, 0.9), (0.78, 0.9, 1.0)
Tint = tuple[float, float, float]
_TINTS: dict[StyleFamily, tuple[Tint, ...]] = {
    "train": ((1.0, 1.0, 1.0), (0.95, 0.98, 1.0)),
    "held_out": (_WARM,),
    "winter": (_FROST,),
}
TINTS = tuple(tint for tints in _TINTS.values() for tint in tints)
"""Factors of red, green and blue that a film as a whole may have."""
OUTLINES: dict[StyleFamily, tuple[int, ...]] = {
    "train": (0, 0, 1),
    "held_out": (2,),
    "winter": (1,),
}
_GRAINS: dict[StyleFamily, tuple[float, ...]] = {
    "train": (0.0, 0.0, 1.5),
    "held_out": (1.0, 2.0),
    "winter": (2.0, 3.0),
}
_SKINS: tuple[Rgb, ...] = ((245, 208, 175), (225, 175, 130), (175, 120, 80), (120, 80, 55))


@dataclass(frozen=True)
class Style:
    """How one video looks. Sizes in output pixels, `grain` in grey levels (standard deviation)."""

    family: StyleFamily
    far: Rgb
    near: Rgb
    outline: int
    grain: float
    blur: float
    tint: Tint
    seed: int

    def color(self, name: str) -> Rgb:
        """A named colour with the video's own small shift."""
        rng = random.Random(f"{self.seed}{name}")
        r, g, b = (max(0, min(255, c + rng.randint(-14, 14))) for c in NAMED[name])
        return r, g, b

    def skin(self, who: str) -> Rgb:
        """Skin tone of a person, fixed within the video."""
        return random.Random(f"{self.seed}{who}skin").choice(_SKINS)


def make_style(seed: int, setting: str, family: StyleFamily = "train") -> Style:
    """The look of video `seed` in a setting."""
    rng = random.Random(f"style{seed}")
    far, near = rng.choice(GROUNDS[family][setting])
    shift = rng.randint(-12, 12)
    tint = _one_of(_TINTS[family], rng)
    return Style(
        family=family,
        far=(far[0] + shift, far[1] + shift, far[2] + shift),
        near=(near[0] - shift, near[1] - shift, near[2] - shift),
        outline=_one_of(OUTLINES[family], rng),
        grain=_one_of(_GRAINS[family], rng),
        blur=rng.choice((0.0, 0.4)),
        tint=tint,
        seed=seed,
    )


def _one_of(values: Sequence[Value], rng: random.Random) -> Value:
    """One by lot; without a draw where there is no choice."""
    return rng.choice(values) if len(values) > 1 else values[0]


STAGE_W, STAGE_H = 320, 180
Extent = tuple[float, float, float, float]
INK: Rgb = (30, 30, 35)
WOOD: Rgb = (150, 100, 60)
GREY: Rgb = (120, 125, 130)


@dataclass
class Pen:
    """ImageDraw in logical coordinates, with the style's outline."""

    draw: ImageDraw.ImageDraw
    scale: float
    style: Style

    def _xy(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    def _line(self) -> tuple[Rgb | None, int]:
        width = round(self.style.outline * self.scale / 2)
        return ((25, 25, 30), width) if width else (None, 0)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb, r: float = 0) -> None:
        line, width = self._line()
        box = self._xy([(x0, y0), (x1, y1)])
        self.draw.rounded_rectangle(box, r * self.scale, fill=fill, outline=line, width=width)

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb) -> None:
        line, width = self._line()
        self.draw.ellipse(self._xy([(x0, y0), (x1, y1)]), fill=fill, outline=line, width=width)

    def poly(self, *points: tuple[float, float], fill: Rgb) -> None:
        self.draw.polygon(self._xy(points), fill=fill)

    def line(self, *points: tuple[float, float], fill: Rgb, width: float = 2) -> None:
        self.draw.line(
            self._xy(points), fill=fill, width=max(1, round(width * self.scale)), joint="curve"
        )

    def arc(
        self, x0: float, y0: float, x1: float, y1: float, a: int, b: int, fill: Rgb, w: float = 2
    ) -> None:
        box = self._xy([(x0, y0), (x1, y1)])
        self.draw.arc(box, a, b, fill=fill, width=max(1, round(w * self.scale)))
