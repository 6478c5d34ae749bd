"""Subtitles and sound, decoded: text streams, side-car files, and samples for a speech model.

Runs in the decoding process (`worker.py`), as everything does that reads a stranger's file;
`tools/streams.py` is the door for everyone else.
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from videoespresso.errors import VideoError
from videoespresso.tools.decode.probe import Beat, moving, open_file, packets_of

RATE = 16_000
"""Samples a second, which speech models take."""
MOST_LINES = 20_000
"""Subtitles of one request: a film has two thousand."""
MOST_LETTERS = 2_000
"""Of one subtitle; what is longer is no line of a film, and is cut."""
MOST_BYTES = 32 << 20
"""Of a side-car file: a film's has 200 kB."""
TEXTS = ("subrip", "srt", "ass", "ssa", "webvtt", "mov_text")

Window = tuple[float, float]


class Line(NamedTuple):
    """A subtitle from start_s to end_s, in seconds from the video stream's start."""

    start_s: float
    end_s: float
    text: str


def embedded(path: str, spans: Sequence[Window], beat: Beat) -> list[Line]:
    """The lines of text streams that touch one of the spans. Raises `VideoError`."""
    with open_file(path) as container:
        # a stream without a decoder has no codec context
        streams: list[Any] = [s for s in container.streams.subtitles if _context(s) is not None]
        texts = [stream for stream in streams if _is_text(stream)]
        if streams and not texts:
            kind = streams[0].codec_context.name
            raise VideoError(
                f"the subtitles are pictures ({kind}), not text; "
                "the tool read_text reads what is on the frames only",
                hint="put a .srt file of the same name beside the video",
            )
        if not texts:
            return []
        return _near(_lines(path, container, texts, _video_start(container), beat), spans)


def beside(path: str, spans: Sequence[Window], beat: Beat) -> list[Line]:
    """The lines of a side-car file that touch one of the spans. Raises `VideoError`, and
    `ImportError` without pysubs2."""
    import pysubs2  # noqa: PLC0415 - the extra `subtitles`

    name, size = Path(path).name, os.path.getsize(path)
    if size > MOST_BYTES:
        raise VideoError(
            f"{name} has {size >> 20} MB, too large for subtitles", hint="give the right file"
        )
    beat()
    try:
        subtitles = pysubs2.load(path, encoding="utf-8-sig", errors="replace")
        lines = [
            Line(event.start / 1000, event.end / 1000, event.plaintext)
            for event in subtitles
            if not event.is_comment
        ]
    except MemoryError:
        raise
    except Exception as error:
        raise VideoError(
            f"{name} cannot be read: {type(error).__name__}",
            hint="convert it: ffmpeg -i INPUT OUTPUT.srt",
        ) from error
    return _near(iter(lines), spans)


def sound(path: str, start_s: float, end_s: float, beat: Beat) -> NDArray[np.float32]:
    """The first sound stream from start_s to end_s of the video's clock: (samples,), one channel,
    RATE a second, -1 to 1; silence where there is none. Raises `VideoError`."""
    samples = np.zeros(max(0, math.ceil((end_s - start_s) * RATE)), np.float32)
    with open_file(path) as container:
        stream: Any = next((s for s in container.streams.audio if _context(s) is not None), None)
        if stream is None:
            raise VideoError(
                f"{Path(path).name} has no sound that can be decoded",
                hint="convert it: ffmpeg -i INPUT -c:a aac OUTPUT.mp4",
            )
        begin = start_s + _video_start(container)
        _seek(container, stream, begin)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        for packet in packets_of(path, container, stream):
            beat()
            for frame in _frames(packet):
                if frame.time is None:
                    continue
                if frame.time >= begin + end_s - start_s:
                    return samples
                _put(samples, resampler, frame, begin)
    return samples


def _seek(container: InputContainer, stream: Any, time_s: float) -> None:
    try:
        container.seek(int(max(0.0, time_s - 1) / stream.time_base), stream=stream)
    except av.error.FFmpegError:  # it cannot: then from the start
        return


def _frames(packet: Any) -> list[Any]:
    try:
        return list(packet.decode())
    except av.error.FFmpegError:
        return []


def _put(samples: NDArray[np.float32], resampler: Any, frame: Any, begin: float) -> None:
    """Each part goes to where its instant says: gaps stay silent."""
    try:
        parts = resampler.resample(frame)
    except (av.error.FFmpegError, ValueError):  # the layout changed in mid-stream
        return
    for part in parts:
        if part.time is None:
            continue
        at, values = round((part.time - begin) * RATE), part.to_ndarray().reshape(-1)
        low, high = max(0, at), min(len(samples), at + len(values))
        if low < high:
            samples[low:high] = values[low - at : high - at]


def _near(lines: Iterator[Line], spans: Sequence[Window]) -> list[Line]:
    """Those within the spans, each with its spaces in order, each once. Raises `VideoError`."""
    ordered: dict[Line, None] = {}
    for line in lines:
        text = " ".join(line.text[: 4 * MOST_LETTERS].split())[:MOST_LETTERS]
        if text and any(line.start_s < end and line.end_s > start for start, end in spans):
            ordered[line._replace(text=text)] = None
        if len(ordered) > MOST_LINES:
            raise VideoError(
                f"there are more than {MOST_LINES} subtitles in this stretch",
                hint="ask about a shorter stretch",
            )
    return list(ordered)


def _video_start(container: InputContainer) -> float:
    """The instant at which the video stream begins, on the container's clock, in seconds."""
    stream = next(iter(moving(container)), None)
    if stream is None or stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


def _context(stream: Any) -> Any:
    return getattr(stream, "codec_context", None)


def _is_text(stream: Any) -> bool:
    name = stream.codec_context.name
    return "text" in name or name in TEXTS


def _lines(
    path: str, container: InputContainer, streams: list[Any], offset: float, beat: Beat
) -> Iterator[Line]:
    for packet in packets_of(path, container, streams):
        beat()
        if packet.pts is None or not packet.size or packet.time_base is None:
            continue
        start = float(packet.pts * packet.time_base) - offset
        length = float((packet.duration or 0) * packet.time_base)
        for subtitle in _frames(packet):
            yield Line(start, start + length, _dialogue(subtitle))


def _dialogue(subtitle: Any) -> str:
    """The words of a decoded subtitle, without ASS's codes."""
    text = getattr(subtitle, "dialogue", b"") or getattr(subtitle, "text", b"")
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
