"""What a protocol says of replies: a verdict each, and the averages with their intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from videoespresso import comparison, statistics
from videoespresso.dataset_record import DatasetItem
from videoespresso.statistics import Estimate
from videoespresso.tasks import TASKS
from videoespresso.types import Record

Protocol = Literal["letter", "open"]
Unparsed = Literal["wrong", "guess"]
Why = Literal["right", "wrong", "unparsed", "threshold", "distractor", "not measured", "no rating"]
"""threshold, distractor: why the open protocol calls a reply wrong. no rating: the judge could not
tell, so that the reply was not measured."""

DISAGREEMENT = 0.2
"""Share of items on which two models are taken to disagree, where a detectable difference is said
of one result alone."""
UNNAMED = "(no task)"


class Verdict(Record):
    """Of one item. credit: 1 right, 0 wrong, a guess's share; None where there was no reply.

    letter: read of the reply under `letter`, None for unparsed. reference, distractor: under `open`
    the reply's cosine to the reference answer, and to the nearest distractor.
    """

    id: str
    credit: float | None
    why: Why
    letter: str | None = None
    reference: float | None = None
    distractor: float | None = None


class TaskScore(Record):
    """One task's. n: replies that were measured; unparsed: of these, those without a letter."""

    task: str
    n: int
    unparsed: int
    accuracy: Estimate


class CurvePoint(Record):
    """Accuracy under `open` at another tau. macro: None where no item has a task of the paper's."""

    tau: float
    micro: Estimate
    macro: float | None


class Scores(Record):
    """Replies under one protocol, and all that the numbers depend on.

    What varies in each estimate's interval is the videos. micro: over what was measured; macro: the
    mean of the paper's tasks that occur, over what was measured; over_all: items without a reply
    are wrong. letter is reported by micro, open by macro, as those who made them do.
    unknown_tasks: labels that are none of the paper's 14; their items count in micro, in no task.
    detectable: the smallest difference to a second model on the measured items that a paired test
    shows 8 times in 10, where both disagree on DISAGREEMENT of them (items as independent).
    beside_paper: whether the numbers were made as the paper's were.
    """

    protocol: Protocol | Literal["judge"]
    judge: str | None = None
    unparsed_counts: Unparsed | None = None
    tau: float | None = None
    encoder: str | None = None
    beside_paper: bool
    items: int
    measured: int
    videos: int
    micro: Estimate | None
    macro: Estimate | None
    over_all: Estimate | None
    detectable: float | None
    whys: dict[Why, int]
    tasks: tuple[TaskScore, ...]
    unknown_tasks: dict[str, int]
    curve: tuple[CurvePoint, ...] = ()
    verdicts: tuple[Verdict, ...] = Field(repr=False)

    @property
    def headline(self) -> Estimate | None:
        """The average that the protocol is reported by; None where nothing was measured."""
        return self.macro if self.protocol == "open" else self.micro


def video_of(item: DatasetItem) -> str:
    """What the items of one video share: its id, else its path; else the item stands alone."""
    return item.video.id or item.video.path or item.id


def task_label(item: DatasetItem) -> str:
    """The item's task of the paper, or the label that its source gives it."""
    label = item.extra.get("task")
    return item.task or (label if isinstance(label, str) and label.strip() else UNNAMED)


class Averages(Record):
    """The part of `Scores` that follows from the verdicts alone."""

    items: int
    measured: int
    videos: int
    micro: Estimate | None
    macro: Estimate | None
    over_all: Estimate | None
    detectable: float | None
    whys: dict[Why, int]
    tasks: tuple[TaskScore, ...]
    unknown_tasks: dict[str, int]
    verdicts: tuple[Verdict, ...]


def averages(items: Sequence[DatasetItem], verdicts: Sequence[Verdict]) -> Averages:
    """The averages of verdicts about items, in the same order. Raises ValueError for another
    number of them."""
    pairs = list(zip(items, verdicts, strict=True))
    measured = [(i, v.credit, v) for i, v in pairs if v.credit is not None]
    credits, videos = [c for _, c, _ in measured], [video_of(i) for i, _, _ in measured]
    labels = Counter(task_label(i) for i in items if i.task is None)
    return Averages(
        items=len(items),
        measured=len(measured),
        videos=len({*videos}),
        micro=statistics.proportion(credits, videos) if measured else None,
        macro=macro([i for i, _, _ in measured], credits),
        over_all=statistics.proportion([v.credit or 0.0 for v in verdicts], [*map(video_of, items)])
        if pairs
        else None,
        detectable=comparison.detectable(DISAGREEMENT, len(measured)) if measured else None,
        whys=dict(Counter(v.why for v in verdicts)),
        tasks=tuple(_tasks([(i, c, v) for i, c, v in measured])),
        unknown_tasks=dict(labels.most_common()),
        verdicts=tuple(verdicts),
    )


def macro(items: Sequence[DatasetItem], credits: Sequence[float]) -> Estimate | None:
    """The mean of the means of the paper's tasks; None where no item has one."""
    known = [(c, i.task, video_of(i)) for i, c in zip(items, credits, strict=True) if i.task]
    if not known:
        return None
    estimate = statistics.macro(*map(list, zip(*known, strict=True)))
    low, high = (
        None if end is None else min(1.0, max(0.0, end)) for end in (estimate.low, estimate.high)
    )
    return replace(estimate, low=low, high=high)  # Student's t does not know that a share ends at 1


def _tasks(measured: Sequence[tuple[DatasetItem, float, Verdict]]) -> list[TaskScore]:
    """The paper's tasks in their order, as far as they occur."""
    by: dict[str, list[tuple[float, str, Verdict]]] = {}
    for item, credit, verdict in measured:
        if item.task:
            by.setdefault(item.task, []).append((credit, video_of(item), verdict))
    return [
        TaskScore(
            task=task,
            n=len(by[task]),
            unparsed=sum(v.why == "unparsed" for *_, v in by[task]),
            accuracy=statistics.proportion([c for c, *_ in by[task]], [w for _, w, _ in by[task]]),
        )
        for task in TASKS
        if task in by
    ]
