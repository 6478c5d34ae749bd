"""`build_dataset`: many videos, several at a time, resumable at every stage."""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from videoespresso.agents import generator
from videoespresso.agents.prompts import load
from videoespresso.dataset.batches import Batch, in_batches
from videoespresso.dataset.engine import Engine, LocalEngine, Report
from videoespresso.dataset.folder import Folder, written
from videoespresso.dataset.videos import find_videos
from videoespresso.dataset.work import Outcome
from videoespresso.errors import BudgetExceeded, ModelError, UserError, VideoEspressoError
from videoespresso.graphs.context import Context, open_context
from videoespresso.graphs.dataset_context import GROUP
from videoespresso.items import VERSION
from videoespresso.report.dataset_page import write_page
from videoespresso.settings import DATASET_ROLES, Settings
from videoespresso.types import Record, Usage

JOBS = 4
"""Videos at a time, at least: while one is decoded or has but one call to make, others make use of
the calls that may be made at a time."""
BREAK_AFTER = 8
"""Videos in a row that fail on their models, none between that succeeds: the server is down or the
key is wrong, and the next thousand would only fail too."""
KEPT = 100
"""Failures, and videos that others are at work on, that are kept to be told."""
_WAIT_S = 0.5

Json = dict[str, Any]


class Built(Record):
    """What a run did. records and rejects: in the folder now. failed: how many pairs, groups and
    videos are to be run again for; failures: what is said of the first of them.

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
    busy: tuple[str, ...] = ()
    usage: dict[str, Usage] = Field(default_factory=dict)
    seconds: float = 0.0
    ended: str = ""
    deferred: int = 0


@dataclass
class Progress:
    """Where a run is; what a progress line is made of."""

    videos: int
    done: int = 0
    records: int = 0
    rejects: int = 0
    failures: int = 0
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


def open_dataset_context(settings: Settings, **shared: Any) -> Context:
    """Models, stores and limits of dataset mode; shared: see `open_context`.

    Raises SettingsError, MemoryStoreError.
    """
    return open_context(settings, roles=("captioner", *DATASET_ROLES), **shared)


def build_dataset(
    videos: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    group: int = GROUP,
    jobs: int | None = None,
    engine: Literal["local", "ray"] = "local",
    ray_address: str = "",
    batch: Batch | None = None,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
) -> Built:
    """Makes a dataset of questions with evidence from videos, or goes on with one.

    videos: files, folders, "@list.txt". out: the dataset's folder (see dataset/folder.py). jobs:
    videos at a time; None is 4 or the calls at a time if these are more, and on a cluster one a
    CPU. engine: threads here, or workers of the Ray cluster at `ray_address` (see
    docs/dataset-cluster.md); the records are the same. batch: ask OpenAI's models through its
    Batch API, at half the price and within a day a round.

    What an earlier run did there is not done again; a stage whose model or prompt has changed is,
    and what follows it. Ctrl-C lets the calls under way finish, writes what is complete and raises
    KeyboardInterrupt; a second one leaves at once.

    Raises BudgetExceeded when a limit ended the run, and ModelError when video after video failed
    on its models; in both cases records.jsonl holds what is complete. Raises UserError for a
    folder that holds something else, SettingsError and MemoryStoreError.
    """
    if (jobs is not None and jobs < 1) or group < 2:
        raise UserError(
            f"jobs is {jobs} and group {group}", hint="At least 1 job, and 2 captions a group."
        )
    settings = settings or Settings.load()
    paths = find_videos([videos] if isinstance(videos, str | Path) else videos)
    folder = Folder(Path(out))
    context = open_dataset_context(settings)
    folder.open()
    made = made_with(context, seed, group)
    many = jobs or max(JOBS, settings.concurrency)
    if batch is not None:
        if engine != "local":
            raise UserError("batches are not for a cluster", hint="Leave --engine away.")

        def once() -> Built:
            local = LocalEngine(folder, context, seed=seed, group=group, jobs=many)
            return _Run(folder, local, paths, made, on_progress).run()

        return in_batches(once, folder, context, batch)
    worked_by: Engine
    if engine == "ray":
        # imports the worker, which imports this
        from videoespresso.dataset.cluster import RayEngine, plan  # noqa: PLC0415

        told = plan(folder, settings, paths, seed=seed, group=group, made=made)
        worked_by = RayEngine(folder, told, address=ray_address, jobs=jobs)
    else:
        worked_by = LocalEngine(folder, context, seed=seed, group=group, jobs=many)
    return _Run(folder, worked_by, paths, made, on_progress).run()


class _Run:
    """One call of `build_dataset`."""

    def __init__(
        self,
        folder: Folder,
        engine: Engine,
        paths: Sequence[str],
        settings: Json,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._folder, self._engine, self._paths = folder, engine, paths
        self._progress = Progress(videos=len(paths))
        self._on_progress = on_progress
        self._failures: list[str] = []
        self._busy: list[str] = []
        self._ended = ""
        self._deferred: set[str] = set()
        self._interrupts = 0
        self._lost_in_a_row = 0
        self._made_with = settings
        self._report = Report()

    def run(self) -> Built:
        try:
            self._engine.start(self._paths)
            return self._worked()
        finally:
            self._engine.close()

    def _worked(self) -> Built:
        failed: BaseException | None = None
        try:
            with self._interruptible():
                for outcome in self._outcomes():
                    self._take(outcome)
        except (KeyboardInterrupt, VideoEspressoError) as error:
            failed = error
            self._ended = self._ended or type(error).__name__
        if self._interrupts > 1:
            raise KeyboardInterrupt
        built = self._close()
        if failed is not None:
            raise failed
        if self._ended == "budget":
            raise BudgetExceeded(
                f"{self._report.reached}; {built.done} of {built.videos} videos are done",
                hint=f"{built.records} records are in {self._folder.records}; the same command "
                "with a higher limit goes on.",
            )
        return built

    def _take(self, outcome: Outcome) -> None:
        progress = self._progress
        if outcome.busy:
            self._busy = [*self._busy, outcome.told][:KEPT]
        told = [f"{f['video']}: {f['reason']}" for f in outcome.failures.values()]
        self._failures = [*self._failures, *told][:KEPT]
        self._deferred |= outcome.deferred
        progress.done += outcome.complete
        progress.records += len(outcome.items)
        progress.rejects += len(outcome.rejects)
        progress.failures += len(outcome.failures)
        if outcome.ended:
            self._ended = self._ended or outcome.ended
            self._engine.stop()
        self._lost_in_a_row = 0 if outcome.items else self._lost_in_a_row + bool(outcome.failures)
        if self._lost_in_a_row >= BREAK_AFTER:
            self._engine.stop()
            raise ModelError(
                f"{self._lost_in_a_row} videos in a row failed: {told[-1]}",
                hint="Try `videoespresso models test`; then the same command goes on.",
            )
        self._on_progress(progress)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C lets what is under way finish, wherever it finds this thread; a second one raises
        KeyboardInterrupt at once. Only the main thread hears of either."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def heard(_number: int, _frame: object) -> None:
            self._interrupts += 1
            if self._interrupts > 1:
                raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, heard)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _outcomes(self) -> Iterator[Outcome]:
        """Outcomes as they come. On Ctrl-C the calls under way are waited for."""
        while self._engine.working:
            if self._interrupts and not self._ended:
                self._ended = "interrupted"
                self._engine.stop()
            self._hear()
            outcome = self._engine.next(_WAIT_S)
            if outcome is None:
                self._on_progress(self._progress)
            else:
                yield outcome
        if self._interrupts:
            raise KeyboardInterrupt

    def _hear(self) -> None:
        """Takes in what the stages told since the last time."""
        progress, self._report = self._progress, self._engine.report()
        progress.stages += self._report.stages
        progress.known += self._report.known
        progress.calls = self._report.spent.calls
        progress.usd = self._report.spent.usd or 0.0

    def _close(self) -> Built:
        """Merges the shards and writes what was done with what."""
        self._hear()
        counts = self._folder.merge()
        built = Built(
            out=str(self._folder.root),
            videos=len(self._paths),
            done=self._progress.done,
            records=counts["records"],
            rejects=counts["rejects"],
            failed=self._progress.failures,
            failures=tuple(self._failures),
            busy=tuple(self._busy),
            usage=self._report.usage,
            seconds=round(self._progress.seconds, 3),
            ended=self._ended,
            deferred=len(self._deferred),
        )
        write_manifest(self._folder, self._made_with, counts, built)
        write_page(self._folder.root, self._folder.page)
        return built


def made_with(context: Context, seed: int, group: int) -> Json:
    """What the records of a run depend on: models, prompts, sampling, seed."""
    settings = context.settings
    prompts = {"generator": generator.prompt().sha}  # the only one with something to fill in
    prompts |= {r: load(r).sha for r in ("captioner", "verifier", "annotator", "distractor")}
    return {
        "models": {role: str(agent.spec) for role, agent in context.agents.items()}
        | {"detector": context.detector.name, "embedder": context.embed.name}
        | {"label_check": settings.label_check or "off"},
        "prompts": dict(sorted(prompts.items())),
        "sampling": {
            "fps": settings.fps,
            "dynamic_fps": settings.dynamic_fps,
            "max_side": settings.max_side,
            "max_frames": context.plan.max_frames,
            "tau": "default" if settings.tau is None else settings.tau,
        },
        "group": group,
        "seed": seed,
    }


def write_manifest(folder: Folder, settings: Json, counts: Json, built: Built) -> None:
    """dataset.json: the latest settings, the counts, and a line for each run."""
    before = _runs(folder)
    run = {
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_with": settings,
        **built.model_dump(mode="json", exclude={"out", "failures"}),
    }
    with written(folder.manifest) as file:
        told = {
            "schema_version": VERSION,
            "videoespresso": version("videoespresso"),
            "made_with": settings,
            "counts": counts,
            "runs": [*before, run],
        }
        json.dump(told, file, indent=2)


def _runs(folder: Folder) -> list[Json]:
    try:
        told = json.loads(folder.manifest.read_text(encoding="utf-8"))
        runs = told["runs"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return runs if isinstance(runs, list) else []
