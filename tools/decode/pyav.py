"""Decoding through PyAV: exact instants, upright pictures at reduced size, memory flat in length.

Runs in the decoding process (`worker.py`); `video.py` is the door for everyone else.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from videoespresso.tools.decode.picture import picture
from videoespresso.tools.decode.probe import Beat, Facts, drain, frames_of, open_stream, packets_of

EPSILON_S = Fraction(1, 1_000_000)
"""An instant that went through a float still names its frame."""

_BLIND_JUMP_S = 10.0
"""How far ahead a target must be before a container without a full index is asked to seek."""


_SPARING = frozenset({"h264"})
"""Codecs whose frames say for certain whether others lean on them (nal_ref_idc 0, ITU-T H.264). In
HEVC a frame of a higher temporal layer may."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture on its way out: seconds from the stream's start, place in it or -1, pixels."""

    time_s: float
    index: int
    rgb: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shown:
    """A decoded frame, `pts` in units of the stream's time base."""

    pts: int
    index: int
    frame: VideoFrame


class Source:
    """One pass over a file: opened, seekable, decoding frames in display order."""

    def __init__(self, path: str, facts: Facts, beat: Beat) -> None:
        self.facts = facts
        self._path, self._beat = path, beat
        self.container, self.stream = open_stream(path)
        self.stream.thread_type = "AUTO"
        self._sought = False
        self._last: int | None = None
        self._spares = facts.codec in _SPARING and not facts.counted
        self._sent: int | None = None
        self._spared: list[int] = []
        self.target: int | None = None
        """Frames before the one on screen at this pts need not be decoded to be shown."""
        self._step = max(1, round(1 / facts.fps / facts.time_base))

    def close(self) -> None:
        """Closes the file."""
        self.container.close()

    def seconds(self, pts: int) -> float:
        """Seconds from the stream's start."""
        return float((pts - self.facts.start) * self.facts.time_base)

    def pts(self, time_s: float) -> int:
        """The last tick at or before `time_s`."""
        return self.facts.start + math.floor((Fraction(time_s) + EPSILON_S) / self.facts.time_base)

    def seek(self, pts: int) -> None:
        """To a key frame at or before `pts`, as far as the container knows."""
        self.container.seek(pts, stream=self.stream)
        self._sought, self._last, self._sent = True, None, None
        self._spared = []

    def frames(self) -> Iterator[Shown]:
        """Frames from here on, in strictly growing pts.

        After a seek, frames displayed before the key frame are left out: in an open group of
        pictures they lean on frames that were never decoded and come out as rubbish.
        """
        floor: int | None = None
        skipped = 0
        for number, (frame, key_pts) in enumerate(self._decoded()):
            pts = number if self.facts.counted else frame.pts
            skipped += self._skipped_before(pts)
            if pts is None:
                pts = self.facts.start if self._last is None else self._last + self._step
            floor = key_pts if floor is None else floor
            if (self._sought and pts < floor) or (self._last is not None and pts <= self._last):
                continue
            self._last = pts
            yield Shown(pts, -1 if self._sought else number + skipped, frame)

    def _decoded(self) -> Iterator[tuple[VideoFrame, int]]:
        """Frames in display order, each with the pts of the key frame that decoding began at."""
        key: int | None = None if self._sought else self.facts.start
        for packet in packets_of(self._path, self.container, self.stream):
            self._beat()
            if key is None and packet.size:
                if not packet.is_keyframe or packet.pts is None:
                    continue
                key = packet.pts
            self._spare(packet)
            for frame in frames_of(packet):
                yield frame, key or 0

    def _spare(self, packet: "Packet[VideoStream]") -> None:
        """Tells the decoder to leave a frame out if none leans on it and it is not to be shown: one
        that was sent before is shown later than it, and yet before the target."""
        if not self._spares or packet.pts is None:
            return
        sent = packet.pts if self._sent is None else self._sent
        spare = self.target is not None and packet.pts < sent <= self.target
        self.stream.codec_context.skip_frame = "NONREF" if spare else "DEFAULT"
        if spare:
            self._spared.append(packet.pts)
        self._sent = max(sent, packet.pts)

    def _skipped_before(self, pts: int | None) -> int:
        """How many frames were left out since the last one, which the number of this one counts."""
        if pts is None or not self._spared:
            return 0
        before = sum(spared < pts for spared in self._spared)
        self._spared = [spared for spared in self._spared if spared > pts]
        return before

    def keyframes(self, min_gap_s: float = 0.0) -> Iterator[Shown]:
        """Key frames only; the rest is read but neither decoded nor converted.

        min_gap_s leaves out key frames closer than that to the last one taken. A container
        without display times has to be decoded in full.
        """
        gap = math.ceil(Fraction(min_gap_s) / self.facts.time_base) if min_gap_s else 0
        if self.facts.counted:
            yield from _apart((s for s in self.frames() if s.frame.key_frame), gap)
            return
        self.stream.codec_context.skip_frame = "NONKEY"
        last: int | None = None
        for packet in packets_of(self._path, self.container, self.stream):
            self._beat()
            if packet.size and not packet.is_keyframe:
                continue
            if packet.pts is not None and last is not None and packet.pts - last < max(gap, 1):
                continue
            last = packet.pts if packet.pts is not None else last
            for frame in self._alone(packet):
                if frame.pts is not None:
                    yield Shown(frame.pts, -1, frame)

    def _alone(self, packet: "Packet[VideoStream]") -> list[VideoFrame]:
        """A key frame without its followers. The decoder is emptied after each one: while it waits
        for frames that never come it holds key frames back, and gave them in reverse order."""
        frames = frames_of(packet)
        if packet.size:
            frames += drain(self.stream)
            self.stream.codec_context.flush_buffers()
        return frames

    def rgb(self, frame: VideoFrame, max_side: int) -> NDArray[np.uint8]:
        """(height, width, 3), upright, square pixels, the longer side at most `max_side`."""
        facts = self.facts
        return picture(frame, max_side, facts.aspect, facts.orientation, facts.transfer)


def _apart(shown: Iterator[Shown], gap: int) -> Iterator[Shown]:
    last: int | None = None
    for item in shown:
        if last is None or item.pts - last >= gap:
            last = item.pts
            yield item


class KeyFrames:
    """Key frames as pictures, one a call."""

    def __init__(
        self, path: str, facts: Facts, beat: Beat, max_side: int, min_gap_s: float
    ) -> None:
        self._source = Source(path, facts, beat)
        self._frames = self._source.keyframes(min_gap_s)
        self._max_side = max_side

    def next(self, time_s: float | None) -> Decoded | None:
        """The next one, None at the end. `time_s` plays no part."""
        shown = next(self._frames, None)
        if shown is None:
            return None
        rgb = self._source.rgb(shown.frame, self._max_side)
        return Decoded(self._source.seconds(shown.pts), shown.index, rgb)

    def close(self) -> None:
        """Closes the file."""
        self._source.close()


class At:
    """The frame on screen at growing instants: decodes on, and seeks where that saves decoding."""

    def __init__(self, path: str, facts: Facts, beat: Beat, max_side: int) -> None:
        self._path, self._facts, self._beat, self._max_side = path, facts, beat, max_side
        self._blind_jump_s = _BLIND_JUMP_S
        self._restart()

    def _restart(self) -> None:
        self._source = Source(self._path, self._facts, self._beat)
        self._frames = self._source.frames()
        self._on: Shown | None = None
        self._ahead = next(self._frames, None)

    def next(self, time_s: float | None) -> Decoded | None:
        """The last frame with pts <= time_s; before the first frame, the first."""
        target = self._source.pts(time_s or 0.0)
        if self._worth_a_jump(target):
            self._jump(target)
        self._source.target = target
        while self._ahead is not None and (self._on is None or self._ahead.pts <= target):
            self._on, self._ahead = self._ahead, next(self._frames, None)
        if self._on is None:
            return None
        rgb = self._source.rgb(self._on.frame, self._max_side)
        return Decoded(self._source.seconds(self._on.pts), self._on.index, rgb)

    def _worth_a_jump(self, target: int) -> bool:
        """True if a key frame lies between here and the target."""
        if self._facts.counted or self._ahead is None or target <= self._ahead.pts:
            return False
        ahead_s = float((target - self._ahead.pts) * self._facts.time_base)
        if not {"mov", "avi"} & set(self._facts.container.split(",")):
            return ahead_s > self._blind_jump_s
        entries = self._source.stream.index_entries
        entry = entries.search_timestamp(target, backward=True, any_frame=False)
        return entry >= 0 and entries[entry].timestamp > self._ahead.pts

    def _jump(self, target: int) -> None:
        """Seeks so that the next frame is at or before the target, from farther back if need be."""
        here = self._ahead.pts if self._ahead else self._facts.start
        for back_s in (0, 1, 4, 16):
            self._source.seek(max(here, target - round(back_s / self._facts.time_base)))
            self._frames = self._source.frames()
            first = next(self._frames, None)
            if first is not None and first.pts <= target:
                if first.pts <= here:
                    self._blind_jump_s *= 2  # it brought nothing: key frames are farther apart
                self._on, self._ahead = None, first
                return
        self._source.close()
        self._restart()

    def close(self) -> None:
        """Closes the file."""
        self._source.close()
