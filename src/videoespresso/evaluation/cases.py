"""What is asked and what is known to be true of it, whichever benchmark it comes from."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from videoespresso.dataset.formats.timestamps import below
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import VideoError
from videoespresso.evidence_scores import Interval, Placed

NO_TASK = "no task"
SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi")
"""Tried where a benchmark names a video without its ending."""


@dataclass(frozen=True)
class Truth:
    """What the evidence should be, as far as a benchmark says; seconds from the stream's start.

    intervals: where the answer is seen. instants: single frames it stands on. scenes: disjoint
    scenes, each of one interval or more, for the selection by itself. sentences: gold evidence,
    each with its instant. boxes: the true boxes of what the evidence names, at an instant. read:
    what sentences with their instants are worth, for a record: "sentences", each (verdict, what is
    wrong), and "carried", whether each gold sentence is among them. contrary: a sentence, changed
    so that it contradicts what is seen at an instant.
    """

    intervals: tuple[Interval, ...] = ()
    instants: tuple[float, ...] = ()
    scenes: tuple[tuple[Interval, ...], ...] = ()
    sentences: tuple[tuple[float, str], ...] = ()
    boxes: Callable[[float], Sequence[Placed]] | None = None
    read: Callable[[Sequence[tuple[str, float]]], dict[str, list[Any]]] | None = None
    contrary: Callable[[str, float], str | None] | None = None

    @property
    def middles(self) -> tuple[float, ...]:
        """An instant for each thing that is true: gold frames are nearest to them."""
        return self.instants or tuple((a + b) / 2 for a, b in self.intervals)


@dataclass(frozen=True)
class Case:
    """An item, its video and its truth. video: names the video, for intervals over videos. find:
    its file; raises VideoError. made: the benchmark makes it. about: what else a result depends on.
    staged: the same case about a film of another style or length (stress.STAGED), of a kind and
    strength; None where nobody can make one. unanswerable: nothing in the video answers it, so that
    it counts among refusals and in no accuracy.
    """

    item: DatasetItem
    video: str
    find: Callable[[], Path]
    truth: Truth = Truth()
    about: str = ""
    made: bool = False
    staged: Callable[[str, int], "Case"] | None = None
    unanswerable: bool = False

    @property
    def task(self) -> str:
        """Its task, of whatever name: none is folded into another."""
        named = self.item.extra.get("task")
        return self.item.task or (named if isinstance(named, str) and named else NO_TASK)

    @property
    def digest(self) -> str:
        """Changes when the question, its options, what is right or its film does."""
        i = self.item
        parts = [i.id, self.video, i.question, i.options, i.letter, i.answer, self.about]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


class Benchmark(Protocol):
    """Cases, found by name (benchmarks.py). note: what must be known of its numbers."""

    @property
    def name(self) -> str: ...

    @property
    def note(self) -> str: ...

    def cases(self, n: int | None) -> Sequence[Case]:
        """n of them, all for None, in a stable order: the same n gives the same ones. Raises
        UserError for a file that cannot be read."""
        ...


@dataclass(frozen=True)
class Listed:
    """A benchmark whose cases are all there."""

    name: str
    all: tuple[Case, ...]
    note: str = ""

    def cases(self, n: int | None) -> Sequence[Case]:
        """As even over the tasks as they allow, by hash within a task."""
        return self.all if n is None or n >= len(self.all) else even(self.all, n)


def even(cases: Sequence[Case], n: int) -> list[Case]:
    """n cases, one of each task in turn, in the order of the hashes of their ids; then in the
    order given, so that cases about a video stay together."""
    ordered = sorted(range(len(cases)), key=lambda k: (cases[k].digest, k))
    seen: Counter[str] = Counter()
    ranked = []
    for k in ordered:
        ranked.append((seen[cases[k].task], cases[k].task, k))
        seen[cases[k].task] += 1
    return [cases[k] for k in sorted(k for _, _, k in sorted(ranked)[:n])]


def by_video(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """The cases of each video, videos in the order of their first case."""
    for video in dict.fromkeys(case.video for case in cases):
        yield [case for case in cases if case.video == video]


def file_of(named: str, roots: Sequence[Path], *, alone: bool = False) -> Callable[[], Path]:
    """Finds a file by its name below any of the roots, with the usual endings where it has none.

    alone: also as it is named, whose paths the user's own dataset holds; a benchmark of others
    names nothing outside its folders. What it returns raises VideoError where there is none.
    """

    def find() -> Path:
        names = (named, named.removeprefix("all_video/"))  # the release's own folder
        tried = [p for root in roots for name in names if (p := below(root, name)) is not None]
        tried += [root / Path(named).name for root in roots]
        tried += [Path(named)] if alone else []
        for path in tried:
            for one in (path, *(path.with_name(path.name + end) for end in SUFFIXES)):
                if named and one.is_file():
                    return one
        raise VideoError(
            f"there is no video {named!r}",
            hint="Give the folder that the benchmark's paths are relative to: --videos FOLDER.",
        )

    return find
