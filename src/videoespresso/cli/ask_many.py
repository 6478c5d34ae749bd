"""`videoespresso ask --batch`: a line on stderr for each question, a summary at the end."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from videoespresso import errors
from videoespresso.cli.console import Exit, err, one_line, out, say_warning, write_json
from videoespresso.dataset.interrupt import interruptible
from videoespresso.report.text import money, total
from videoespresso.settings import Settings
from videoespresso.types import Record, Usage

if TYPE_CHECKING:
    from videoespresso.api.ask_many_records import Asked


FINISHING = "finishing the calls under way; Ctrl-C again leaves at once"


class Summary(Record):
    """How a batch went. known: recorded by earlier runs; left: neither answered nor failed yet.

    answered, not_answered and failed count all recorded lines; usage is of this run alone.
    """

    out: str
    lines: int
    known: int
    answered: int
    not_answered: int
    failed: int
    left: int
    usage: Usage
    ended: str = "done"


class Tally:
    """Counts records as they come."""

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.counts: Counter[str] = Counter()
        self.kinds: set[str] = set()
        self.usage = Usage()

    def add(self, asked: "Asked") -> str:
        """Counts a record and says what became of it."""
        self.counts["known"] += asked.known
        if asked.error is not None:
            self.counts["failed"] += 1
            self.kinds.add(asked.error.kind)
            return f"error: {asked.error.text}"
        assert asked.answer is not None, "a record has an answer or an error"
        self.counts["answered" if asked.answer.answered else "not_answered"] += 1
        if not asked.known:
            self.usage += total(asked.answer.usage.values())
        return asked.answer.text

    @property
    def done(self) -> int:
        """Lines with a record."""
        return sum(self.counts[key] for key in ("answered", "not_answered", "failed"))

    def summary(self, out: Path, ended: str) -> Summary:
        """The counts as a record."""
        names = ("known", "answered", "not_answered", "failed")
        counts = {name: self.counts[name] for name in names}
        left = self.lines - self.done
        return Summary(
            out=str(out), lines=self.lines, **counts, left=left, usage=self.usage, ended=ended
        )

    @property
    def code(self) -> Exit:
        """Failed lines are yours to mend, unless a model or a tool failed."""
        yours = [getattr(errors, kind, errors.VideoEspressoError) for kind in self.kinds]
        if all(issubclass(kind, errors.UserError) for kind in yours):
            return Exit.USER if yours else Exit.ANSWERED
        return Exit.FAILED


def many(
    batch: Path,
    target: Path,
    settings: Settings,
    tools: Sequence[str],
    jobs: int,
    retry_errors: bool,
    *,
    as_json: bool,
    quiet: bool,
) -> NoReturn:
    """Asks the lines of `batch`, several at a time; ends the command with a code for scripts."""
    from videoespresso.api.ask_many import ask_many
    from videoespresso.api.ask_many_records import plan
    from videoespresso.models.profiles import UNCONFIGURED, configured

    for warning in settings.warnings:
        say_warning(warning)
    if not configured(settings) and not quiet:
        err().print(f"note: {UNCONFIGURED}", style="dim")
    tally = Tally(len(plan(batch)))
    stop = threading.Event()
    records = ask_many(
        batch,
        out=target,
        jobs=jobs,
        retry_errors=retry_errors,
        settings=settings,
        tools=tools,
        stop=stop,
    )
    ended, code = "done", None
    try:
        with interruptible(lambda: _finish(stop)):
            _follow(records, tally, quiet)
        if stop.is_set() and tally.done < tally.lines:
            raise KeyboardInterrupt
    except errors.BudgetExceeded as error:
        err().print(f"{one_line(str(error))}. {error.hint}", style="yellow")
        ended, code = "budget", Exit.BUDGET
    except KeyboardInterrupt:
        err().print(_interrupted(tally, target), style="yellow")
        ended, code = "interrupted", Exit.INTERRUPTED
    summary = tally.summary(target, ended)
    if as_json:
        write_json(summary)
    else:
        show(summary)
    raise typer.Exit(tally.code if code is None else code)


def _follow(records: "Iterator[Asked]", tally: Tally, quiet: bool) -> None:
    from contextlib import nullcontext

    silence: Any = nullcontext()
    with silence if quiet else err().status("asking") as status:
        for asked in records:
            told = tally.add(asked)
            if quiet:
                continue
            if not asked.known:
                name = asked.id or f"line {asked.line}"
                at = f"[{tally.done}/{tally.lines}]"
                err().print(f"{at} {one_line(name)}: {one_line(told)}", style="dim")
            if status is not None:
                counts = ", ".join(f"{n} {name}" for name, n in sorted(tally.counts.items()) if n)
                status.update(f"{tally.done} of {tally.lines} done ({counts.replace('_', ' ')})")


def _finish(stop: threading.Event) -> None:
    """What the first Ctrl-C does. It is said by a thread: this one may be in the middle of
    printing."""
    stop.set()
    threading.Thread(target=err().print, args=(FINISHING,), daemon=True).start()


def _interrupted(tally: Tally, target: Path) -> str:
    return (
        f"interrupted; {tally.done} of {tally.lines} questions are in {one_line(str(target))}: "
        "the same command asks the rest, and pays for no reply twice"
    )


def show(summary: Summary) -> None:
    """The counts for a person."""
    s = summary
    out().print(
        f"{s.answered} answered, {s.not_answered} not answered, {s.failed} failed"
        f"{f', {s.left} left' if s.left else ''} of {s.lines} ({s.known} known from before)"
    )
    spent = s.usage
    out().print(
        f"{spent.calls} model calls ({spent.cached_calls} from cache), {money(spent.usd)} · "
        f"{one_line(s.out)}",
        style="dim",
    )
