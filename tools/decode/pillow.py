"""Animated WebP, which FFmpeg does not read: through Pillow. Runs in the decoding process."""

from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image

from videoespresso.errors import VideoError
from videoespresso.tools.decode.bytes import looks_like
from videoespresso.tools.decode.picture import reduced
from videoespresso.tools.decode.probe import MOST_PIXELS, Beat, Facts
from videoespresso.tools.decode.pyav import EPSILON_S, Decoded

_SHORTEST_MS = 100
"""How long a frame is shown that says 10 ms or less, as browsers have it."""


class Animation:
    """The file, opened, and when each of its frames is shown, in seconds.

    Raises `VideoError` for a file that cannot be read to its end.
    """

    def __init__(self, path: str, beat: Beat) -> None:
        shown: list[int] = []
        try:
            self._image: Image.Image = Image.open(path)
            if self._image.width * self._image.height > MOST_PIXELS:
                raise VideoError(f"{Path(path).name} is larger than 8K", hint="make it smaller")
            for number in range(getattr(self._image, "n_frames", 1)):
                self._image.seek(number)
                self._image.load()
                lasts = round(self._image.info.get("duration", 0))
                shown.append(lasts if lasts > 10 else _SHORTEST_MS)
                beat()
        except (OSError, EOFError, SyntaxError, Image.DecompressionBombError) as error:
            raise VideoError(
                f"{Path(path).name} cannot be read to its end: {error}",
                hint="copy or download it again",
            ) from error
        ends = [Fraction(ms, 1000) for ms in accumulate(shown)]
        self.instants, self.duration_s = [Fraction(0), *ends[:-1]], float(ends[-1])

    @property
    def facts(self) -> Facts:
        """What the file is."""
        return Facts(
            start=0,
            time_base=Fraction(1, 1000),
            duration_s=self.duration_s,
            fps=Fraction(len(self.instants)) / Fraction(self.duration_s).limit_denominator(1000),
            width=self._image.width,
            height=self._image.height,
            rotation=0,
            has_audio=False,
            codec="webp",
            container="webp",
            counted=False,
        )

    def keyframes(self, max_side: int, min_gap_s: float) -> "AnimationPictures":
        """Every frame stands alone."""
        return AnimationPictures(self, max_side, self._apart(Fraction(min_gap_s)))

    def at(self, max_side: int) -> "AnimationPictures":
        """The frame on screen at growing instants."""
        return AnimationPictures(self, max_side, None)

    def _apart(self, gap: Fraction) -> Iterator[int]:
        last: Fraction | None = None
        for number, instant in enumerate(self.instants):
            if last is None or instant - last >= gap:
                last = instant
                yield number

    def decoded(self, number: int, max_side: int) -> Decoded:
        """One frame; transparency is laid on white."""
        self._image.seek(number)
        rgba = self._image.convert("RGBA")
        rgb = Image.new("RGB", rgba.size, "white")
        rgb.paste(rgba, mask=rgba.getchannel("A"))
        size = reduced(rgb.width, rgb.height, max_side)
        pixels = np.asarray(rgb.resize(size, Image.Resampling.BOX), np.uint8)
        return Decoded(float(self.instants[number]), number, np.ascontiguousarray(pixels))


class AnimationPictures:
    """Pictures of one request, one a call."""

    def __init__(self, animation: Animation, max_side: int, numbers: Iterator[int] | None) -> None:
        self._animation, self._max_side, self._numbers = animation, max_side, numbers

    def next(self, time_s: float | None) -> Decoded | None:
        """The frame on screen at `time_s`, or the next key frame; None at the end."""
        if self._numbers is None:
            at = Fraction(time_s or 0.0) + EPSILON_S
            number: int | None = max(0, bisect_right(self._animation.instants, at) - 1)
        else:
            number = next(self._numbers, None)
        return None if number is None else self._animation.decoded(number, self._max_side)

    def close(self) -> None:
        """The file stays open for the next request."""


def animation(path: str, beat: Beat) -> Animation | None:
    """The file as an animation; None for what FFmpeg reads."""
    return Animation(path, beat) if looks_like(path) == "animated webp" else None
