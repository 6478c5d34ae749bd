"""One run over the videos: outcomes taken in as they come, limits and Ctrl-C obeyed, the end."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from videoespresso.dataset.engine import Engine, Report
from videoespresso.dataset.folder import Folder
from videoespresso.dataset.interrupt import interruptible
from videoespresso.dataset.manifest import write_manifest
from videoespresso.dataset.video_worker import Outcome
from videoespresso.dataset.videos import VideoFiles
from videoespresso.dataset_record import path_text
from videoespresso.errors import BudgetExceeded, ModelError, VideoEspressoError
from videoespresso.types import Record, Usage

KEPT = 100
"""Reasons and failures that are passed on in words, of each at most."""


@dataclass
class Collected:
    """Gathered from outcomes as they come.

    left_out: videos that became one reject as a whole (unreadable, a duplicate, beyond the
    captioner), whose paths and reasons are in `reasons`. refused: rejects by criterion. lying: the
    id of the video at each absolute path, of files that were seen.
    """

    left_out: int = 0
    reasons: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    deferred: set[str] = field(default_factory=set)
    lying: dict[str, str] = field(default_factory=dict)

    def take(self, outcome: Outcome) -> None:
        """Adds what became of a video."""
        path = path_text(outcome.path)
        whole = [r["reason"] for r in outcome.rejects.values() if r["group"] is None]
        self.left_out += bool(whole)
        _add(self.reasons, *(r if path in r else f"{path}: {r}" for r in whole[:1]))
        _add(self.failures, *(f"{f['video']}: {f['reason']}" for f in outcome.failures.values()))
        if outcome.busy:
            self.busy.append(path)
        self.refused.update(r["criterion"] for r in outcome.rejects.values())
        self.deferred |= outcome.deferred
        if outcome.lying or outcome.unreadable:
            self.lying[os.path.abspath(outcome.path)] = outcome.lying


def _add(messages: list[str], *more: str) -> None:
    messages += more[: max(0, KEPT - len(messages))]


BREAK_AFTER = 8
"""Videos in a row that fail on their models, none between that succeeds: the server is down or the
key is wrong, and the next thousand would only fail too."""
_WAIT_S = 0.5

Json = dict[str, Any]


class Built(Record):
    """What a run did. records and rejects: in the folder now. failed: how many pairs, groups and
    videos are to be run again for; failures: the first of them in words. left_out: how many of
    the videos given this run could not use as a whole; reasons: the first of them in words.
    refused: rejects of this run by criterion. busy: paths of videos that another process is at work
    on, which is no failure: their records are there when it ends. skipped: how many files in the
    folders given are no videos of the run; skipped_files: each reason's files.

    usage: of this run, by role. done: videos finished in this run, of `videos` given. ended: why
    it stopped early, "" if it did not. deferred: replies that are still to come in batches.
    """

    out: str
    videos: int
    done: int
    records: int
    rejects: int
    failed: int = 0
    failures: tuple[str, ...] = ()
    left_out: int = 0
    reasons: tuple[str, ...] = ()
    refused: dict[str, int] = Field(default_factory=dict)
    busy: tuple[str, ...] = ()
    usage: dict[str, Usage] = Field(default_factory=dict)
    seconds: float = 0.0
    ended: str = ""
    deferred: int = 0
    skipped: int = 0
    skipped_files: dict[str, tuple[str, ...]] = Field(default_factory=dict)


@dataclass
class Progress:
    """Where a run is; what a progress line is made of. stopping: after Ctrl-C,
    while the calls under way are waited for."""

    videos: int
    done: int = 0
    records: int = 0
    rejects: int = 0
    failures: int = 0
    stopping: bool = False
    stages: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    usd: float = 0.0
    calls: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the present rate; None before the first video is done."""
        if not self.done:
            return None
        return self.seconds / self.done * (self.videos - self.done)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C once: what was under way has been waited for, and what is complete is written."""


class Run:
    """One call of `build_dataset`, or a round of one. earlier: what its rounds before this used, by
    role; the line in dataset.json is of this one alone. files: what was passed over in the folders
    given. on_end: gets what the run came to, before it raises."""

    def __init__(
        self,
        folder: Folder,
        engine: Engine,
        paths: Sequence[str],
        settings: Json,
        on_progress: Callable[[Progress], None],
        on_end: Callable[[Built], None],
        earlier: Mapping[str, Usage] | None = None,
        files: VideoFiles | None = None,
    ) -> None:
        self._files = files or VideoFiles()
        self._earlier = earlier or {}
        self._folder, self._engine, self._paths = folder, engine, paths
        self._progress = Progress(videos=len(paths))
        self._on_progress, self._on_end = on_progress, on_end
        self._collected = Collected()
        self._ended = ""
        self._refused = ("", "")
        self._started, self._interrupted = False, False
        self._lost_in_a_row = 0
        self._made_with = settings
        self._report = Report()

    def run(self) -> Built:
        try:
            with interruptible(self._interrupt):  # its threads may call models before `start` ends
                self._engine.start(self._paths)
                self._started = True
                return self._worked()
        finally:
            self._engine.close()

    def _worked(self) -> Built:
        failed: BaseException | None = None
        try:
            self._work()
        except Interrupted as error:
            failed = error
        except VideoEspressoError as error:
            failed = error
            self._ended = self._ended or type(error).__name__
        try:
            built = self._close()
            self._on_end(built)
        except VideoEspressoError as error:
            raise failed or error from None
        if failed is not None:
            raise failed
        if self._ended == "budget":
            raise BudgetExceeded(
                f"{self._report.reached}; {built.done} of {built.videos} videos are done",
                hint=f"{built.records} records are in {self._folder.records}; the same command "
                "with a higher limit goes on.",
            )
        if self._ended == "refused":
            message, hint = self._refused
            raise ModelError(message, hint=f"{hint} Then the same command goes on.".lstrip())
        return built

    def _work(self) -> None:
        """Takes outcomes as they come. What ends the run lets the calls under way finish first, so
        that nobody is at work on the folder when it has ended."""
        try:
            for outcome in self._outcomes():
                self._take(outcome)
        except VideoEspressoError:
            self._engine.stop()
            while self._engine.working:
                with suppress(VideoEspressoError):
                    self._engine.next(_WAIT_S)
            raise

    def _take(self, outcome: Outcome) -> None:
        progress = self._progress
        self._collected.take(outcome)
        progress.done += outcome.complete
        progress.records += len(outcome.items)
        progress.rejects += len(outcome.rejects)
        progress.failures += len(outcome.failures)
        if outcome.ended:
            if outcome.ended == "refused" and not self._refused[0]:
                self._refused = outcome.message, outcome.hint
            self._ended = self._ended or outcome.ended
            self._engine.stop()
        if outcome.answered:
            self._lost_in_a_row = 0
        else:
            self._lost_in_a_row += bool(outcome.failures)
        if self._lost_in_a_row >= BREAK_AFTER:
            self._engine.stop()
            last = list(outcome.failures.values())[-1]
            raise ModelError(
                f"{self._lost_in_a_row} videos in a row failed: {last['video']}: {last['reason']}",
                hint="Try `videoespresso models test`; then the same command goes on.",
            )
        self._on_progress(progress)

    def _interrupt(self) -> None:
        if not self._started and not self._engine.working:
            raise KeyboardInterrupt  # nothing is under way
        self._interrupted = True

    def _outcomes(self) -> Iterator[Outcome]:
        """Outcomes as they come. On Ctrl-C the calls under way are waited for."""
        while self._engine.working:
            if self._interrupted and not self._ended:
                self._ended, self._progress.stopping = "interrupted", True
                self._engine.stop()
                self._on_progress(self._progress)
            self._take_report()
            outcome = self._engine.next(_WAIT_S)
            if outcome is None:
                self._on_progress(self._progress)
            else:
                yield outcome
        if self._interrupted:
            raise Interrupted

    def _take_report(self) -> None:
        """Takes in which stages were done since the last time, and what was spent."""
        progress, self._report = self._progress, self._engine.report()
        progress.stages += self._report.stages
        progress.known += self._report.known
        progress.calls = self._report.spent.calls
        progress.usd = self._report.spent.usd or 0.0

    def _close(self) -> Built:
        """Merges the shards and writes what was done with what."""
        self._take_report()
        collected = self._collected
        # a video that was moved may lie where this run has not looked
        looked_at_all = len(collected.lying) == len(self._paths)
        counts = self._folder.merge(collected.lying if looked_at_all else None)
        built = Built(
            out=str(self._folder.root),
            videos=len(self._paths),
            done=self._progress.done,
            records=counts["records"],
            rejects=counts["rejects"],
            failed=self._progress.failures,
            failures=tuple(collected.failures),
            left_out=collected.left_out,
            reasons=tuple(collected.reasons),
            refused=dict(collected.refused.most_common()),
            busy=tuple(collected.busy),
            usage=self._report.usage,
            seconds=round(self._progress.seconds, 3),
            ended=self._ended,
            deferred=len(collected.deferred),
            skipped=len(self._files.skipped),
            skipped_files=self._files.by_reason(),
        )
        apart = {"out", "failures", "reasons", "skipped_files"}
        line = built.model_dump(mode="json", exclude=apart)
        write_manifest(self._folder, self._made_with, counts, line | {"usage": self._usage()})
        return built

    def _usage(self) -> Json:
        """What this round used, by role."""
        return {
            role: (usage - self._earlier.get(role, Usage())).model_dump(mode="json")
            for role, usage in self._report.usage.items()
        }
