"""Who does the videos of a run: threads of this process, or workers of a cluster
(ray_engine.py)."""

import ctypes
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from videoespresso.dataset.folder import Folder
from videoespresso.dataset.video_worker import Outcome, Worker
from videoespresso.dataset.videos import first_paths
from videoespresso.graphs.context import Context
from videoespresso.graphs.dataset_context import Event
from videoespresso.types import Usage

JOBS = 4
"""Videos at a time, at least: while one is decoded or has but one call to make, others make use of
the calls that may be made at a time."""
ARENAS = 2
"""Measured on two cores, 16 calls at a time: 239 MB after 1,111 records with 2, 277 MB with glibc's
eight a core, from which freed memory goes back late or never; no slower, as Python's own lock lets
one thread at a time allocate."""
_M_ARENA_MAX = -8
"""`malloc.h`."""


def few_arenas() -> None:
    """Makes glibc serve all threads of this process from two arenas, where nobody set
    MALLOC_ARENA_MAX. It is for processes of our own, before they start threads: what a program that
    calls us does with its memory is its business. Elsewhere than on glibc nothing happens."""
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError, OSError):  # musl has no mallopt
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


@dataclass
class Report:
    """Where a run is. stages, known: how often each stage was done and found done since the report
    before; spent: by all, as the limits count it; reached: the message of the first limit, "" while
    none was reached; usage: by role."""

    stages: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    spent: Usage = field(default_factory=Usage)
    reached: str = ""
    usage: dict[str, Usage] = field(default_factory=dict)


class Engine(Protocol):
    """Does videos, several at a time. Used by one thread."""

    def start(self, paths: Sequence[str]) -> None:
        """Begins with them; once. Raises VideoEspressoError where it cannot."""

    @property
    def working(self) -> bool:
        """Whether outcomes are to come."""

    def next(self, timeout_s: float) -> Outcome | None:
        """The next outcome; None when none came in that time. Raises what ends the run."""

    def report(self) -> Report:
        """Where it is."""

    def stop(self) -> None:
        """No further video is begun, and those under way end at their next stages."""

    def close(self) -> None:
        """Lets go of everything."""


class LocalEngine:
    """Threads that share one worker. first: whose a video is that several files hold
    (videos.first_paths); None looks into the files that it is given."""

    def __init__(
        self,
        folder: Folder,
        context: Context,
        *,
        seed: int,
        group: int,
        jobs: int,
        first: Mapping[str, str] | None = None,
    ) -> None:
        self._folder, self._context = folder, context
        self._seed, self._group, self._jobs = seed, group, jobs
        self._first = first
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
        self._working = 0
        self._worker: Worker | None = None

    def start(self, paths: Sequence[str]) -> None:
        """See `Engine`."""
        todo: queue.SimpleQueue[str] = queue.SimpleQueue()
        for path in paths:
            todo.put(path)
        self._worker = worker = Worker(
            self._folder,
            self._context,
            seed=self._seed,
            group=self._group,
            concurrency=self._context.settings.concurrency,
            tell=self._events.put,
            first=first_paths(paths) if self._first is None else self._first,
        )
        self._working = min(self._jobs, len(paths))
        for n in range(self._working):
            name = f"videoespresso-dataset-{n}"
            threading.Thread(target=self._work, args=(worker, todo), name=name, daemon=True).start()

    @property
    def working(self) -> bool:
        """See `Engine`."""
        return self._working > 0

    def next(self, timeout_s: float) -> Outcome | None:
        """See `Engine`."""
        try:
            came = self._done.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(came, BaseException):
            self.stop()
            raise came
        self._working -= came is None
        return came

    def report(self) -> Report:
        """See `Engine`."""
        budget = self._context.budget
        report = Report(
            spent=budget.spent, reached=budget.reached, usage=self._context.usage_log.by_role()
        )
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return report
            (report.known if event.known else report.stages)[event.stage] += 1

    def stop(self) -> None:
        """See `Engine`."""
        if self._worker is not None:
            self._worker.stop()

    def close(self) -> None:
        """See `Engine`; threads end by themselves."""

    def _work(self, worker: Worker, todo: "queue.SimpleQueue[str]") -> None:
        try:
            while not worker.context.stopping.is_set():
                self._done.put(worker.do(todo.get_nowait()))
        except queue.Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where outcomes are read
            self._done.put(error)
        self._done.put(None)
