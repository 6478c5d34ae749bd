"""The tool that transcribes speech, by faster-whisper."""

import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from videoespresso.errors import ToolError
from videoespresso.tools.base import Finding, Needs, ToolRequest, around, stretch_parameters
from videoespresso.tools.streams import read_sound

MODEL = "base"
"""A size of Whisper's, or a folder with a converted model: `Transcript("path/to/model")`."""
REACH_S = 5.0
"""Without a stretch: so far to either side of each core frame, about a sentence."""
PIECE_S = 600.0
"""Sound is decoded in pieces of at most that: 38 MB."""


class Transcript:
    """Speech near the core frames, or in the stretch of the question.

    model: a size ("tiny" ... "large-v3") that was fetched before, or a folder; nothing is
    downloaded.
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
        """(instant, phrase), the sound decoded in a process of its own, a piece at a time."""
        with self._one_at_a_time:
            model = self._whisper
        while start < end:
            until = min(end, start + PIECE_S)
            sound = read_sound(Path(path), start, until)
            with self._one_at_a_time:
                segments, _ = model.transcribe(sound)
                for segment in segments:
                    if text := " ".join(segment.text.split()):
                        yield segment.start + start, text
            start = until

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
            return faster_whisper.WhisperModel(
                self.model, device="cpu", compute_type="float32", local_files_only=True
            )
        except Exception as error:
            raise ToolError(
                f"no speech model can be had: {self.model!r} is no folder with one, nor in the "
                f"cache of Hugging Face ({type(error).__name__}): `videoespresso models pull "
                f"hf:Systran/faster-whisper-{MODEL}` fetches one",
                hint='A folder will do, too: Transcript("its/folder").',
            ) from error
