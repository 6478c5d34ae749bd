"""What a dataset is made of: the paper's Table 7 and Figures 3 and 4, for your own records.

Everything is counted in one pass, and in two more what can be guessed without the videos: memory
holds words and a few bytes a video and a group, none a record.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

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
from videoespresso.statistics import wilson
from videoespresso.tasks import GROUPS, TASKS, Task
from videoespresso.types import Record, Usage

DIGITS: Final = 3
"""Values are counted at this many significant digits: whole numbers below 1,000 exactly, others to
0.5 %, and never more than some 900 different ones a power of ten."""

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
    """How a number is spread over n values. Quantiles are values that were seen (see DIGITS)."""

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
    found = wilson(hits, n)
    return Share(hits=hits, n=n, value=found.value, low=found.low, high=found.high)


class Tally:
    """Values as they come; `spread` says how they lie."""

    def __init__(self) -> None:
        self._seen: Counter[float] = Counter()
        self._sum = 0.0
        self.n = 0

    def add(self, value: float) -> None:
        """Counts a finite value; one that is no number has no place on an axis and is left out."""
        if math.isfinite(value):
            self._seen[float(f"{value:.{DIGITS}g}")] += 1
            self._sum += value
            self.n += 1

    def spread(self) -> Spread | None:
        """None when nothing was counted."""
        if not self.n:
            return None
        values = sorted(self._seen)
        wanted = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
        return Spread(
            n=self.n,
            mean=self._sum / self.n,
            least=values[0],
            most=values[-1],
            bars=self._bars(values),
            **{name: self._quantile(values, part) for name, part in wanted.items()},
        )

    def _quantile(self, values: list[float], part: float) -> float:
        """The smallest value with at least `part` of all at or below it."""
        below = 0
        for value in values:
            below += self._seen[value]
            if below >= part * self.n:
                return value
        return values[-1]

    def _bars(self, values: list[float]) -> tuple[Bar, ...]:
        """Equal bars of a round width up to the 99th percentile; the rest is in the last one."""
        low, top = values[0], self._quantile(values, 0.99)
        width = round_width((top - low) / (BARS - 2), whole=all(v.is_integer() for v in values))
        start = math.floor(low / width)
        count = math.floor(top / width) - start + 1
        filled = [0] * count
        for value in values:
            filled[min(math.floor(value / width) - start, count - 1)] += self._seen[value]
        return tuple(
            Bar(low=_tidy((start + k) * width), high=_tidy((start + k + 1) * width), n=n)
            for k, n in enumerate(filled)
        )


def round_width(least: float, *, whole: bool = False) -> float:
    """The next 1, 2 or 5 times a power of ten that is at least `least`; whole: 1 at least."""
    if least <= 0:
        return 1.0 if whole else 0.1
    power = 10.0 ** math.floor(math.log10(least))
    found = next((power * k for k in (1, 2, 5) if power * k >= least * (1 - 1e-9)), power * 10)
    return max(found, 1.0) if whole else found


def _tidy(value: float) -> float:
    """Without the noise of a float's last digits."""
    return float(f"{value:.10g}")


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
    option minus those of the longest wrong one (the paper's Figure 12). blind: what guessers get
    who see no video; empty where records were counted as they came (`gather`). accepted: by the
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
        self.records = 0
        self.tasks: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.source_videos: Counter[str] = Counter()
        self.videos: Counter[bytes] = Counter()
        self.groups: set[bytes] = set()
        self.seconds = 0.0
        self.lengths = {
            name: Tally()
            for name in ("question", "answer", "evidence", "right option", "wrong option")
        }
        self.words = {"question": Frequent(), "answer": Frequent()}
        names = (
            "captions", "frames", "distances", "placed", "items", "boxes", "longest",
        )  # fmt: skip
        self.tallies = {name: Tally() for name in names}
        self.task_distances = {task: Tally() for task in (*TASKS, NO_TASK)}
        self.found = Counter[bool]()
        self.verified = Counter[bool]()
        self.cost: dict[str, Usage] = {}

    def add(self, item: DatasetItem) -> None:
        """Counts a record."""
        self.records += 1
        self.tasks[item.task or NO_TASK] += 1
        self._video(item)
        self._texts(item)
        self._options(item)
        self._frames(item)
        self._items(item)
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
                self.tallies["captions"].add(len(item.captions))

    def _texts(self, item: DatasetItem) -> None:
        for name, text in (("question", item.question), ("answer", item.answer)):
            self.lengths[name].add(words_in(text))
            self.words[name].add(w for w in _WORD.findall(text.lower()) if w not in _COMMON)
        if item.evidence:
            self.lengths["evidence"].add(sum(words_in(step.text) for step in item.evidence))

    def _options(self, item: DatasetItem) -> None:
        if item.letter is None:
            return
        self.letters[item.letter] += 1
        right, wrong = right_and_wrong(item)
        self.lengths["right option"].add(words_in(right))
        for option in wrong:
            self.lengths["wrong option"].add(words_in(option))
        if wrong:
            self.tallies["longest"].add(words_in(right) - max(map(words_in, wrong)))

    def _frames(self, item: DatasetItem) -> None:
        self.tallies["frames"].add(len(item.core_frames))
        for frame in item.core_frames:
            if frame.score is not None:
                self.tallies["placed"].add(frame.score)
        for distance in distances(item):
            self.tallies["distances"].add(distance)
            self.task_distances[item.task or NO_TASK].add(distance)

    def _items(self, item: DatasetItem) -> None:
        named = item.key_items
        self.tallies["items"].add(len(named))
        for thing in named:
            self.found[bool(thing.boxes)] += 1
            for box in thing.boxes:
                if box.score is not None:
                    self.tallies["boxes"].add(box.score)

    def stats(self, refused: Counter[tuple[str, str]]) -> DatasetStats:
        """What was counted."""
        spreads = {name: tally.spread() for name, tally in self.tallies.items()}
        per_video = Tally()
        for n in self.videos.values():
            per_video.add(n)
        listed = self.sources.most_common(SOURCES)
        letters = sorted(self.letters)
        given = self.letters.total()
        verified = self.verified + _verdicts(refused)
        return DatasetStats(
            records=self.records,
            tasks=tuple(self._task_rows()),
            videos=len(self.videos),
            video_seconds=self.seconds,
            records_per_video=per_video.spread(),
            sources=tuple(
                SourceRow(source=name, videos=self.source_videos[name], records=n)
                for name, n in listed
            ),
            other_sources=len(self.sources) - len(listed),
            groups=len(self.groups),
            group_captions=spreads["captions"],
            lengths={k: spread for k, t in self.lengths.items() if (spread := t.spread())},
            words={name: counted.most(FREQUENT) for name, counted in self.words.items()},
            words_lost=max(counted.lost for counted in self.words.values()),
            core_frames=spreads["frames"],
            distances=spreads["distances"],
            placement_scores=spreads["placed"],
            key_items=spreads["items"],
            items_found=share(self.found[True], self.found.total()),
            box_scores=spreads["boxes"],
            letters={x: s for x in letters if (s := share(self.letters[x], given))},
            longest_by=spreads["longest"],
            blind=(),
            accepted=share(verified[True], verified.total()),
            rejected=share(refused.total(), refused.total() + self.records),
            rejects=tuple(_reject_rows(refused)),
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
                    share=share(n, self.records),
                    paper_train=train,
                    paper_test=test,
                    paper_share=(train + test) / whole,
                    distances=self.task_distances[task].spread(),
                )


def _verdicts(refused: Counter[tuple[str, str]]) -> Counter[bool]:
    """How many of the rejects the verifier had accepted, and how many it refused."""
    found = Counter[bool]()
    for (stage, criterion), n in refused.items():
        if (accepted := verdict(stage, criterion)) is not None:
            found[accepted] += n
    return found


def _reject_rows(refused: Counter[tuple[str, str]]) -> Iterator[RejectRow]:
    for (stage, criterion), n in sorted(refused.items(), key=lambda row: (-row[1], row[0])):
        found = share(n, refused.total())
        yield RejectRow(stage=stage, criterion=criterion, n=n, share=found)
