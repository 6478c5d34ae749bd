"""Makes the tiny videos the tests read: every container, codec and oddity we promise to open.

Each picture carries its own number as twelve black or white bars in the middle band and a colour in
each corner (red, green, blue, yellow, clockwise from top left), so a test can say exactly which
frame came out and which way up it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 12
CORNERS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30))
"""Red top left, green top right, blue bottom right, yellow bottom left, as displayed."""


@dataclass(frozen=True)
class Recipe:
    """How one good video is made and what a right reader must say about it.

    `pts` are in units of `time_base`, in display order. `size` is as stored; a `rotation` of 90 or
    270 swaps it on display.
    """

    name: str
    codec: str
    pts: Sequence[int]
    time_base: Fraction
    size: tuple[int, int] = (128, 72)
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    rotation: int = 0
    audio: bool = False
    fps: Fraction | None = None
    says: str = ""
    tagged: str | None = None
    last: int = 1

    @property
    def instants(self) -> list[Fraction]:
        """Seconds of every frame from the stream's start, exact."""
        return [(p - self.pts[0]) * self.time_base for p in self.pts]

    @property
    def displayed(self) -> tuple[int, int]:
        """Width and height after rotation."""
        return self.size[::-1] if self.rotation in (90, 270) else self.size


def card(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """The picture of frame `number`, upright, (height, width, 3)."""
    rgb = np.full((height, width, 3), 110, np.uint8)
    w, h = width // 4, height // 4
    for (rows, cols), colour in zip(_corner_slices(w, h), CORNERS, strict=True):
        rgb[rows, cols] = colour
    for bit in range(BITS):
        lit = 235 if number >> (BITS - 1 - bit) & 1 else 20
        rgb[h : height - h, width * bit // BITS : width * (bit + 1) // BITS] = lit
    return rgb


def read_number(rgb: NDArray[np.uint8]) -> int:
    """The number on a card, from the middle of each bar; works at any size."""
    height, width = rgb.shape[:2]
    band = rgb[height * 2 // 5 : height * 3 // 5]
    bars = [band[:, int(width * (bit + 0.5) / BITS)].mean() > 128 for bit in range(BITS)]
    return sum(1 << (BITS - 1 - bit) for bit, lit in enumerate(bars) if lit)


def read_corners(rgb: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Mean colour of the four corners of a card, in the order of `CORNERS`."""
    h, w = rgb.shape[0] // 5, rgb.shape[1] // 5
    means = [rgb[area].reshape(-1, 3).mean(axis=0) for area in _corner_slices(w, h)]
    return [(int(m[0]), int(m[1]), int(m[2])) for m in means]


def _corner_slices(w: int, h: int) -> list[tuple[slice, slice]]:
    top, bottom, left, right = slice(0, h), slice(-h, None), slice(0, w), slice(-w, None)
    return [(top, left), (top, right), (bottom, right), (bottom, left)]


def encode(
    path: Path, recipe: Recipe, picture: Callable[[int], NDArray[np.uint8]] | None = None
) -> Path:
    """Writes the recipe's video; `picture(i)`, upright, replaces the numbered card."""
    width, height = recipe.displayed
    with av.open(f"file:{path}", "w") as out:
        stream = out.add_stream(recipe.codec, options=dict(recipe.options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = recipe.size
        stream.pix_fmt = recipe.pix_fmt
        stream.time_base = stream.codec_context.time_base = recipe.time_base
        if recipe.fps is not None:
            stream.codec_context.framerate = recipe.fps
        if recipe.tagged:
            stream.codec_context.codec_tag = recipe.tagged
        if recipe.rotation:
            # the matrix turns counter-clockwise; our word is "turn clockwise to display"
            stream.set_display_rotation(-recipe.rotation)
        if recipe.audio:
            _mux_silence(out)
        for i, pts in enumerate(recipe.pts):
            rgb = picture(i) if picture else card(i, width, height)
            stored = np.ascontiguousarray(np.rot90(rgb, recipe.rotation // 90))
            frame = av.VideoFrame.from_ndarray(stored, "rgb24").reformat(format=recipe.pix_fmt)
            frame.pts, frame.time_base = pts, recipe.time_base
            frame.duration = recipe.pts[i + 1] - pts if i + 1 < len(recipe.pts) else recipe.last
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _mux_silence(out: av.container.OutputContainer, seconds: float = 1.0) -> None:
    stream = out.add_stream("aac", rate=16000)
    assert isinstance(stream, av.AudioStream)
    for i in range(max(1, int(seconds * 16000) // 1024)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16000, i * 1024
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
