"""Seeded look of a theatre video: palettes, outlines, grain, blur.

Two families that share no palette and no outline: "train" (what the pack learns from) and
"held_out" (only ever tested on). Named colours (a red car is red) hold in both.
"""

import random
from dataclasses import dataclass
from typing import Literal

Rgb = tuple[int, int, int]
StyleFamily = Literal["train", "held_out"]

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
GROUNDS: dict[StyleFamily, dict[str, tuple[tuple[Rgb, Rgb], ...]]] = {
    "train": _TRAIN_GROUNDS,
    "held_out": _HELD_OUT_GROUNDS,
}
"""The paints (far, near) of each setting; a film's own are a little lighter or darker."""
_WARM = (1.0, 0.97, 0.9)
_TRAIN_TINTS = ((1.0, 1.0, 1.0), (0.95, 0.98, 1.0))
TINTS = (*_TRAIN_TINTS, _WARM)
"""Factors of red, green and blue that a film as a whole may have."""
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
    tint: tuple[float, float, float]
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
    held_out = family == "held_out"
    far, near = rng.choice(GROUNDS[family][setting])
    shift = rng.randint(-12, 12)
    tint = _WARM if held_out else rng.choice(_TRAIN_TINTS)
    return Style(
        family=family,
        far=(far[0] + shift, far[1] + shift, far[2] + shift),
        near=(near[0] - shift, near[1] - shift, near[2] - shift),
        outline=2 if held_out else rng.choice((0, 0, 1)),
        grain=rng.choice((1.0, 2.0)) if held_out else rng.choice((0.0, 0.0, 1.5)),
        blur=rng.choice((0.0, 0.4)),
        tint=tint,
        seed=seed,
    )
