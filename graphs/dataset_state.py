"""What the nodes of the dataset graph share. JSON-sized: ids, text, numbers; never pixels."""

from typing import Annotated, Any

from typing_extensions import TypedDict

from videoespresso.graphs.state import Json, State, merge_by, union


class Filmed(TypedDict):
    """What the caller gives."""

    path: str


class Outcome(TypedDict, total=False):
    """What becomes of pairs; each pair ends in one of these."""

    items: Annotated[list[Json], merge_by("id")]
    """`DatasetItem`s."""
    rejects: Annotated[list[Json], union]
    """`Reject`s."""
    failures: Annotated[list[Json], union]
    """{"stage", "reason", ...}: what another run may mend (a server that was down)."""
    deferred: Annotated[list[Json], union]
    """{"key"}: replies that will come in a batch (models/batch_api)."""


class DatasetState(State, Outcome, total=False):
    """A video's way: the watch is the ask graph's, then its groups."""

    groups: list[Json]
    """{"number", "captions"}: `Caption`s of consecutive surviving frames."""


class GroupState(Outcome, total=False):
    """A group of captions on its way to pairs."""

    video: Json
    number: int
    captions: list[Json]
    frames: list[Json]
    """`FrameRef`s of the captions."""


class PairState(GroupState, total=False):
    """A question-answer pair on its way to a record."""

    question: str
    answer: str
    task: str | None
    made: dict[str, Any]
    """Stage -> who made it (`Made`); part of every later stage's key."""
    cost: dict[str, Any]
    verification: Json
    annotation: Json
    core: list[Json]
    """Core frames in time order: {"frame", "caption", "captioned", "score"}."""
    sentences: list[Json]
    """`EvidenceSentence`s."""
    options: list[str]
    letter: str | None
    over: bool
    """The pair has ended: it was rejected, or it failed."""
