"""`ask_many`: many questions, several at a time."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videoespresso.api.answer import Answer
from videoespresso.api.ask import OnProgress, Step, ask
from videoespresso.api.ask_many_records import Failure, Planned, Question, QuestionResult, plan
from videoespresso.errors import (
    BudgetExceeded,
    MemoryStoreError,
    SettingsError,
    UserError,
    VideoEspressoError,
)
from videoespresso.settings import Settings, settings_of
from videoespresso.types import Progress

if TYPE_CHECKING:
    from videoespresso.api.ask_many_records import AnswersFile
    from videoespresso.models.client.budget import Budget
    from videoespresso.tools.base import Given

JOBS = 2
"""Questions at a time: decoding and the embedded models fill two cores; a server takes more."""

VIDEO_STEPS = ("fetch", "probe", "sample", "caption")
"""Steps whose results depend on the video and not on the question. Until they are done, a second
question about the same video waits: it would only do the same work again."""

_WAIT_S = 0.5
"""Windows hands over Ctrl-C, and `stop` is seen, only between two waits."""


def ask_many(
    questions: str | Path | Iterable[Question | Mapping[str, Any]],
    *,
    out: str | Path | None = None,
    videos: str | Path | None = None,
    jobs: int = JOBS,
    retry_errors: bool = False,
    select: str | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    tools: "Sequence[Given]" = (),
    budget: "Budget | None" = None,
    stop: threading.Event | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[QuestionResult]:
    """Asks many questions, `jobs` at a time, and gives each result as soon as it is done.

    questions: a file of JSON lines {"video", "question", "options", "id"}, the last two optional,
    a JSON list, CSV, Parquet, a folder of these, the authors' bench file, or the questions
    themselves; further columns are carried through to the results. A line that cannot be read and a
    video that cannot be opened become results with an `error`; they stop nothing.
    videos: the folder that the bench's video paths are relative to.
    out: a file of JSON lines; each result is in it before it is given here. Results that it holds
    already come first, marked `known`, and are not asked again: the same call goes on where an
    earlier one was stopped. retry_errors: ask again what ended in an error.
    budget: limits shared with others; default those of the settings. It counts what failed, too.
    stop: when it is set, calls under way are finished, no other is made, and the results end. The
    replies are in the reply cache, so that asking the rest later pays for nothing twice.
    on_progress: called in the caller's thread as each new result comes, e.g. `ve.ProgressBar()`.

    The settings' limits in dollars, calls and seconds are those of the whole run; `budget_frames`
    is each question's. Paid models without a limit in dollars have one of $0.25 a question. Raises
    BudgetExceeded when a limit leaves questions unasked, SettingsError before anything is asked,
    and MemoryStoreError when the disk fails.
    """
    from videoespresso.graphs.context import open_context  # noqa: PLC0415 - imports langgraph
    from videoespresso.graphs.selection import checked  # noqa: PLC0415 - imports langgraph
    from videoespresso.models.costs import question_budget  # noqa: PLC0415 - imports much

    if jobs < 1:
        raise UserError(f"jobs is {jobs}", hint="It must be at least 1.")
    settings = settings_of(settings)
    checked(settings.changed({"select": select}))
    open_context(settings, tools).check_stages()  # what is unusable raises now, not per question
    planned = plan(questions, videos)
    read = Path(questions).resolve() if isinstance(questions, str | Path) else None
    if out is not None and Path(out).resolve() == read:
        raise UserError("the answers would replace the questions", hint="Give another --out.")
    budget = budget or question_budget(settings, len(planned))
    run = _Run(select, settings, tools, budget, retry_errors, stop)
    results = run.results(planned, None if out is None else Path(out), jobs)
    return results if on_progress is None else _counted(results, len(planned), on_progress)


def _counted(
    results: Iterator[QuestionResult], total: int, listen: OnProgress
) -> Iterator[QuestionResult]:
    """The results, and how many there are; the time left is that of new ones."""
    begun, new = time.monotonic(), 0
    try:
        for done, result in enumerate(results, 1):
            new += not result.known
            left = (time.monotonic() - begun) / new * (total - done) if new else None
            listen(Progress("ask_many", "answering", done, total, left))
            yield result
    finally:
        listen(Progress("done", "done"))


class _Stopped(Exception):
    """Raised inside a question whose result nobody reads any more."""


class _Run:
    """One run: its settings, its limits, and the state that its threads share."""

    def __init__(
        self,
        select: str | None,
        settings: Settings,
        tools: "Sequence[Given]",
        budget: "Budget",
        retry_errors: bool,
        stop: threading.Event | None,
    ) -> None:
        self._stop = stop or threading.Event()
        self._select, self._settings, self._tools = select, settings, tools
        self._budget, self._retry_errors = budget, retry_errors
        self._ended = threading.Event()
        self._video_locks: dict[str, threading.Lock] = {}

    def results(
        self, planned: list[Planned], out: Path | None, jobs: int
    ) -> Iterator[QuestionResult]:
        from videoespresso.api.ask_many_records import AnswersFile  # noqa: PLC0415 - pulls in filelock

        with ExitStack() as stack:
            file: AnswersFile | None = None
            if out is not None:
                locks = self._settings.cache_dir / "batch"
                file = stack.enter_context(AnswersFile.open(out, locks))
            todo = [p for p in planned if not self._known(p, file)]
            if file is not None:
                waiting = {p.key for p in todo}
                yield from (file.read(p.key) for p in planned if p.key not in waiting)
            left = len(todo)
            for result in self._new(todo, jobs):
                if file is not None:
                    file.add(result)
                left -= 1
                yield result
        if left and not self._stop.is_set():
            raise BudgetExceeded(
                f"{self._budget.reached}; {left} of {len(planned)} questions are left",
                hint="What is answered is kept; the same call with a higher limit asks the rest.",
            )

    def _known(self, p: Planned, file: "AnswersFile | None") -> bool:
        failed = None if file is None else file.failed(p.key)
        return failed is not None and not (failed and self._retry_errors)

    def _new(self, todo: list[Planned], jobs: int) -> Iterator[QuestionResult]:
        """Results as they come. The threads are daemons: a hung server keeps no program alive."""
        lines: queue.SimpleQueue[Planned] = queue.SimpleQueue()
        done: queue.SimpleQueue[QuestionResult | BaseException | None] = queue.SimpleQueue()
        for one in todo:
            lines.put(one)
        working = min(jobs, len(todo))
        for number in range(working):
            name = f"videoespresso-batch-{number}"
            threading.Thread(target=self._work, args=(lines, done), name=name, daemon=True).start()
        try:
            while working:
                outcome = self._next(done)
                if isinstance(outcome, BaseException):
                    raise outcome
                if outcome is None:
                    working -= 1
                else:
                    yield outcome
        finally:
            self._ended.set()

    def _next(
        self, done: "queue.SimpleQueue[QuestionResult | BaseException | None]"
    ) -> QuestionResult | BaseException | None:
        while True:
            if self._stop.is_set():
                self._budget.stop()
            try:
                return done.get(timeout=_WAIT_S)
            except queue.Empty:
                continue

    def _work(
        self,
        lines: "queue.SimpleQueue[Planned]",
        done: "queue.SimpleQueue[QuestionResult | BaseException | None]",
    ) -> None:
        try:
            while not (self._ended.is_set() or self._stop.is_set() or self._budget.reached):
                result = self._result(lines.get_nowait())
                if result is not None:
                    done.put(result)
        except (queue.Empty, _Stopped):
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where the results are read
            done.put(error)
        done.put(None)

    def _result(self, planned: Planned) -> QuestionResult | None:
        """The result of a line; None when a limit ended it, so that a later run asks it again."""
        if planned.question is None:
            return planned.unreadable
        try:
            answer = self._answer(planned.question)
        except (SettingsError, MemoryStoreError):
            raise  # every other line would fail in the same way
        except BudgetExceeded:
            return None
        except VideoEspressoError as error:
            return planned.result(error=Failure.of(error))
        except _Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - one question must not end those of all others
            return planned.result(error=Failure.unexpected(error))
        if self._budget.reached and any(gap.stage == "budget" for gap in answer.gaps):
            return None
        return planned.result(answer=answer)

    def _answer(self, question: Question) -> Answer:
        """Asks. The steps about the video (`VIDEO_STEPS`) run for one question at a time."""
        with ExitStack() as video:
            video.enter_context(self._video_locks.setdefault(question.video, threading.Lock()))
            return ask(
                question.video,
                question.question,
                options=question.options,
                select=self._select,
                settings=self._settings,
                tools=self._tools,
                on_step=self._step_listener(video.close),
                budget=self._budget.part(),
            )

    def _step_listener(self, release_video: Callable[[], None]) -> Callable[[Step], None]:
        def on_step(step: Step) -> None:
            if self._ended.is_set():
                raise _Stopped
            if step.node not in VIDEO_STEPS:
                release_video()

        return on_step
