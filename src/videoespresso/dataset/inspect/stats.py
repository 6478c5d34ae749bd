"""What a dataset is made of: the paper's Table 7 and Figures 3 and 4, for your own records.

Everything is counted in one pass, and in two more what can be guessed without the videos. Memory
holds words, a few bytes a video and a group, and eight bytes for each number whose spread is shown:
some 20 a record, so 0.2 MB a thousand records.
"""

import math
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from videoespresso.dataset.inspect.blind_baselines import Guess, guesses
from videoespresso.dataset.inspect.record_measures import (
    digest,
    distances,
    right_and_wrong,
    source_of,
    verdict,
    video_key,
    words_in,
)
from videoespresso.dataset.records_io import read_items, read_rejects, records_file
from videoespresso.dataset_record import DatasetItem, Reject
from videoespresso.statistics import round_width, wilson_bounds
from videoespresso.tasks import GROUPS, TASKS, Task
from videoespresso.types import Record, Usage

BARS: Final = 24
"""Bars of a histogram at most; more are not told apart in a small picture."""

WORDS: Final = 50_000
"""Different words that are counted at once. English text has fewer that come twice."""


class Share(Record):
    """A proportion with Wilson's 95 % interval."""

    hits: int
    n: int
    value: float
    low: float
    high: float


class Bar(Record):
    """How many values lie in [low, high); the last bar of a spread also holds what is above."""

    low: float
    high: float
    n: int


class Spread(Record):
    """How a number is spread over n values. A quantile is the smallest value with at least
    that part of all at or below it."""

    n: int
    mean: float
    least: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    most: float
    bars: tuple[Bar, ...]


class Word(Record):
    """A word and how many texts have it."""

    word: str
    n: int


def share(hits: int, n: int) -> Share | None:
    """hits of n; None of nothing."""
    if not n:
        return None
    low, high = wilson_bounds(hits, n)
    return Share(hits=hits, n=n, value=hits / n, low=low, high=high)


def spread(numbers: Sequence[float]) -> Spread | None:
    """How numbers are spread; None of nothing. One that is not finite has no place on an axis and
    is left out."""
    values = np.asarray(numbers, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    parts = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    names = ("least", "p5", "p25", "median", "p75", "p95", "most")
    quantiles = np.quantile(values, parts, method="inverted_cdf").tolist()
    return Spread(
        n=len(values),
        mean=math.fsum(values) / len(values),
        bars=_bars(values),
        **dict(zip(names, quantiles, strict=True)),
    )


def _bars(values: NDArray[np.float64]) -> tuple[Bar, ...]:
    """Equal bars of a round width up to the 99th percentile; the rest is in the last one."""
    low, top = values.min(), np.quantile(values, 0.99, method="inverted_cdf")
    whole = bool((values % 1 == 0).all())
    width = round_width(float(top - low) / (BARS - 2), whole=whole)
    start, last = math.floor(low / width), math.floor(top / width)
    places = np.minimum(np.floor(values / width), last).astype(np.intp) - start
    counts = np.bincount(places).tolist()
    ends = [float(f"{(start + k) * width:.10g}") for k in range(len(counts) + 1)]
    return tuple(Bar(low=a, high=b, n=n) for a, b, n in zip(ends, ends[1:], counts, strict=False))


class Frequent:
    """The most frequent words of any number of texts, in bounded room.

    When more than `limit` different words are known the rarer half is forgotten. `lost` is how
    often a forgotten word was seen at most: a count may be too small by that much, 0 is exact.
    """

    def __init__(self, limit: int = WORDS) -> None:
        self._limit, self._seen = limit, Counter[str]()
        self.lost = 0

    def add(self, words: Iterable[str]) -> None:
        """Counts each different word once."""
        self._seen.update(set(words))
        if len(self._seen) > self._limit:
            kept = self._seen.most_common(self._limit // 2)
            self.lost += kept[-1][1]
            self._seen = Counter(dict(kept))

    def most(self, k: int) -> tuple[Word, ...]:
        """The k most frequent, equally frequent ones by their letters."""
        ranked = sorted(self._seen.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(Word(word=word, n=n) for word, n in ranked[:k])


PAPER: Final[dict[Task, tuple[int, int]]] = {
    "Causal Inference": (87_009, 426),
    "Contextual Interpretation": (20_057, 109),
    "Event Process": (29_227, 174),
    "Interaction Dynamics": (7_322, 62),
    "Behavior Profiling": (660, 57),
    "Emotional Recognition": (3_505, 65),
    "Influence Tracing": (5_749, 72),
    "Role Identification": (9_134, 63),
    "Narrative Structuring": (3_940, 62),
    "Thematic Insight": (10_650, 61),
    "Situational Awareness": (1_018, 50),
    "Cooking Steps": (276, 53),
    "Ingredient Details": (22_552, 98),
    "Traffic Analysis": (1_065, 30),
}
"""Train and test records a task in the paper's Table 7; 203,546 together."""

NO_TASK: Final = "no task"
FREQUENT: Final = 25
LENGTHS: Final = ("question", "answer", "evidence", "right option", "wrong option")
SOURCES: Final = 50
"""Sources listed one by one at most; the paper has seven."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_COMMON: Final = frozenset(
    _WORD.findall(
        """a an and are as at be been being but by can could did do does for from had has have he
        her him his how i in into is it its of on or she so some than that the their them then
        there these they this to was we were what when where which while who whose why will with
        would you"""
    )
)
"""Words that any English text has; Figure 4 is about the others."""


class TaskRow(Record):
    """A task beside the paper's. distances: seconds between neighbouring core frames (Fig. 3a)."""

    task: str
    group: str
    n: int
    share: Share | None
    paper_train: int
    paper_test: int
    paper_share: float
    distances: Spread | None


class SourceRow(Record):
    """Where videos come from (Fig. 3c): the first folder of a relative path, else the last one."""

    source: str
    videos: int
    records: int


class RejectRow(Record):
    """A reason for which pairs were refused; share: of all rejects."""

    stage: str
    criterion: str
    n: int
    share: Share | None


class DatasetStats(Record):
    """All of it. A spread is None when nothing of its kind was there.

    lengths: "question", "answer", "evidence", "right option", "wrong option", in words (split at
    white space). words: frequent words of questions and answers, counted once a text, common ones
    left out; words_lost: how far such a count may be too small. longest_by: words of the right
    option minus those of the longest wrong one (the paper's Figure 12). blind: what baselines get
    that see no video; empty where records were counted as they came (`gather`). accepted: by the
    verifier, of records and rejects that it judged, refused later or not. rejected: of records and
    rejects together. cost: of the records' own calls, by stage.
    """

    records: int
    tasks: tuple[TaskRow, ...]
    videos: int
    video_seconds: float
    records_per_video: Spread | None
    sources: tuple[SourceRow, ...]
    other_sources: int
    groups: int
    group_captions: Spread | None
    lengths: dict[str, Spread]
    words: dict[str, tuple[Word, ...]]
    words_lost: int
    core_frames: Spread | None
    distances: Spread | None
    placement_scores: Spread | None
    key_items: Spread | None
    items_found: Share | None
    box_scores: Spread | None
    letters: dict[str, Share]
    longest_by: Spread | None
    blind: tuple[Guess, ...]
    accepted: Share | None
    rejected: Share | None
    rejects: tuple[RejectRow, ...]
    cost: dict[str, Usage]


def dataset_stats(path: Path) -> DatasetStats:
    """Counts a dataset's folder or a file of records. Raises UserError that names file and line."""
    records = records_file(path)
    counted = gather(read_items(records), read_rejects(records.parent))
    return counted.model_copy(update={"blind": guesses(lambda: read_items(records))})


def gather(items: Iterable[DatasetItem], rejects: Iterable[Reject] = ()) -> DatasetStats:
    """Counts records and rejects as they come."""
    counting = _Counting()
    for item in items:
        counting.add(item)
    refused = Counter((reject.stage, reject.criterion) for reject in rejects)
    return counting.stats(refused)


class _Counting:
    """The counters of one pass."""

    def __init__(self) -> None:
        self.tasks: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.source_videos: Counter[str] = Counter()
        self.videos: Counter[bytes] = Counter()
        self.groups: set[bytes] = set()
        self.seconds = 0.0
        self.numbers: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self.distances: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self.words = {"question": Frequent(), "answer": Frequent()}
        self.boxed = Counter[bool]()
        self.verified = Counter[bool]()
        self.cost: dict[str, Usage] = {}

    def add(self, item: DatasetItem) -> None:
        """Counts a record."""
        self.tasks[item.task or NO_TASK] += 1
        self._video(item)
        self._texts(item)
        self._options(item)
        self._frames_and_items(item)
        if item.verification is not None:
            self.verified[item.verification.accepted] += 1
        for stage, usage in item.cost.items():
            self.cost[stage] = self.cost.get(stage, Usage()) + usage

    def _video(self, item: DatasetItem) -> None:
        key, source = video_key(item), source_of(item.video.path)
        if key not in self.videos:
            self.source_videos[source] += 1
            length = item.video.duration_s or 0.0
            self.seconds += length if math.isfinite(length) else 0.0
        self.videos[key] += 1
        self.sources[source] += 1
        if item.captions and item.group is not None:
            group = digest(f"{key.hex()} {item.group}")
            if group not in self.groups:
                self.groups.add(group)
                self.numbers["captions"].append(len(item.captions))

    def _texts(self, item: DatasetItem) -> None:
        for name, text in (("question", item.question), ("answer", item.answer)):
            self.numbers[name].append(words_in(text))
            self.words[name].add(w for w in _WORD.findall(text.lower()) if w not in _COMMON)
        if item.evidence:
            self.numbers["evidence"].append(sum(words_in(step.text) for step in item.evidence))

    def _options(self, item: DatasetItem) -> None:
        if item.letter is None:
            return
        self.letters[item.letter] += 1
        right, wrong = right_and_wrong(item)
        self.numbers["right option"].append(words_in(right))
        self.numbers["wrong option"].extend(map(words_in, wrong))
        if wrong:
            self.numbers["longest"].append(words_in(right) - max(map(words_in, wrong)))

    def _frames_and_items(self, item: DatasetItem) -> None:
        self.numbers["frames"].append(len(item.core_frames))
        self.numbers["placed"].extend(f.score for f in item.core_frames if f.score is not None)
        self.distances[item.task or NO_TASK].extend(distances(item))
        named = item.key_items
        self.numbers["items"].append(len(named))
        self.boxed.update(bool(thing.boxes) for thing in named)
        boxes = (box for thing in named for box in thing.boxes)
        self.numbers["boxes"].extend(box.score for box in boxes if box.score is not None)

    def stats(self, refused: Counter[tuple[str, str]]) -> DatasetStats:
        """What was counted."""
        spreads = defaultdict(lambda: None, {k: spread(v) for k, v in self.numbers.items()})
        listed = self.sources.most_common(SOURCES)
        given, verified = self.letters.total(), self.verified.copy()
        for (stage, criterion), n in refused.items():
            if (accepted := verdict(stage, criterion)) is not None:
                verified[accepted] += n
        return DatasetStats(
            records=self.tasks.total(),
            tasks=tuple(self._task_rows()),
            videos=len(self.videos),
            video_seconds=self.seconds,
            records_per_video=spread(list(self.videos.values())),
            sources=tuple(
                SourceRow(source=s, videos=self.source_videos[s], records=n) for s, n in listed
            ),
            other_sources=len(self.sources) - len(listed),
            groups=len(self.groups),
            group_captions=spreads["captions"],
            lengths={name: length for name in LENGTHS if (length := spreads[name])},
            words={name: counted.most(FREQUENT) for name, counted in self.words.items()},
            words_lost=max(counted.lost for counted in self.words.values()),
            core_frames=spreads["frames"],
            distances=spread([d for known in self.distances.values() for d in known]),
            placement_scores=spreads["placed"],
            key_items=spreads["items"],
            items_found=share(self.boxed[True], self.boxed.total()),
            box_scores=spreads["boxes"],
            letters={x: s for x in sorted(self.letters) if (s := share(self.letters[x], given))},
            longest_by=spreads["longest"],
            blind=(),
            accepted=share(verified[True], verified.total()),
            rejected=share(refused.total(), refused.total() + self.tasks.total()),
            rejects=tuple(
                RejectRow(stage=stage, criterion=why, n=n, share=share(n, refused.total()))
                for (stage, why), n in sorted(refused.items(), key=lambda row: (-row[1], row[0]))
            ),
            cost=self.cost,
        )

    def _task_rows(self) -> Iterator[TaskRow]:
        """The 14 tasks in the paper's order, and what has none where there is any."""
        group_of: dict[str, str] = {t: group for group, tasks in GROUPS.items() for t in tasks}
        paper = {str(task): counts for task, counts in PAPER.items()}
        whole = sum(train + test for train, test in PAPER.values())
        for task in (*TASKS, NO_TASK):
            train, test = paper.get(task, (0, 0))
            n = self.tasks[task]
            if n or task != NO_TASK:
                yield TaskRow(
                    task=task,
                    group=group_of.get(task, ""),
                    n=n,
                    share=share(n, self.tasks.total()),
                    paper_train=train,
                    paper_test=test,
                    paper_share=(train + test) / whole,
                    distances=spread(self.distances[task]),
                )
