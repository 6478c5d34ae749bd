"""The first stage at which a wrong answer went wrong, where a benchmark knows what is true."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from videoespresso.evaluation.cases import Truth
from videoespresso.evidence_scores import BOX_IOU, Placed, overlap
from videoespresso.types import NOT_CAPTIONED, Answer, Caption

Stage = Literal["sampling", "caption", "filter", "selector", "box", "evidence", "answer"]
STAGES: Final[tuple[Stage, ...]] = (
    "sampling",
    "caption",
    "filter",
    "selector",
    "box",
    "evidence",
    "answer",
)
"""In the order of the work. sampling: no frame of a true interval was looked at; caption: none of
these has a caption that is true (where nobody can tell, that says anything); filter: all of those
were dropped as similar to others; selector: none is a core frame; box: no cited box fits a true
one; evidence: a proof's sentence is missing, or a cited one contradicts what is seen; answer: all
of that was right."""
Json = dict[str, Any]
_LOST: dict[str, Stage] = {"duplicate": "filter", "filter": "filter", "select": "selector"}
"""Why a frame with a true caption was dropped; those that were not captioned, the selector passed
by."""


def lost(truth: Truth, answer: Answer, captions: Sequence[Caption]) -> list[Stage | None]:
    """Of each true interval the stage that lost it, None where a core frame lies in it. captions:
    all that is remembered of the film."""
    texts = {c.frame_id: c.text for c in captions}
    core = [c.frame.time_s for c in answer.core_frames]
    stages: list[Stage | None] = []
    for start, end in truth.intervals:
        seen = [d for d in answer.dropped if start <= d.time_s <= end]
        reached = {
            "selector" if passed_by else _LOST.get(d.stage, "caption")
            for d in seen
            if (passed_by := d.reason.startswith(NOT_CAPTIONED))
            or _says(truth, texts.get(d.frame_id, ""), d.time_s)
        }
        last = max(reached, key=STAGES.index, default="caption" if seen else "sampling")
        stages.append(None if any(start <= t <= end for t in core) else last)
    return stages


def _says(truth: Truth, caption: str, time_s: float) -> bool:
    if truth.read is None or not caption.strip():
        return bool(caption.strip())
    return truth.read([(caption, time_s)])["sentences"][0][0] in ("true", "undecidable")


def first_fault(record: Json) -> Stage | None:
    """Of a wrong answer's record; None where it cannot be told."""
    truth = record["truth"]
    if "lost" not in record or not truth["intervals"]:
        return None
    if stages := [stage for stage in record["lost"] if stage]:
        return min(stages, key=STAGES.index)
    if truth["boxes"] and not _fits(record):
        return "box"
    verdicts = {verdict for verdict, _ in truth.get("sentences", ())}
    if not record["steps"] or not all(truth.get("carried", ())) or "contradicted" in verdicts:
        return "evidence"
    return "answer"


def _fits(record: Json) -> bool:
    """Whether a cited box overlaps a true one of its frame."""
    true = [Placed(*placed) for placed in record["truth"]["boxes"]]
    cited = [(step["time_s"], box) for step in record["steps"] for box in step["boxes"]]
    return any(overlap(b, t.xyxy) >= BOX_IOU for s, b in cited for t in true if t.time_s == s)


def faults(wrong: Iterable[Json]) -> dict[Stage, int]:
    """How many wrong answers first went wrong where; empty where no record can tell."""
    counts = Counter(stage for record in wrong if (stage := first_fault(record)) is not None)
    return {stage: counts[stage] for stage in STAGES} if counts else {}
