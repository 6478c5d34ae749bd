"""Films made worse, in five strengths, where their frames come in: any benchmark can be stressed.

What a strength does to a frame or to an instant depends on the film and the instant alone, so the
same run sees the same. A stressed film has an id of its own: frames, captions and replies of it
never mix with another's. Instants and boxes are given back as those of the film as it is.
"""

import hashlib
import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from PIL import Image, ImageFilter

from videoespresso.errors import UserError
from videoespresso.theatre.style import StyleFamily
from videoespresso.tools.video import VideoReader
from videoespresso.types import Picture, Video

VERSION = 1
"""Raised when the same strength would do something else."""
STRENGTHS: dict[str, tuple[float, ...]] = {
    "blur": (0.0025, 0.005, 0.01, 0.02, 0.04),
    "noise": (8, 16, 32, 64, 96),
    "dark": (0.6, 0.4, 0.25, 0.15, 0.08),
    "jpeg": (30, 20, 10, 5, 2),
    "crop": (0.95, 0.9, 0.8, 0.7, 0.5),
    "drop": (0.1, 0.3, 0.5, 0.7, 0.9),
    "fps": (4, 2, 1, 0.5, 0.25),
    "speed": (1.5, 2, 3, 4, 8),
}
"""blur: the Gaussian's radius, a share of the longer side. noise: deviation in grey levels. dark:
a factor. jpeg: quality. crop: the share of each side that is left, from the middle. drop: the share
of half seconds without a picture, the last one stays. fps: pictures a second. speed: times as fast.
Ours: from hardly seen to hardly anything left."""
STAGED: dict[str, tuple[StyleFamily, ...] | tuple[float, ...]] = {
    "style": ("held_out", "winter"),
    "length": (30.0, 120.0, 600.0, 3600.0),
}
"""Of films that are made anew, which the theatre's can be. style: as which nobody was taught.
length: seconds, between whose events nothing happens."""
SLOT_S = 0.5


def strengths(kind: str) -> int:
    """How many a kind has; 0 for what is none."""
    return len(STRENGTHS.get(kind, STAGED.get(kind, ())))


def strength(kind: str, value: str) -> int:
    """What is written behind a kind. Raises UserError for what is none of its strengths."""
    if value in map(str, range(1, (most := strengths(kind)) + 1)):
        return int(value)
    units = [f"{one:g} s" if kind == "length" else str(one) for one in STAGED.get(kind, ())]
    named = f" ({', '.join(units)})" if units else ""
    raise UserError(
        f"{kind}={value} is no strength of {kind}",
        hint=f"{kind}=1 to {kind}={most}{named}; eval stress --with {kind} takes all of them.",
    )


@dataclass(frozen=True)
class Stress:
    """One kind at one strength, 1 to 5."""

    kind: str
    strength: int

    @property
    def amount(self) -> float:
        """What the strength stands for, see STRENGTHS."""
        return STRENGTHS[self.kind][self.strength - 1]

    @property
    def speed(self) -> float:
        """How many seconds of the film pass in one."""
        return self.amount if self.kind == "speed" else 1.0

    def video(self, video: Video) -> Video:
        """The stressed film's facts, under an id of its own."""
        named = f"{video.id} {self.kind} {self.amount:g} {VERSION}"
        sha = hashlib.sha256(named.encode()).hexdigest()
        return video.model_copy(update={"id": sha, "duration_s": video.duration_s / self.speed})

    def reader(self, reader: VideoReader) -> VideoReader:
        """The stressed film, opened."""
        return StressedReader(reader, self)

    def instant(self, video_id: str, time_s: float) -> float:
        """The instant of the film that is on screen at an instant of the stressed one; grows."""
        if self.kind == "fps":
            return math.floor(time_s * self.amount + 1e-9) / self.amount
        if self.kind == "drop":
            slot = max(0, math.floor(time_s / SLOT_S))
            kept = slot
            while kept and _chance(video_id, kept) < self.amount:
                kept -= 1
            return time_s if kept == slot else (kept + 1) * SLOT_S - 1e-3
        return time_s * self.speed

    def pixels(self, video_id: str, picture: Picture) -> Picture:
        """The picture as it is seen."""
        change = _PIXELS.get(self.kind)
        if change is None:
            return picture
        image = change(Image.fromarray(picture.rgb), self.amount, f"{video_id}{picture.time_s:.3f}")
        return picture._replace(rgb=np.asarray(image.convert("RGB")))

    def back(self, record: dict[str, Any]) -> dict[str, Any]:
        """A record with the instants and boxes of the film as it is."""
        steps = [
            {
                **step,
                "time_s": round(step["time_s"] * self.speed, 3),
                "boxes": [[self._uncropped(v) for v in box] for box in step["boxes"]],
            }
            for step in record["steps"]
        ]
        picked = [round(t * self.speed, 3) for t in record["picked_s"]]
        return {**record, "steps": steps, "picked_s": picked}

    def _uncropped(self, value: float) -> float:
        if self.kind != "crop":
            return value
        return (1 - self.amount) / 2 + value * self.amount


class StressedReader:
    """`VideoReader` of a stressed film."""

    def __init__(self, reader: VideoReader, stress: Stress) -> None:
        self._reader, self._stress, self._id = reader, stress, reader.video.id
        self.video = stress.video(reader.video)

    def keyframes(self, max_side: int, *, min_gap_s: float = 0.0) -> Iterator[Picture]:
        """See `VideoReader`. Of what is left of the film, at the instants of its key frames."""
        gap, last = min_gap_s * self._stress.speed, -math.inf
        keys = self._reader.keyframes(max_side, min_gap_s=gap)
        for picture in self.at((k.time_s / self._stress.speed for k in keys), max_side):
            if picture.time_s > last:
                last = picture.time_s
                yield picture

    def at(self, times_s: Iterable[float], max_side: int) -> Iterator[Picture]:
        """See `VideoReader`."""
        wanted = (self._stress.instant(self._id, time_s) for time_s in times_s)
        for picture in self._reader.at(wanted, max_side):
            seen = self._stress.pixels(self._id, picture)
            yield seen._replace(time_s=seen.time_s / self._stress.speed)

    def jumps(self) -> list[float]:
        """See `VideoReader`."""
        return [time_s / self._stress.speed for time_s in self._reader.jumps()]

    def close(self) -> None:
        """Ends the decoding."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _chance(video_id: str, slot: int) -> float:
    """0 to 1, of a film's half second."""
    return int(hashlib.sha256(f"{video_id}{slot}".encode()).hexdigest()[:8], 16) / 16**8


def _blurred(image: Image.Image, amount: float, _: str) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(amount * max(image.size)))


def _noisy(image: Image.Image, amount: float, name: str) -> Image.Image:
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:16], 16)
    grain = np.random.default_rng(seed).normal(0, amount, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _darkened(image: Image.Image, amount: float, _: str) -> Image.Image:
    return image.point(lambda level: round(level * amount))


def _coded(image: Image.Image, amount: float, _: str) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(amount))
    return Image.open(file)


def _cropped(image: Image.Image, amount: float, _: str) -> Image.Image:
    w, h = image.size
    x, y = w * (1 - amount) / 2, h * (1 - amount) / 2
    return image.resize((w, h), box=(x, y, w - x, h - y))


_PIXELS: dict[str, Callable[[Image.Image, float, str], Image.Image]] = {
    "blur": _blurred, "noise": _noisy, "dark": _darkened, "jpeg": _coded, "crop": _cropped,
}  # fmt: skip
