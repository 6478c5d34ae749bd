"""The tool that transcribes speech, by faster-whisper."""

import threading
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from videoespresso.errors import ToolError
from videoespresso.tools.base import Finding, Needs, ToolRequest
from videoespresso.tools.builtin.subtitles import video_start
from videoespresso.tools.builtin.windows import around, stretch_parameters

MODEL = "base"
"""A size of Whisper's, or a folder with a converted model: `Transcript("path/to/model")`."""
REACH_S = 5.0
"""Without a stretch: so far to either side of each core frame, about a sentence."""


class Transcript:
    """Speech near the core frames, or in the stretch of the question.

    model: a size ("tiny" ... "large-v3"), fetched once from a model hub, or a folder.
    """

    name = "transcript"
    description = "Writes down what is said near the core frames, or in a stretch of the video."
    needs: Needs = "span"
    parameters = stretch_parameters()

    def __init__(self, model: str = MODEL) -> None:
        self.model = model
        self._one_at_a_time = threading.Lock()

    def run(self, request: ToolRequest) -> list[Finding]:
        """One finding a phrase, at the instant it begins; none for a video without sound.

        Raises ToolError without the extra `speech`, and where no model can be had.
        """
        if not request.video.has_audio:
            return []
        findings = []
        for start, end in around(request, REACH_S):
            for time_s, text in self._sentences(request.video.path, start, end):
                if time_s <= request.video.duration_s:
                    findings.append(Finding(text=f"Said: {text}", time_s=max(0.0, time_s)))
        return findings

    def _sentences(self, path: str, start: float, end: float) -> Iterator[tuple[float, str]]:
        """(instant, phrase); the sound's clock is put onto the video's."""
        ahead = audio_ahead(path)
        clip = [max(0.0, start - ahead), max(0.0, end - ahead)]
        with self._one_at_a_time:
            segments, _ = self._whisper.transcribe(path, clip_timestamps=clip)
            for segment in segments:
                if text := " ".join(segment.text.split()):
                    yield segment.start + ahead, text

    @cached_property
    def _whisper(self) -> Any:
        """The model, loaded once."""
        try:
            import faster_whisper  # noqa: PLC0415 - the extra `speech`
        except ImportError:
            raise ToolError(
                "speech needs the package faster-whisper: pip install 'videoespresso[speech]'",
                hint="pip install 'videoespresso[speech]'",
            ) from None
        try:
            return faster_whisper.WhisperModel(self.model, device="cpu", compute_type="float32")
        except Exception as error:
            raise ToolError(
                f"no speech model can be had: {self.model!r} is no folder with one, and the hub "
                f"did not give it ({type(error).__name__})",
                hint='Fetch one where there is a network, and give Transcript("its/folder").',
            ) from error


def audio_ahead(path: str) -> float:
    """Seconds by which the sound begins after the picture; negative if before."""
    import av  # noqa: PLC0415 - slow to import

    with av.open(f"file:{path}") as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.start_time is None or stream.time_base is None:
            return 0.0
        return float(stream.start_time * stream.time_base) - video_start(container)
