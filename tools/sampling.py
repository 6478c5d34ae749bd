"""Which instants to look at: key frames first, then 1 to 4 frames a second, then closer.

A second in which nothing can be seen to change gives one frame, a second with some motion two, one
with much of it four (paper, step 1: FPS = 1 for static and 2-4 for dynamic scenes). Each frame
carries the rule that chose it. A video too long for `max_frames` is looked at evenly, by its key
frames, as those are many times cheaper to decode; between two of them only where something speaks
for a change that neither shows.

Two frames are similar if no cell of their fingerprints, small colour pictures, differs by more than
`THRESHOLD`. A 64-bit hash of the whole frame would call a red light and a green one the same; a
comparison pixel by pixel would call codec noise a change.
"""

import hashlib
import itertools
import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple, NewType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videoespresso.tools.video import VideoReader
from videoespresso.types import Picture

GRID = (96, 54)
"""Cells across and down. At 320x180 a cell is 3.3 pixels wide, so that a mouth, ten pixels wide
and one and a half thick, fills cells; at 64x36 it drowned in codec noise (docs/log.md)."""

THRESHOLD = 40.0
"""The largest difference of a cell (levels, 0-255) that counts as noise. Drawn 320x180 scenes with
texture through H.264 at crf 18-33: unchanged cells differed by at most 25, with sensor noise
(sigma 4) too by at most 39; a mouth ten pixels wide that turned from smile to frown by at least 65.
Theatre videos at crf 23-33: noise at most 16 (1,560 pairs), another mood at least 128 (144), a
light at least 173 (12). Lower, noise costs captions; higher, missed changes cost answers."""

AREA_GAIN = 2.0
"""Over an area noise averages out, so there a change of 40 / 2 = 20 levels over 3x3 cells counts: a
figure in fog, a door opened in the dark. Noise reached 18 (crf 33 with sensor noise), else 13."""

Fingerprint = NewType("Fingerprint", NDArray[np.uint8])
"""(54, 96, 3) uint8: 15.6 kB a frame."""


def fingerprint(image: NDArray[np.uint8] | Image.Image) -> Fingerprint:
    """The frame as `GRID` colour means. Compare frames of one size: a cell is whole pixels.

    image: RGB, (height, width, 3) uint8, or a PIL image.
    """
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image.convert("RGB")
    return Fingerprint(np.asarray(picture.resize(GRID, Image.Resampling.BOX), dtype=np.uint8))


def difference(a: Fingerprint, b: Fingerprint) -> NDArray[np.float32]:
    """How much every cell changed: (54, 96) float32 in levels, to be held against `THRESHOLD`.

    The larger of the cell's own change and `AREA_GAIN` times that of the 3x3 cells around it, in
    the colour that changed most. The area's is signed until it is averaged: noise cancels out.
    """
    delta = a.astype(np.int16) - b.astype(np.int16)
    rows = delta[:-2] + delta[1:-1] + delta[2:]
    area = np.abs(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]).max(axis=2)
    changed: NDArray[np.float32] = np.abs(delta).max(axis=2).astype(np.float32)
    inner = changed[1:-1, 1:-1]
    np.maximum(inner, area * np.float32(AREA_GAIN / 9), out=inner)
    return changed


def similar_frames(a: Fingerprint, b: Fingerprint, threshold: float = THRESHOLD) -> bool:
    """True if no cell differs by more than `threshold` levels."""
    return bool(difference(a, b).max() <= threshold)


def changed_share(a: Fingerprint, b: Fingerprint, threshold: float = THRESHOLD) -> float:
    """The share of the frame, 0-1, in which a difference can be seen."""
    return float((difference(a, b) > threshold).mean())


def first_of_similar(
    frames: Iterable[tuple[str, NDArray[np.uint8] | Image.Image]], compared: int
) -> dict[str, str]:
    """Frame id -> id of an earlier similar frame, itself where there is none.

    frames: ids and pictures in time order; one picture is held at a time. compared: with how many
    of the latest different frames each is compared, the nearest first.
    """
    recent: deque[tuple[str, Fingerprint]] = deque(maxlen=compared)
    first: dict[str, str] = {}
    for name, image in frames:
        mark = fingerprint(image)
        similar = (other for other, seen in reversed(recent) if similar_frames(mark, seen))
        first[name] = next(similar, name)
        if first[name] == name:
            recent.append((name, mark))
    return first


VERSION = 3
"""Raised when the same plan would choose other frames: an old sampling is then not reused."""


class Sampled(NamedTuple):
    """A picture and the rule that chose it."""

    picture: Picture
    rule: str


@dataclass(frozen=True)
class SamplingPlan:
    """How to sample. Rates are frames a second, `max_side` pixels of the longer side.

    static_fps, dynamic_fps: the rates of still and of moving stretches (paper: 1 and 2-4).
    max_frames: the most frames of one sampling; a longer video is sampled at a lower, even rate.
    max_side: 640 keeps a face in a group readable and is what small vision models take.
    much: the share of the frame that must change within a second for the full rate; a walking
        person covers 2-5 %, a pan, a cut or a close-up far more.
    refine_fps, refine_frames: the rate of `refine` and its most frames.
    thorough: of a video too long for `max_frames` every stretch is looked at, also where nothing
        speaks for a change; most of it is then decoded.
    """

    static_fps: float = 1.0
    dynamic_fps: float = 4.0
    max_frames: int = 240
    max_side: int = 640
    much: float = 0.10
    refine_fps: float = 8.0
    refine_frames: int = 32
    thorough: bool = False

    def __post_init__(self) -> None:
        rates = self.static_fps, self.dynamic_fps, self.refine_fps
        if not all(0 < rate < math.inf for rate in rates) or self.dynamic_fps < self.static_fps:
            raise ValueError(f"rates must be above 0, and dynamic_fps not below static_fps: {self}")
        if min(self.max_frames, self.max_side, self.refine_frames) < 1:
            raise ValueError(f"max_frames, max_side and refine_frames must be at least 1: {self}")

    def key(self) -> str:
        """Names what this plan does to a video, for the frame store."""
        content = {**asdict(self), "version": VERSION, "same": [*GRID, THRESHOLD, AREA_GAIN]}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


_TINY = 16
"""The longer side of a key frame of which only the instant is wanted."""
_NEAR_S = 5.0
"""Key frames closer than this are not looked between for their pixels alone."""
_FAR_S = 10.5
"""Key frames farther apart are too few to tell what is between: encoders' default is 250 frames,
10 s at 25 frames a second."""
_CUT = 0.5
"""Two frames that differ in at least this share are not of one shot: 37 of 38 cuts between the key
frames of a film of docs/results/decode.md had 0.54 to 1.0."""
_APART_S = 0.5
"""Key frames closer than this are one shot's: nobody cuts faster."""
_AFTER_S = 0.2
"""A look at what came in suddenly, a moment after: the first frames of it may be those of a fade,
and an encoder spends bytes just before a cut, too."""


def sample(reader: VideoReader, plan: SamplingPlan) -> Iterator[Sampled]:
    """Frames of the whole video in time order, each instant once, at most `plan.max_frames`.

    At most a second's worth of pictures is held at a time. Raises `VideoError` where the file
    cannot be decoded any further.
    """
    chosen = _every_second if _affordable(reader, plan) else _evenly
    last = -math.inf
    for count, sampled in enumerate(chosen(reader, plan)):
        if count >= plan.max_frames:
            return
        if sampled.picture.time_s > last:
            last = sampled.picture.time_s
            yield sampled


def refine(
    reader: VideoReader, start_s: float, end_s: float, plan: SamplingPlan
) -> Iterator[Sampled]:
    """Frames of start_s <= t < end_s, closer together, under the rule "refine <start>-<end>".

    `plan.refine_fps` a second, at a lower even rate where that were more than `refine_frames`.
    """
    start_s, end_s = max(0.0, start_s), min(end_s, reader.video.duration_s)
    count = min(math.ceil((end_s - start_s) * plan.refine_fps - 1e-6), plan.refine_frames)
    if count < 1:
        return
    times = [start_s + (end_s - start_s) * i / count for i in range(count)]
    rule = f"refine {start_s:.1f}-{end_s:.1f}"
    last = -math.inf
    for picture in reader.at(times, plan.max_side):
        if picture.time_s > last:
            last = picture.time_s
            yield Sampled(picture, rule)


def _affordable(reader: VideoReader, plan: SamplingPlan) -> bool:
    """True if every second can have its frame."""
    return reader.video.duration_s * plan.static_fps <= plan.max_frames


class _Candidate(NamedTuple):
    picture: Picture
    mark: Fingerprint
    is_key: bool


class _Slot(NamedTuple):
    period: int
    time_s: float
    is_key: bool


def _every_second(reader: VideoReader, plan: SamplingPlan) -> Iterator[Sampled]:
    """One frame a period (1 / static_fps), up to dynamic_fps where the pixels change.

    Frames not spent on still periods are saved up for moving ones, so `max_frames` holds without
    knowing what comes.
    """
    allowance = plan.max_frames / max(1, math.ceil(reader.video.duration_s * plan.static_fps))
    saved = 0.0
    last: Fingerprint | None = None
    for candidates, after in _periods(reader, plan):
        saved += allowance
        chosen = list(_chosen(candidates, after, plan, last))
        kept = chosen[: max(1, int(saved + 1e-6))]
        saved -= len(kept)
        last = kept[-1][0].mark
        for candidate, rule in kept:
            cut = f", cut by max_frames={plan.max_frames}" if len(kept) < len(chosen) else ""
            yield Sampled(candidate.picture, rule + cut)


def _periods(
    reader: VideoReader, plan: SamplingPlan
) -> Iterator[tuple[list[_Candidate], _Candidate]]:
    """The candidate frames of each period, and the first one after it."""
    slots = _slots(reader, plan)
    period: list[_Candidate] = []
    number = 0
    times = [slot.time_s for slot in slots]
    for slot, picture in zip(slots, reader.at(times, plan.max_side), strict=False):
        candidate = _Candidate(picture, fingerprint(picture.rgb), slot.is_key)
        if slot.period != number:
            yield period, candidate
            period, number = [], slot.period
        if not period or picture.time_s > period[-1].picture.time_s:
            period.append(candidate)
    if period:
        yield period, period[-1]


def _slots(reader: VideoReader, plan: SamplingPlan) -> list[_Slot]:
    """Even instants; a key frame takes the place of the nearest one that does not begin a period.

    Key frames stand where encoders saw a cut, so they are the better instant of the two.
    """
    per_period = max(1, round(plan.dynamic_fps / plan.static_fps))
    rate = per_period * plan.static_fps
    count = max(1, math.ceil(reader.video.duration_s * rate - 1e-6))
    slots = [_Slot(i // per_period, i / rate, False) for i in range(count)]
    for key in reader.keyframes(_TINY, min_gap_s=1 / rate):
        if key.time_s < 0:  # in damaged files some lie before the stream's own start
            continue
        nearest = min(round(key.time_s * rate), count - 1)
        if nearest % per_period or key.time_s == slots[nearest].time_s:
            slots[nearest] = _Slot(nearest // per_period, key.time_s, True)
    return slots


def _chosen(
    candidates: list[_Candidate], after: _Candidate, plan: SamplingPlan, last: Fingerprint | None
) -> Iterator[tuple[_Candidate, str]]:
    """The candidates of a period to keep, each with the rule; more of them where more changes."""
    following = [*candidates[1:], after]
    change = max(changed_share(a.mark, b.mark) for a, b in zip(candidates, following, strict=True))
    full = max(1, round(plan.dynamic_fps / plan.static_fps))
    if not change:
        count, word = 1, "static"
    else:
        count, word = (full if change >= plan.much else max(2, full // 2)), "dynamic"
    count = min(count, full)
    even = {i * len(candidates) // count for i in range(count)}
    rule = f"fps={count * plan.static_fps:g} {word}"
    for i, candidate in enumerate(candidates):
        new_key = candidate.is_key and (last is None or not similar_frames(candidate.mark, last))
        if i in even or new_key:
            last = candidate.mark
            yield candidate, "keyframe" if candidate.is_key else rule


class _Key(NamedTuple):
    stretch: int
    picture: Picture


def _evenly(reader: VideoReader, plan: SamplingPlan) -> Iterator[Sampled]:
    """`max_frames` equal stretches with a frame each: key frames, and between them where something
    speaks for a change. What a stretch does not spend, a later one of short shots may."""
    step = reader.video.duration_s / plan.max_frames
    why = f"1 every {step:.3g} s, cut by max_frames={plan.max_frames}"
    far_s = 0.0 if plan.thorough else _FAR_S
    near = step < far_s
    jumps = [time_s + _AFTER_S for time_s in reader.jumps()] if near else []
    wanted: deque[float] = deque()
    others = reader.at((wanted.popleft() for _ in itertools.count()), plan.max_side)
    keys = reader.keyframes(plan.max_side, min_gap_s=min(step / 2, _APART_S) if near else step / 2)
    count = 0
    last: _Key | None = None
    between = partial(_between, reader.video.duration_s, plan.max_frames, jumps, far_s)
    for key in itertools.chain((_Key(math.floor(p.time_s / step), p) for p in keys), (None,)):
        if key and (key.stretch < count or key.picture.time_s < 0):
            continue
        room = (key.stretch if key else plan.max_frames) - count
        for time_s in between(last, key)[:room]:
            wanted.append(time_s)
            if (picture := next(others, None)) is None:
                break
            count += 1
            yield Sampled(picture, f"fps={1 / step:.3g} {why}")
        if key:
            count += 1
            yield Sampled(key.picture, f"keyframe {why}")
        last = key


def _between(
    duration_s: float,
    stretches: int,
    jumps: Sequence[float],
    far_s: float,
    last: _Key | None,
    key: _Key | None,
) -> list[float]:
    """Instants to look at after one key frame and before the next.

    Far apart, the middle of every stretch. Else where the size of a frame jumps; or in the middle,
    if the two differ and are of one shot: what a cut brings is seen in a key frame of its own.
    """
    first, begin = (last.stretch + 1, last.picture.time_s) if last else (0, 0.0)
    end, stop = (key.picture.time_s, key.stretch) if key else (duration_s, stretches)
    if last is None or end - begin > far_s:
        return [(i + 0.5) * duration_s / stretches for i in range(first, stop)]
    between = [time_s for time_s in jumps if begin < time_s < end]
    if not between and end - begin >= _NEAR_S and (key is None or _one_shot(last, key)):
        return [(begin + end) / 2]
    return between


def _one_shot(a: _Key, b: _Key) -> bool:
    """Whether both show the same and yet something else."""
    change = changed_share(fingerprint(a.picture.rgb), fingerprint(b.picture.rgb))
    return 0 < change < _CUT
