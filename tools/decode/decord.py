"""Decoding through decord, for the files that decord reads right.

decord 0.6.0 gives wrong pictures after a seek where a group of pictures is open (the default of
x265 and of MPEG-4 with B-frames), and wrong times in AVI and transport streams. `fits` compares
its own table of frames with the packets of the file; where they differ, PyAV decodes instead.
"""

from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from videoespresso.tools.decode.bytes import CONTAINERS, looks_like
from videoespresso.tools.decode.picture import reduced
from videoespresso.tools.decode.probe import Beat, Facts, open_stream, packets_of
from videoespresso.tools.decode.pyav import EPSILON_S, Decoded

_KNOWN_CONTAINERS = frozenset({"mov", "matroska", "avi"})

_SAME_INSTANT_S = 0.0005
"""decord keeps instants as 32-bit floats: half a millisecond holds for over an hour."""

_WIDTH_STEP = 64
"""decord derives the number of channels from the padded row; whole rows of 64 pixels need none."""


class Table:
    """Every frame of a file in display order: exact seconds, and which ones are key frames."""

    def __init__(self, path: str, facts: Facts, beat: Beat) -> None:
        container, stream = open_stream(path)
        entries: list[tuple[int, bool]] = []
        with container:
            for packet in packets_of(path, container, stream):
                beat()
                if packet.size and packet.pts is not None:
                    entries.append((packet.pts, packet.is_keyframe))
        entries.sort()
        self.instants = [(pts - facts.start) * facts.time_base for pts, _ in entries]
        self.keys = [i for i, (_, key) in enumerate(entries) if key]

    def index(self, time_s: float) -> int:
        """The frame on screen at `time_s`; the first one before that."""
        return max(0, bisect_right(self.instants, Fraction(time_s) + EPSILON_S) - 1)


class Decord:
    """A file that decord was found to read right; makes the streams of pictures."""

    def __init__(self, path: str, facts: Facts, table: Table, beat: Beat) -> None:
        self._path, self._facts, self._table, self._beat = path, facts, table, beat

    def at(self, max_side: int) -> "DecordStream":
        """The frame on screen at growing instants."""
        return DecordStream(self._reader(max_side), self._facts, self._table, max_side, None)

    def keyframes(self, max_side: int, min_gap_s: float) -> "DecordStream":
        """Key frames, at least `min_gap_s` apart."""
        keys = self._apart(min_gap_s)
        return DecordStream(self._reader(max_side), self._facts, self._table, max_side, keys)

    def _apart(self, min_gap_s: float) -> Iterator[int]:
        last: Fraction | None = None
        for index in self._table.keys:
            if last is None or self._table.instants[index] - last >= Fraction(min_gap_s):
                last = self._table.instants[index]
                yield index

    def _reader(self, max_side: int) -> Any:
        import decord  # noqa: PLC0415 - optional: it has no wheel on every platform

        width, height = reduced(self._facts.width, self._facts.height, max_side)
        if self._facts.rotation in (90, 270) and not _turns_itself(self._facts):
            width, height = height, width
        return decord.VideoReader(
            self._path, width=-(-width // _WIDTH_STEP) * _WIDTH_STEP, height=height
        )


class DecordStream:
    """Pictures of one request, one a call."""

    def __init__(
        self, reader: Any, facts: Facts, table: Table, max_side: int, keys: Iterator[int] | None
    ) -> None:
        self._reader, self._facts, self._table = reader, facts, table
        self._size = reduced(facts.width, facts.height, max_side)
        self._keys = keys

    def next(self, time_s: float | None) -> Decoded | None:
        """The frame on screen at `time_s`, or the next key frame; None at the end."""
        if self._keys is None:
            index: int | None = self._table.index(time_s or 0.0)
        else:
            index = next(self._keys, None)
        if index is None:
            return None
        rgb = self._upright(self._reader[index].asnumpy())
        return Decoded(float(self._table.instants[index]), index, rgb)

    def _upright(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        width, height = self._size
        if not _turns_itself(self._facts):
            rgb = np.rot90(rgb, -self._facts.rotation // 90)
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
        exact = frame.reformat(
            width=width, height=height, interpolation=Interpolation.AREA
        ).to_ndarray()
        return np.ascontiguousarray(exact, dtype=np.uint8)

    def close(self) -> None:
        """Closes the file."""
        self._reader = None


def _turns_itself(facts: Facts) -> bool:
    """decord follows the rotation of the QuickTime family only."""
    return "mov" in facts.container.split(",")


def fits(path: str, facts: Facts, beat: Beat) -> Decord | None:
    """decord on this file, or None where its frames are not the file's.

    Raises `ImportError` where decord is not installed.
    """
    import decord  # noqa: PLC0415 - optional: it has no wheel on every platform

    if facts.counted or not _KNOWN_CONTAINERS & set(facts.container.split(",")):
        return None
    if looks_like(path) not in CONTAINERS:  # its FFmpeg would follow a playlist before the film
        return None
    if facts.transfer or facts.interlaced or not (facts.alone and facts.orientation.a_rotation):
        return None
    table = Table(path, facts, beat)
    try:
        reader = decord.VideoReader(path)
        times = np.asarray(reader.get_frame_timestamp(range(len(reader))))[:, 0]
        keys = reader.get_key_indices()
    except (decord.DECORDError, RuntimeError):
        return None
    expected = np.array([float(t) for t in table.instants])
    if keys != table.keys or times.shape != expected.shape:
        return None
    if not np.allclose(times, expected, rtol=0, atol=_SAME_INSTANT_S):
        return None
    return Decord(path, facts, table, beat)
