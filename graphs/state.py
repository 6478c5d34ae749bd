"""What the nodes of the ask graph share. JSON-sized: ids, text, numbers; never pixels."""

from typing import Annotated, Any

from typing_extensions import TypedDict

Json = dict[str, Any]
"""A record of types.py as `model_dump(mode="json")` gives it."""


def merge_by(key: str) -> Any:
    """A reducer: lists of records become one, a record a key, in an order that does not depend on
    who wrote first (by time, then key)."""

    def merge(a: list[Json], b: list[Json]) -> list[Json]:
        records = {str(r[key]): r for r in sorted([*a, *b], key=lambda r: repr(sorted(r.items())))}
        return sorted(records.values(), key=lambda r: (r.get("time_s", 0.0), str(r[key])))

    return merge


def union(a: list[Json], b: list[Json]) -> list[Json]:
    """A reducer: all different records, in one order whoever wrote first."""
    return sorted({repr(sorted(r.items())): r for r in [*a, *b]}.values(), key=repr)


def add(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    """A reducer: counters, summed."""
    return {k: a.get(k, 0) + b.get(k, 0) for k in sorted({*a, *b})}


def union_texts(a: list[str], b: list[str]) -> list[str]:
    """A reducer: all different texts, sorted."""
    return sorted({*a, *b})


class Ask(TypedDict):
    """What the caller gives."""

    path: str
    question: str
    options: list[str]


class State(Ask, total=False):
    """What nodes read and write."""

    video: Json
    """`Video`."""
    paths: list[str]
    """All that are asked about, where one question is about several videos."""
    videos: list[Json]
    """All of them, where one question is about several."""
    frames: Annotated[list[Json], merge_by("id")]
    """`FrameRef`s that were looked at, in time order."""
    leaders: dict[str, str]
    """Frame id -> id of the earlier frame that is the same to the eye."""
    candidates: list[Json]
    """Frames to be captioned, {"id", "why"}, in time order; absent where all are."""
    pair: str
    """What proposed them, "SCORER+PICKER:K", "uniform:K" or "keyframes"."""
    seen: bool
    """The selector sees the candidates, and the film was captioned for an earlier question: those
    without a caption need none."""
    quick: bool
    """The candidates are the core frames and are not captioned; there is no check."""
    captions: Annotated[list[Json], merge_by("frame_id")]
    """`Caption`s, one a frame."""
    kept: list[str]
    """Ids of the frames that survive the semantic filter."""
    filtered: list[Json]
    """`DroppedFrame`s of the semantic filter."""
    core: list[Json]
    """Core frames: {"id", "why"}, in time order."""
    boxes: dict[str, list[Json]]
    """Frame id -> `Box`es."""
    findings: list[Json]
    """What tools found: {"tool", "time_s", "text", "frame_id", "boxes"}."""
    steps: list[Json]
    """`EvidenceStep`s."""
    evidence_text: str
    """The evidence word for word, as stage 2 is shown it."""
    conclusion: Json
    """The reasoner's `Conclusion`."""
    verdict: Json
    """The checker's `Verdict`."""
    round: int
    """How often frames were selected."""
    stop: str
    """Why the run ends early ("budget", for a dataset "unknown", "duplicate"); empty while it goes
    on."""
    work: Annotated[dict[str, int], add]
    """Counters of `Work`."""
    gaps: Annotated[list[Json], union]
    """`Gap`s."""
    warnings: Annotated[list[str], union_texts]
    answer: Json
    """`Answer`."""


class Answered(TypedDict):
    """What the caller gets."""

    answer: Json
