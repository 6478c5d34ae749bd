"""The tool that reads subtitles: streams inside the file, and side-car files beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from videoespresso.errors import ToolError
from videoespresso.tools.base import Finding, Needs, ToolRequest
from videoespresso.tools.builtin.windows import around, stretch_parameters

SIDE_CARS = (".srt", ".vtt", ".ass", ".ssa")
REACH_S = 3.0
"""Without a stretch: so far to either side of each core frame, about one line before and after."""


class Line(NamedTuple):
    """A subtitle from start_s to end_s, in seconds from the video stream's start."""

    start_s: float
    end_s: float
    text: str


class Subtitles:
    """Lines near the core frames, or in the stretch of the question.

    Embedded text streams need nothing; side-car files (same name, .srt .vtt .ass .ssa) need the
    extra `subtitles`.
    """

    name = "subtitles"
    description = "Reads the subtitles near the core frames, or in a stretch of the video."
    needs: Needs = "span"
    parameters = stretch_parameters()

    def run(self, request: ToolRequest) -> list[Finding]:
        """One finding a line, at the instant it appears. Raises ToolError for subtitles that are
        there and cannot be read."""
        lines = sorted({*embedded(request.video.path), *beside(request.video.path)})
        spans = around(request, REACH_S)
        shown = [
            line for line in lines if any(line.start_s < e and line.end_s > s for s, e in spans)
        ]
        last = request.video.duration_s
        return [
            Finding(text=f"Subtitle: {line.text}", time_s=max(0.0, line.start_s))
            for line in shown
            if line.start_s <= last
        ]


def beside(path: str) -> list[Line]:
    """The lines of side-car files; none without one. Raises ToolError for one that cannot be read,
    and without pysubs2."""
    files = side_cars(Path(path))
    if not files:
        return []
    try:
        import pysubs2  # noqa: PLC0415 - the extra `subtitles`
    except ImportError:
        raise ToolError(
            f"{files[0].name} needs the package pysubs2: pip install 'videoespresso[subtitles]'",
            hint="pip install 'videoespresso[subtitles]'",
        ) from None
    lines = []
    for file in files:
        try:
            found = pysubs2.load(str(file), encoding="utf-8-sig", errors="replace")
        except (pysubs2.exceptions.Pysubs2Error, OSError, ValueError) as error:
            raise ToolError(f"{file.name} cannot be read: {type(error).__name__}") from error
        for event in found:
            if not event.is_comment and (text := " ".join(event.plaintext.split())):
                lines.append(Line(event.start / 1000, event.end / 1000, text))
    return lines


def side_cars(video: Path) -> list[Path]:
    """`clip.srt`, `clip.en.vtt` ... beside `clip.mp4`, sorted."""
    try:
        names = sorted(video.parent.iterdir())
    except OSError:
        return []
    return [
        file
        for file in names
        if file.suffix.lower() in SIDE_CARS
        and (file.stem == video.stem or file.stem.rpartition(".")[0] == video.stem)
        and file.is_file()
    ]


def embedded(path: str) -> list[Line]:
    """The lines of text streams in the file. Raises ToolError when all subtitles are pictures."""
    import av  # noqa: PLC0415 - slow to import

    with av.open(f"file:{path}") as container:
        streams = list(container.streams.subtitles)
        texts = [stream for stream in streams if _is_text(stream)]
        if streams and not texts:
            raise ToolError(
                f"the subtitles are pictures ({streams[0].codec_context.name}), not text; "
                "the tool read_text reads what is on the frames only"
            )
        if not texts:
            return []
        offset = video_start(container)
        return list(_lines(container, texts, offset))


def video_start(container: Any) -> float:
    """The instant at which the video stream begins, on the container's clock, in seconds."""
    stream = next(iter(container.streams.video), None)
    if stream is None or stream.start_time is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


def _is_text(stream: Any) -> bool:
    return "text" in stream.codec_context.name or stream.codec_context.name in (
        *("subrip", "srt", "ass", "ssa", "webvtt", "mov_text"),
    )


def _lines(container: Any, streams: list[Any], offset: float) -> Iterator[Line]:
    for packet in container.demux(streams):
        if packet.pts is None or not packet.size:
            continue
        start = float(packet.pts * packet.time_base) - offset
        length = float((packet.duration or 0) * packet.time_base)
        for subtitle in packet.decode():
            text = " ".join(_dialogue(subtitle).split())
            if text:
                yield Line(start, start + length, text)


def _dialogue(subtitle: Any) -> str:
    """The words of a decoded subtitle, without ASS's codes."""
    text = getattr(subtitle, "dialogue", b"") or getattr(subtitle, "text", b"")
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
