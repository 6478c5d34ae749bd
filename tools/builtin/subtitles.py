"""The tool that reads subtitles: streams inside the file, and side-car files beside it."""

from collections.abc import Sequence
from pathlib import Path

from videoespresso.errors import ToolError
from videoespresso.tools.base import Finding, Needs, ToolRequest, Window, around, stretch_parameters
from videoespresso.tools.streams import Line, read_lines

SIDE_CARS = (".srt", ".vtt", ".ass", ".ssa")
REACH_S = 3.0
"""Without a stretch: so far to either side of each core frame, about one line before and after."""


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
        spans = around(request, REACH_S)
        path, last = request.video.path, request.video.duration_s
        return [
            Finding(text=f"Subtitle: {line.text}", time_s=max(0.0, line.start_s))
            for line in sorted({*embedded(path, spans), *beside(path, spans)})
            if line.start_s <= last
        ]


def beside(path: str, spans: Sequence[Window]) -> list[Line]:
    """The lines of side-car files that touch one of the spans; none without one. Raises ToolError
    for one that cannot be read, and without pysubs2."""
    lines: list[Line] = []
    for file in side_cars(Path(path)):
        read = read_lines(file, spans, "beside")
        if read is None:
            raise ToolError(
                f"{file.name} needs the package pysubs2: pip install 'videoespresso[subtitles]'",
                hint="pip install 'videoespresso[subtitles]'",
            )
        lines += read
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


def embedded(path: str, spans: Sequence[Window]) -> list[Line]:
    """The lines of text streams in the file that touch one of the spans. Raises ToolError for a
    file that cannot be read, and when all subtitles are pictures."""
    return read_lines(Path(path), spans, "embedded") or []
