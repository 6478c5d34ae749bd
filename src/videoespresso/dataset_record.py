"""The records of a dataset, one a question: what it is, what it stands on, who made each part.

A record holds no pixels: its core frames name image files beside the records. What a source does
not say is None or empty, never made up: the released files, for instance, know no instants and no
scores.
"""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from videoespresso.tasks import Task
from videoespresso.types import Rate, Record, UnitInterval, Usage

VERSION: Literal[1] = 1
"""Of the schema. A reader refuses a younger one."""
LETTERS = "ABCDEFGHIJ"

Letter = Annotated[str, Field(pattern="^[A-J]$")]


class SourceVideo(Record):
    """The video. path: as the builder was given it, or as the source file says it (relative to a
    root that the source does not name). id: sha256 of the bytes, "" where the file was not seen."""

    path: str
    id: str = ""
    duration_s: float | None = None
    fps: Rate | None = None
    width: int | None = None
    height: int | None = None


class GroupCaption(Record):
    """A surviving caption of the group that a question was made from (paper, steps 3 and 4)."""

    text: str
    frame_id: str = ""
    time_s: float | None = None


class FrameBox(Record):
    """x0, y0, x1, y1 in 0-1 on the displayed frame. frame: position among the core frames, None
    where the source does not say; score: None where no detector gave one; label: what the detector
    calls it ("person" of "the man in red"), None where it is the name of its item, or not known."""

    xyxy: tuple[UnitInterval, UnitInterval, UnitInterval, UnitInterval]
    frame: int | None = None
    score: UnitInterval | None = None
    label: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "FrameBox":
        x0, y0, x1, y1 = self.xyxy
        if x1 < x0 or y1 < y0:
            raise ValueError(f"box corners are not ordered: {self.xyxy}")
        return self


class GroundedItem(Record):
    """A key item: an object named in the evidence. No boxes: not found, where a detector looked
    (`DatasetItem.detected`).

    at: the character of its sentence where the name begins, None where not said.
    """

    name: str
    at: int | None = None
    boxes: tuple[FrameBox, ...] = ()


class EvidenceSentence(Record):
    """One sentence of evidence. frame: position among the core frames, None where not said.

    text is plain; the released inline form (<obj_start>…<box_end>) is made and read by formats.
    """

    text: str
    frame: int | None = None
    items: tuple[GroundedItem, ...] = ()


class KeyFrame(Record):
    """A core frame. image: its file, relative to the dataset's folder (or as the source says).

    time_s: exact instant (pts) in seconds. index: position in the stream in display order. rule:
    why this instant was sampled. sha: of the stored image file's pixels, as in the frame store.
    caption: what the annotator said of it; captioned: what the captioner had said.
    score: cosine by which the annotator's caption was placed here (paper, eq. 3). boxes: all that a
    detector with labels of its own sees on it, which a reasoner is shown before it is asked; None
    where not known, or where a detector only looks for what it is asked for.
    """

    image: str = ""
    frame_id: str = ""
    time_s: float | None = None
    index: int | None = None
    rule: str = ""
    sha: str = ""
    width: int | None = None
    height: int | None = None
    caption: str = ""
    captioned: str = ""
    score: float | None = None
    boxes: tuple[FrameBox, ...] | None = None


class Made(Record):
    """Who made a part. model: the spec. snapshot: what the server said it is, "" if it did not.

    prompt: sha256 of the prompt file. how: the methods of structured output that were tried.
    """

    model: str
    snapshot: str = ""
    prompt: str = ""
    how: tuple[str, ...] = ()


class Verification(Record):
    """The verifier's word on a pair. criterion: the one violated, "" when accepted."""

    accepted: bool
    criterion: str = ""
    reason: str = ""


class DatasetItem(Record):
    """A question of a dataset, with all that it stands on.

    id: see `item_id`. letter: the right option's, None without options. group: number of the
    caption group in its video, from 0. made: stage -> who made it ("caption", "generate", "verify",
    "annotate", "ground_time", "ground_space", "distract"); `embedded` are those of the pack. cost:
    stage -> what this record's own calls cost when they were made; captions and generation are
    shared, so they are in the manifest. extra: what a source file had that we have no field for.
    """

    schema_version: Literal[1] = VERSION
    id: str
    video: SourceVideo
    task: Task | None
    question: str
    answer: str
    options: tuple[str, ...] = ()
    letter: Letter | None = None
    evidence: tuple[EvidenceSentence, ...] = ()
    core_frames: tuple[KeyFrame, ...] = ()
    captions: tuple[GroupCaption, ...] = ()
    group: int | None = None
    verification: Verification | None = None
    seed: int | None = None
    made: dict[str, Made] = Field(default_factory=dict)
    cost: dict[str, Usage] = Field(default_factory=dict)
    extra: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetItem":
        if self.letter is not None and LETTERS.index(self.letter) >= len(self.options):
            raise ValueError(f"letter {self.letter} but {len(self.options)} options")
        frames = len(self.core_frames)
        named = [e.frame for e in self.evidence]
        named += [b.frame for e in self.evidence for i in e.items for b in i.boxes]
        if wrong := [n for n in named if n is not None and not 0 <= n < frames]:
            raise ValueError(f"core frame {wrong[0]} is named, but there are {frames}")
        return self

    @property
    def embedded(self) -> tuple[str, ...]:
        """The stages that embedded models made, which know the synthetic theatre only."""
        return tuple(stage for stage, by in self.made.items() if by.model.startswith("embedded:"))

    @property
    def detected(self) -> bool:
        """Whether a detector may have looked for the key items; a source that does not say may."""
        by = self.made.get("ground_space")
        return by is None or by.model != "off"

    @property
    def key_items(self) -> tuple[GroundedItem, ...]:
        """All key items in the order of the evidence, each name once."""
        items: dict[str, GroundedItem] = {}
        for item in (i for e in self.evidence for i in e.items):
            known = items.get(item.name)
            items[item.name] = (
                item
                if known is None
                else GroundedItem(name=item.name, boxes=known.boxes + item.boxes)
            )
        return tuple(items.values())


UNUSABLE, REFUSED = "unusable reply", "refused by the model"
"""The criteria of a stage whose model said nothing that could be read, or would not say anything:
neither judges the pair."""
UNKNOWN = "unknown kind of video"
"""The criterion of a film that the embedded models do not know."""


class Reject(Record):
    """What did not become a record, and why. stage: "probe", "verify", ... criterion: the rule
    that was violated ("hallucination", "one frame", "unreadable video", ...)."""

    video: str
    video_id: str = ""
    stage: str
    criterion: str
    reason: str
    group: int | None = None
    question: str = ""
    answer: str = ""


def item_id(video: str, question: str, answer: str) -> str:
    """16 hex digits that name a question about a video (its id, or its path where that is all)."""
    text = "\x1f".join((video, question.strip(), answer.strip()))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def path_text(path: str) -> str:
    """A path as a record can hold it: bytes in it that are no UTF-8 become "\\xff" and the like,
    for no reader of JSON must take them."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a record."""
    return TypeAdapter(DatasetItem).json_schema()
