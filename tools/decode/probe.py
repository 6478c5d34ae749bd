"""What a file says about its video, and why a file cannot be read. Runs in the decoding process."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videoespresso.errors import VideoError
from videoespresso.tools.decode.bytes import begins_late, looks_like, missing_bytes
from videoespresso.tools.decode.picture import (
    TRANSFERS,
    Orientation,
    displayed,
    orientation,
    quarters,
)

Beat = Callable[[], None]
"""Called whenever the decoding makes progress. The watchdog ends a process without any."""

PLAYLISTS = frozenset({"tty", "concat", "hls", "dash", "image2", "sdp"})
"""FFmpeg "formats" that are text or name other files, which the user did not give to be read."""

MOST_PIXELS = (8192 + 64) * (4320 + 64)
"""Pixels of a frame: 8K, as films have it, upright or not, and 64 that decoders may add to a side.
A larger one is rather an attack than a film."""

MOST_THREADS = 16
"""Of a decoder: FFmpeg's own limit, which dav1d does not keep. Each takes addresses (worker.py)."""
MOST_STREAMS = 128
"""Streams of a file; a broadcast multiplex has 60. FFmpeg's own limit is 1000."""

_NOMINAL = Fraction(1, 50)
"""An average rate within 2 % of the nominal one is the nominal one: the average only counts the
last frame's duration differently (25 fps over two seconds reads 24.98)."""

_CONVERT = "convert it: ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"
_SMALL = "convert it: ffmpeg -i INPUT -vf scale=1920:-2 OUTPUT.mp4"


@dataclass(frozen=True)
class Facts:
    """A video stream, as displayed. `start` is in units of `time_base`; instants count from it.

    counted: the container stores no display times (AVI with B-frames, a coded stream without any
    container), so a frame's instant is its number over the rate and only reading from the start
    gives it. orientation,
    aspect, transfer: what makes a stored frame a picture (picture.py). alone: there is no other
    video stream. note: what a person should know of the file, "" for nothing.
    """

    start: int
    time_base: Fraction
    duration_s: float
    fps: Fraction
    width: int
    height: int
    rotation: int
    has_audio: bool
    codec: str
    container: str
    counted: bool
    orientation: Orientation = field(default_factory=Orientation)
    aspect: Fraction = Fraction(1)
    transfer: str = ""
    interlaced: bool = False
    alone: bool = True
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values; fractions as "num/den"."""
        return {k: str(v) if isinstance(v, Fraction) else v for k, v in asdict(self).items()}


def open_file(path: str, begin: int = 0) -> InputContainer:
    """The container, of at most MOST_STREAMS streams. begin: bytes that stand before it, found out
    where it cannot be opened as it is.

    Only the file itself is opened: "file:" keeps names with a colon from being taken for a
    protocol, and the whitelist keeps a playlist from reaching the network. Raises `VideoError`.
    """
    whole = f"subfile,,start,{begin},end,{os.path.getsize(path)},,:" if begin else ""
    allowed = "file,subfile" if begin else "file"
    options = {"protocol_whitelist": allowed, "max_streams": str(MOST_STREAMS + 1)}
    try:
        container = av.open(f"{whole}file:{path}", options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        if not begin and not isinstance(error, OSError) and (late := begins_late(path)[0]):
            return open_file(path, late)
        raise _unreadable(path, error) from error
    name = Path(path).name
    playlist = bool(PLAYLISTS & set(container.format.name.split(",")))
    # what begins late is taken for a playlist, or for the coded stream that is somewhere in it
    if not begin and (playlist or _is_bare(container)) and (late := begins_late(path)[0]):
        container.close()
        return open_file(path, late)
    if playlist:
        container.close()
        raise VideoError(
            f"{name} is a text file or a playlist, not a video", hint="give the video file itself"
        )
    if len(container.streams) > MOST_STREAMS:
        container.close()
        raise VideoError(
            f"{name} has more than {MOST_STREAMS} streams",
            hint="keep one: ffmpeg -i INPUT OUTPUT.mp4",
        )
    return container


def open_stream(path: str) -> tuple[InputContainer, VideoStream]:
    """The container and its moving picture (cover art does not count): of several the one that is
    marked as default, then the largest, as FFmpeg chooses; a still beside it (AVIF and HEIC have
    one) only where nothing moves. Its decoder refuses pictures above MOST_PIXELS. Raises
    `VideoError`.
    """
    container, name = open_file(path), Path(path).name
    if streams := moving(container):
        # a stream without a decoder has no codec context, which the stubs do not say, and no size
        known: list[Any] = [stream for stream in streams if stream.codec_context is not None]
        if not known:
            container.close()
            raise VideoError(
                f"{name} uses a codec that this build of FFmpeg cannot decode", hint=_CONVERT
            )
        stream = max(known, key=_preferred)
        context = stream.codec_context
        context.options = {**context.options, "max_pixels": str(MOST_PIXELS)}
        context.thread_count = min(MOST_THREADS, (os.cpu_count() or 1) + 1)
        return container, stream
    has_audio = bool(container.streams.audio)
    container.close()
    if has_audio:
        raise VideoError(
            f"{name} has sound but no pictures", hint="give a file with a video stream in it"
        )
    raise VideoError(f"{name} holds no pictures: no video stream", hint=_again())


def _preferred(stream: VideoStream) -> tuple[bool, bool, int]:
    is_default = bool(stream.disposition & Disposition.default)
    return stream.frames != 1, is_default, stream.width * stream.height


def moving(container: InputContainer) -> list[VideoStream]:
    """The video streams but for cover art."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def frames_of(packet: "Packet[VideoStream]") -> list[VideoFrame]:
    """What a packet decodes to. One that the decoder rejects is left out, as players do. Raises
    MemoryError, but for a picture that was refused for its size (`packets_of` says so)."""
    return _kept(packet.decode, packet.stream.codec_context)


def drain(stream: VideoStream) -> list[VideoFrame]:
    """The frames that the decoder still holds. Raises MemoryError."""
    return _kept(lambda: stream.codec_context.decode(None), stream.codec_context)


def _kept(decode: Callable[[], list[VideoFrame]], context: Any) -> list[VideoFrame]:
    try:
        return decode()
    except av.error.FFmpegError as error:
        if isinstance(error, MemoryError) and not _refused(context):
            raise
        return []


def _refused(context: Any) -> bool:
    """Whether the decoder stands at a picture that it refused for its size: of none it knows no
    size, or one that is too large. The next one that it takes has another."""
    return context.is_open and not 0 < context.width * context.height <= MOST_PIXELS


def packets_of(path: str, container: InputContainer, stream: Any) -> "Iterator[Packet[Any]]":
    """The packets of the stream (or streams), then an empty one that flushes the decoder. Raises
    `VideoError`; also at the end of a stream whose last pictures were refused for their size, for
    a stream may grow on its way.

    Streams may appear in mid-file, as when a broadcast's next programme has sound. PyAV leaves
    their packets out, for its list of streams is that of the opening; at the end, when all decoders
    of that list have been flushed, it may look for one of them and stumble: by then all is read.
    """
    try:
        with suppress(IndexError):
            yield from container.demux(stream)
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{Path(path).name} cannot be read to its end: {error.strerror}", hint=_again()
        ) from error
    if isinstance(stream, VideoStream) and _refused(stream.codec_context):
        raise VideoError(
            f"{Path(path).name}: pictures on its way are larger than 8K, or of no size", hint=_SMALL
        )


def read_facts(path: str, beat: Beat) -> Facts:
    """Opens, checks that the file is whole and that a first frame can be decoded.

    Raises `VideoError` for every file that cannot be used, with what to do about it.
    """
    container, stream = open_stream(path)
    with container:
        name = Path(path).name
        missing = missing_bytes(path, _begin(container))
        if missing:
            raise _cut_off(path, missing)
        if stream.width * stream.height > MOST_PIXELS:
            raise VideoError(
                f"{name} is {stream.width}x{stream.height}, larger than 8K", hint=_SMALL
            )
        first = _first_frame(path, container, stream, beat)
        return _facts(path, container, stream, first, beat)


def _begin(container: InputContainer) -> int:
    """Bytes of the file that stand before what was opened."""
    late = re.match(r"subfile,,start,(\d+),", container.name)
    return int(late[1]) if late else 0


def declared(path: str) -> float | None:
    """Seconds as the header says, of a file that need not be whole. Raises `VideoError`."""
    container, stream = open_stream(path)
    with container:
        return _declared_duration(container, stream, Fraction(0))


def _facts(
    path: str, container: InputContainer, stream: VideoStream, first: VideoFrame, beat: Beat
) -> Facts:
    is_avi = container.format.name == "avi"
    bare = bool(
        Flags(container.format.flags) & Flags.no_timestamps
    )  # whatever times FFmpeg makes up
    counted = bare or (is_avi and stream.codec_context.has_b_frames)
    way, aspect = orientation(first), stream.sample_aspect_ratio or Fraction(1)
    width, height = displayed(first, aspect, way)
    start = 0 if counted else stream.start_time  # what is counted begins at 0, whatever it says
    if start is None or (is_avi and not counted):  # AVI stores no display times; FFmpeg's: 0 or 1
        start = first.pts or 0
    time_base = stream.time_base or Fraction(1, 1000)
    fps = _rate(stream)
    duration = None if bare else _declared_duration(container, stream, start * time_base)
    if not duration or fps is None:
        frames, seconds = _measured(path, beat)
        fps = fps or Fraction(max(frames, 1)) / (seconds or 1)
        duration = duration or float((not bare and seconds) or max(frames, 1) / fps)
    transfer = TRANSFERS.get(int(first.color_trc), "")
    assumed = f"the file stores no instants: counted at {float(fps):g} frames a second"
    notes = [
        f"HDR ({transfer}), shown as SDR" if transfer else "",
        assumed if bare else "",
        f"{begin} bytes before the film are left out" if (begin := _begin(container)) else "",
    ]
    return Facts(
        start=start,
        time_base=1 / fps if counted else time_base,
        duration_s=duration,
        fps=fps,
        width=width,
        height=height,
        rotation=quarters(first) * 90,
        has_audio=bool(container.streams.audio),
        codec=stream.codec_context.name,
        container=container.format.name,
        counted=counted,
        orientation=way,
        aspect=aspect,
        transfer=transfer,
        interlaced=bool(first.interlaced_frame),
        alone=len(moving(container)) == 1,
        note="; ".join(note for note in notes if note),
    )


def _is_bare(container: InputContainer) -> bool:
    """Whether it is a coded stream without a container: of whose times FFmpeg may make up some."""
    return bool(Flags(container.format.flags) & Flags.no_timestamps)


def _rate(stream: VideoStream) -> Fraction | None:
    average, nominal = stream.average_rate, stream.guessed_rate
    if average and nominal and abs(average / nominal - 1) <= _NOMINAL:
        return nominal
    return average or nominal or None


def _declared_duration(
    container: InputContainer, stream: VideoStream, start_s: Fraction
) -> float | None:
    """Seconds of the video stream as the file declares them; sound may be longer."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")  # Matroska: the stream's end, "00:00:03.802000000"
    parts = tag.strip("\0 ").split(":")
    if len(parts) == 3 and all(p.replace(".", "", 1).isdigit() for p in parts):
        hours, minutes, seconds = (Fraction(p) for p in parts)
        return float(hours * 3600 + minutes * 60 + seconds - start_s) or None
    if container.duration:
        begin = start_s if "matroska" in container.format.name else 0
        return max(0.0, float(Fraction(container.duration, av.time_base) - begin)) or None
    return None


def _measured(path: str, beat: Beat) -> tuple[int, Fraction]:
    """(packets, seconds) by reading the whole file, for files that declare neither."""
    container, stream = open_stream(path)
    starts: list[int] = []
    count = end = 0
    with container:
        for packet in packets_of(path, container, stream):
            beat()
            count += bool(packet.size)
            if packet.pts is not None:
                starts = [min([*starts, packet.pts])]
                end = max(end, packet.pts + (packet.duration or 0))
        tick = stream.time_base or Fraction(1, 1000)
    return count, (end - starts[0]) * tick if starts else Fraction(0)


def _unreadable(path: str, error: av.error.FFmpegError) -> VideoError:
    name, kind = Path(path).name, begins_late(path)[1] or looks_like(path)
    if isinstance(error, PermissionError):
        return VideoError(f"{name} may not be read", hint="check the file's permissions")
    if kind == "text":
        return VideoError(
            f"{name} is text, not a video",
            hint="an error page saved as a video? A playlist? Then give the video file it names",
        )
    if kind:
        return VideoError(
            f"{name} is an {kind} file cut off: its index or its pictures are missing",
            hint=_again(),
        )
    return VideoError(
        f"{name} is not a video that FFmpeg knows ({error.strerror or error})",
        hint="give an mp4, mkv, webm, mov or avi file",
    )


def _cut_off(path: str, missing: int) -> VideoError:
    size = os.path.getsize(path)
    share = 100 * missing / (size + missing)
    return VideoError(
        f"{Path(path).name} is cut off: {missing} bytes ({share:.0f} %) are missing", hint=_again()
    )


def _again() -> str:
    return (
        "copy or download it again, or wait until it is written; to use only what is there: "
        "ffmpeg -i INPUT -c copy OUTPUT.mkv"
    )


def _first_frame(
    path: str, container: InputContainer, stream: VideoStream, beat: Beat
) -> VideoFrame:
    """Proof that the stream can be decoded; without one, says why: empty, encrypted, damaged."""
    name, count = Path(path).name, 0
    for packet in packets_of(path, container, stream):
        beat()
        if packet.has_sidedata("encryption_info"):
            raise VideoError(
                f"{name} is encrypted (DRM)", hint="give a copy without copy protection"
            )
        for frame in frames_of(packet):
            return frame
        count += bool(packet.size)
    if not count:
        raise VideoError(f"{name} holds no pictures: its video stream is empty", hint=_again())
    raise VideoError(f"{name}: none of its {count} packets can be decoded", hint=_CONVERT)
