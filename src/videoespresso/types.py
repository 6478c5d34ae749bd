"""The records everything passes around: frozen, JSON-serialisable, free of pixels.

Seconds are floats from the stream's start, taken from exact rational pts. Rates are `Fraction`.
Boxes are xyxy, normalised to 0-1 on the displayed (rotated) frame.
"""

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RATE = re.compile(r"\d{1,30}(/0*[1-9]\d{0,30}|\.\d{1,30})?")
"""Not all that `Fraction` reads: with "1e999999999" it works for ever."""


def _rate(value: object) -> object:
    if isinstance(value, str) and not _RATE.fullmatch(value):
        raise ValueError("is no rate such as 30000/1001")
    return Fraction(value) if isinstance(value, str | int) else value


Rate = Annotated[
    Fraction,
    BeforeValidator(_rate),
    PlainSerializer(lambda v: f"{v.numerator}/{v.denominator}", return_type=str),
]
"""Frames a second, exact; "30000/1001" in JSON."""

UnitInterval = Annotated[float, Field(ge=0.0, le=1.0)]


class Record(BaseModel):
    """Base of all records: immutable, and unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Video(Record):
    """A video file. `id` is the sha256 of its bytes; size is as displayed, after rotation.

    source: the address it was fetched from, without login and keys; "" for a file of yours. note:
    what a person should know of the file (HDR shown as SDR, instants that are assumed), or "".
    """

    id: str
    path: str
    duration_s: float
    fps: Rate
    width: int
    height: int
    rotation: Literal[0, 90, 180, 270] = 0
    has_audio: bool = False
    codec: str = ""
    source: str = ""
    note: str = ""


class FrameRef(Record):
    """One frame, by name. The pixels are in the frame store under `sha`.

    id: "<first 12 of video id>@<instant in milliseconds>", unique within a video.
    index: position in the source stream in display order; -1 where the container cannot say
        (a key-frame seek does not count frames).
    fps: the source's average rate. rule: why this instant was looked at, e.g. "keyframe",
    "fps=1 static", "fps=4 dynamic", "refine 12.0-15.0".
    """

    id: str
    video_id: str
    time_s: float
    index: int
    fps: Rate
    rule: str
    sha: str
    width: int
    height: int


class Caption(Record):
    """What a captioner said about a frame. `shared_from` names the frame whose caption it took."""

    frame_id: str
    time_s: float
    text: str
    shared_from: str | None = None


class Box(Record):
    """A rectangle on a frame: x0, y0, x1, y1 in 0-1, with the detector's label and score."""

    label: str
    xyxy: tuple[UnitInterval, UnitInterval, UnitInterval, UnitInterval]
    score: UnitInterval

    @model_validator(mode="after")
    def _ordered(self) -> "Box":
        x0, y0, x1, y1 = self.xyxy
        if x1 < x0 or y1 < y0:
            raise ValueError(f"box corners are not ordered: {self.xyxy}")
        return self


class KeyItem(Record):
    """An object named in the evidence. No boxes: it was not found, where a detector looked
    (`Answer.detected`)."""

    name: str
    boxes: tuple[Box, ...] = ()


class EvidenceStep(Record):
    """One sentence of evidence, tied to a core frame. `source` is the reasoner or a tool's name.

    video: the path of the video that it is in, where several were asked at once; else "".
    """

    text: str
    frame_id: str
    time_s: float
    items: tuple[KeyItem, ...] = ()
    source: str = "reasoner"
    video: str = ""


class CoreFrame(Record):
    """A frame the selector kept for a question, and why."""

    frame: FrameRef
    caption: str = ""
    why: str = ""
    boxes: tuple[Box, ...] = ()


NOT_CAPTIONED = "not captioned yet"
"""Begins the reason of a frame that a scorer and a picker passed by."""


class DroppedFrame(Record):
    """A frame that was looked at and not kept. `stage` is the step that dropped it."""

    frame_id: str
    time_s: float
    stage: Literal["caption", "duplicate", "filter", "select"]
    reason: str


class Gap(Record):
    """A step that failed: what is not known, and because of what. Never shown as evidence."""

    stage: str
    reason: str


class Usage(Record):
    """What was spent. `usd` is None when a model has no known price."""

    calls: int = 0
    cached_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        """Sums, field by field; an unknown price makes the total unknown."""
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Usage(
            calls=self.calls + other.calls,
            cached_calls=self.cached_calls + other.cached_calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            images=self.images + other.images,
            usd=usd,
            seconds=self.seconds + other.seconds,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        """What came after `other`, an earlier state of the same sum."""
        usd = None if self.usd is None or other.usd is None else self.usd - other.usd
        return Usage(
            calls=self.calls - other.calls,
            cached_calls=self.cached_calls - other.cached_calls,
            input_tokens=self.input_tokens - other.input_tokens,
            output_tokens=self.output_tokens - other.output_tokens,
            images=self.images - other.images,
            usd=usd,
            seconds=self.seconds - other.seconds,
        )


class Work(Record):
    """How much looking an answer took; the second question on a video decodes and captions 0."""

    decoded: int = 0
    captioned: int = 0
    shared: int = 0
    remembered: int = 0
    kept: int = 0
    dropped: int = 0


class Answer(Record):
    """An answer with what it stands on.

    text: the answer, or a sentence saying that the frames do not carry one.
    choice: 0-based position among the options, None for a free question or when undecided.
    answered: False when the evidence does not carry an answer. checked: the checker agreed that
    it does; never so without steps of evidence and core frames.
    settings: model spec a role, prompts hash, selection strategy, fps, pixels - what a number
    computed from this answer depends on. video: the one that was asked; of several the first, and
    `videos` has all of them.
    """

    question: str
    options: tuple[str, ...] = ()
    text: str
    choice: int | None = None
    answered: bool = True
    checked: bool = False
    evidence: tuple[EvidenceStep, ...] = ()
    core_frames: tuple[CoreFrame, ...] = ()
    dropped: tuple[DroppedFrame, ...] = ()
    video: Video
    videos: tuple[Video, ...] = ()
    work: Work = Work()
    usage: dict[str, Usage] = Field(default_factory=dict)
    settings: dict[str, str] = Field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def density(self) -> str:
        """How densely the video was looked at, and how many of the frames were looked at closer;
        "" where none was."""
        frames = len(self.core_frames) + len(self.dropped)
        if not frames:
            return ""
        seconds = sum(video.duration_s for video in self.videos or (self.video,))
        passed = sum(frame.reason.startswith(NOT_CAPTIONED) for frame in self.dropped)
        by = f", by {self.settings['pair']}" if passed and "pair" in self.settings else ""
        return f"one look every {seconds / frames:.2g} s; {frames - passed} of {frames} closer{by}"

    @property
    def verdict(self) -> str:
        """What the checker says of it, in a few words."""
        if self.checked:
            return "checked"
        quick = "quick" in self.settings
        return "not checked (--quick)" if quick else "not confirmed by the checker"

    @property
    def detected(self) -> bool:
        """Whether a detector looked at every core frame: only then is an item without a box one
        that was not found."""
        off = self.settings.get("detector", "off") == "off"
        return not off and all(gap.stage != "ground" for gap in self.gaps)


class SeenFrame(Record):
    """A core frame as a chat remembers it: enough to find its pixels in the frame store."""

    id: str
    video_id: str
    time_s: float
    sha: str
    caption: str = ""
    why: str = ""


class ChatTurn(Record):
    """A question of a chat and what came of it: ids, text and numbers, so that a thread is small.

    said: the question as typed. question: as understood, standing alone. video: path of the file
    it is about. options, choice: the possible answers, and which of them it is, from 0.
    detected: the answer's. usage: over all roles.
    """

    said: str
    question: str
    video: str
    answer: str
    options: tuple[str, ...] = ()
    choice: int | None = None
    answered: bool = True
    checked: bool = False
    detected: bool = True
    frames: tuple[SeenFrame, ...] = ()
    evidence: tuple[EvidenceStep, ...] = ()
    work: Work = Work()
    usage: Usage = Usage()


class Progress(NamedTuple):
    """What a question is doing now; `str()` is a line: 'captioning 17 of 52 · 0:20 left'.

    step: the node under way; before them "fetch", a download in MB (10^6 bytes); "plan", whose
    text says what is to come; "done", the last of all, also after an error. done, total: the parts
    that are counted, None where none are. left_s: seconds to go at the rate so far.
    """

    step: str
    text: str
    done: float | None = None
    total: float | None = None
    left_s: float | None = None

    def __str__(self) -> str:
        digits = 1 if self.step == "fetch" else 0
        line = self.text
        if self.done is not None:
            whole = "" if self.total is None else f" of {self.total:.{digits}f}"
            line += f" {self.done:.{digits}f}{whole}{' MB' if digits else ''}"
        if self.left_s is not None:
            minutes, seconds = divmod(round(self.left_s), 60)
            line += f" · {minutes}:{seconds:02} left"
        return line


class Picture(NamedTuple):
    """A decoded frame: exact seconds, place in the stream or -1, pixels (height, width, 3), RGB."""

    time_s: float
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    rgb: "NDArray[np.uint8]"
