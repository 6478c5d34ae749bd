"""What a made record is worth, told by the story it was made from: is it true, does its evidence
stand where it says, do its boxes fit, are its wrong options wrong? Pure functions, no model."""

from collections.abc import Sequence

from lab.detector_score import Tally, compare
from videoespresso.dataset.inspect.record_measures import right_and_wrong
from videoespresso.dataset_record import DatasetItem, Reject
from videoespresso.evaluation.results import Json
from videoespresso.theatre.stories import Story
from videoespresso.theatre.truth import caption_at, drawn_at, pair_truth, phases_of
from videoespresso.theatre.truth.language import is_called
from videoespresso.tools.object_names import label_fit
from videoespresso.types import Box

NEAR_S = 0.5
"""How far a core frame may be from what its sentence tells of."""


def pair_rows(story: Story, items: Sequence[DatasetItem], rejects: Sequence[Reject]) -> list[Json]:
    """Each generated pair with its truth and its fate: "record", or the stage that rejected it.

    shown: whether all that it says is seen at one of its core frames; of records only.
    """
    rows: list[Json] = []
    for item in items:
        instants = [drawn_at(story, f.time_s) for f in item.core_frames if f.time_s is not None]
        truth = pair_truth(story, item.question, item.answer, instants)
        rows.append(
            {"fate": "record", "criterion": "", "truth": truth.verdict, "shown": truth.shown}
            | {"why": truth.reason, "question": item.question, "answer": item.answer}
        )
    for r in rejects:
        if r.question:
            truth = pair_truth(story, r.question, r.answer)
            rows.append(
                {"fate": r.stage, "criterion": r.criterion, "truth": truth.verdict, "shown": None}
                | {"why": truth.reason, "question": r.question, "answer": r.answer}
            )
    return rows


def caption_rows(story: Story, items: Sequence[DatasetItem]) -> list[bool]:
    """Whether each caption that records stand on is exactly the true one; each group once."""
    exact = {
        (c.time_s, c.text): c.text.strip() == caption_at(story, c.time_s)
        for item in items
        for c in item.captions
        if c.time_s is not None
    }
    return list(exact.values())


def instant_rows(story: Story, item: DatasetItem) -> list[Json]:
    """Each evidence sentence: is its core frame within NEAR_S of a phase in which the sentence is
    so? chance: the share of the group's frames of which that can be said. undecidable: the sentence
    is not in the theatre's language."""
    rows: list[Json] = []
    for sentence in item.evidence:
        time_s = item.core_frames[sentence.frame].time_s if sentence.frame is not None else None
        phases = phases_of(story, sentence.text)
        if phases is None or time_s is None:
            rows.append({"undecidable": True})
            continue
        group = [c.time_s for c in item.captions if c.time_s is not None]
        near = [_near(story, phases, t) for t in group]
        rows.append(
            {
                "undecidable": False,
                "hit": _near(story, phases, time_s),
                "exact": story.phase_at(drawn_at(story, time_s)) in phases,
                "never": not phases,
                "chance": sum(near) / len(near) if near else 0.0,
            }
        )
    return rows


def _near(story: Story, phases: set[int], time_s: float) -> bool:
    at = drawn_at(story, time_s)
    return any(story.phases[k].t0 - NEAR_S <= at <= story.phases[k].t1 + NEAR_S for k in phases)


def box_tallies(story: Story, item: DatasetItem) -> dict[str, Tally]:
    """Boxes of key items on core frames against the stage at that instant, at IoU 0.5.

    "named": only who is called so counts ("red car": the red car); "kind": any object that the name
    may stand for by its label (every car), which is what a detector without colours can know.
    """
    sums = {"named": Tally(0, 0, 0), "kind": Tally(0, 0, 0)}
    for (frame, name), those_boxes in _boxes(item).items():
        time_s = item.core_frames[frame].time_s
        if time_s is None:
            continue
        objects = story.scene(drawn_at(story, time_s)).objects
        best = max((label_fit(name, o.label) for o in objects), default=0)
        truth = {
            "named": [o for o in objects if is_called(o.phrase, name)],
            "kind": [o for o in objects if best and label_fit(name, o.label) == best],
        }
        for how, those in truth.items():
            boxes = [Box(label=name, xyxy=o.xyxy, score=1.0) for o in those]
            for tally in compare(those_boxes, boxes).values():
                sums[how] = Tally(*(a + b for a, b in zip(sums[how], tally, strict=True)))
    return sums


def _boxes(item: DatasetItem) -> dict[tuple[int, str], list[Box]]:
    """(core frame, name) -> its boxes; a name that two sentences on a frame have counts once."""
    boxes: dict[tuple[int, str], list[Box]] = {}
    for sentence in item.evidence:
        if sentence.frame is None:
            continue
        for key in sentence.items:
            boxes[sentence.frame, key.name] = [
                Box(label=key.name, xyxy=b.xyxy, score=1.0 if b.score is None else b.score)
                for b in key.boxes
            ]
    return boxes


def option_rows(story: Story, item: DatasetItem) -> list[str]:
    """The truth of each wrong option, were it the answer: "true" is a fault of the record."""
    if item.letter is None:
        return []
    return [pair_truth(story, item.question, wrong).verdict for wrong in right_and_wrong(item)[1]]
