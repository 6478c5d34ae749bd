"""`videoespresso ask-many`: a line on stderr for each question, a summary at the end."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videoespresso import errors
from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    one_line,
    out,
    say_finishing,
    write_json,
)
from videoespresso.cli.options import (
    QUESTION,
    Quiet,
    Tool,
    note_unconfigured,
    note_where,
    takes_settings,
)
from videoespresso.dataset.interrupt import interruptible
from videoespresso.report.text import money, total
from videoespresso.settings import Settings
from videoespresso.types import Record, Usage

if TYPE_CHECKING:
    from videoespresso.api.ask_many_records import QuestionResult

EPILOG = examples(
    "ask-many questions.jsonl --out answers.jsonl",
    "ask-many questions.jsonl --out answers.jsonl --profile openai --max-usd 5 --jobs 8",
    "ask-many questions.jsonl --out answers.jsonl --retry-errors",
    "ask-many questions.csv --out answers.jsonl     # also .json, .parquet, a folder of files",
    "ask-many bench_hard.json --videos . --out answers.jsonl --outputs outputs.json",
    codes=True,
)
RENAMED = "note: `ask --batch FILE` is called `ask-many FILE` now, and does the same"


def from_old_name(arguments: list[str]) -> list[str] | None:
    """The arguments of `ask --batch FILE` as those of `ask-many FILE`; None for any others."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if options[:1] != ["ask"]:
        return None
    for position, option in enumerate(options):
        name, equals, file = option.partition("=")
        if name == "--batch":
            rest = arguments[position + 1 :]
            return ["ask-many", *arguments[1:position], *([file] if equals else []), *rest]
    return None


class Summary(Record):
    """How a run went. known: recorded by earlier runs; left: neither answered nor failed yet.

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


class Counts:
    """Counts results as they come."""

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.counts: Counter[str] = Counter()
        self.kinds: set[str] = set()
        self.cached_calls = 0

    def add(self, result: "QuestionResult") -> str:
        """Counts a result; returns its answer or its error as text."""
        self.counts["known"] += result.known
        if result.error is not None:
            self.counts["failed"] += 1
            self.kinds.add(result.error.kind)
            return f"error: {result.error.text}"
        assert result.answer is not None, "a result has an answer or an error"
        self.counts["answered" if result.answer.answered else "not_answered"] += 1
        if not result.known:
            self.cached_calls += total(result.answer.usage.values()).cached_calls
        return result.answer.text

    @property
    def done(self) -> int:
        """Lines with a result."""
        return sum(self.counts[key] for key in ("answered", "not_answered", "failed"))

    def summary(self, out: Path, ended: str, used: Usage) -> Summary:
        """The counts as a record. used: by all calls, those of questions without an answer too."""
        names = ("known", "answered", "not_answered", "failed")
        counts = {name: self.counts[name] for name in names}
        left = self.lines - self.done
        usage = used.model_copy(update={"cached_calls": self.cached_calls})
        return Summary(
            out=str(out), lines=self.lines, **counts, left=left, usage=usage, ended=ended
        )

    @property
    def code(self) -> Exit:
        """FAILED if a model or a tool failed, USER if only lines of the user's were unusable."""
        kinds = [getattr(errors, kind, errors.VideoEspressoError) for kind in self.kinds]
        if all(issubclass(kind, errors.UserError) for kind in kinds):
            return Exit.USER if kinds else Exit.ANSWERED
        return Exit.FAILED


@takes_settings(QUESTION)
def ask_many(
    questions: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="JSON lines, JSON, CSV, Parquet or a folder: video, question; also options, id. "
            "Or the authors' bench file.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Where the answers go, a line each.", show_default=False),
    ],
    videos: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that the bench's video paths are relative to."),
    ] = None,
    outputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write the bench's items with `model_output`; replaced."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Questions at a time; VIDEOESPRESSO_CONCURRENCY: calls.")
    ] = 2,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask failed lines again.")
    ] = False,
    *,
    settings: Settings,
    tool: Tool = None,
    json: Annotated[bool, typer.Option("--json", help="Print the typed summary, only.")] = False,
    quiet: Quiet = False,
) -> None:
    """Ask the questions of a file, several at a time; stopped, the same command goes on."""
    from videoespresso.api.ask_many import ask_many as ask_questions
    from videoespresso.api.ask_many_records import plan
    from videoespresso.models.costs import question_budget

    note_unconfigured(settings, quiet=quiet)
    note_where(settings, quiet=quiet or json)
    counts = Counts(len(plan(questions, videos)))
    if outputs is not None:
        _check_outputs(outputs, questions, out)
    stop, budget = threading.Event(), question_budget(settings, counts.lines)
    results = ask_questions(
        questions,
        out=out,
        videos=videos,
        jobs=jobs,
        retry_errors=retry_errors,
        settings=settings,
        tools=tool or (),
        budget=budget,
        stop=stop,
    )
    ended, code = _run(results, counts, stop, out, quiet)
    if outputs is not None:
        _write_outputs(outputs, questions, out)
    summary = counts.summary(out, ended, budget.used)
    if json:
        write_json(summary)
    else:
        show(summary)
    raise typer.Exit(code)


def _check_outputs(outputs: Path, questions: Path, out: Path) -> None:
    """Raises UserError, before anything is asked, where they cannot be written."""
    from videoespresso.api.question_files import is_bench
    from videoespresso.evaluation.reply_files import read_bench
    from videoespresso.evaluation.scored import refuse_beyond_d

    if not is_bench(questions):
        raise errors.UserError(
            f"{questions} is no bench file of the authors", hint="--outputs is for those only."
        )
    if outputs.resolve() in (questions.resolve(), out.resolve()):
        raise errors.UserError(
            f"--outputs {outputs} is read or written already", hint="Give it another name."
        )
    refuse_beyond_d(read_bench(questions).items)


def _write_outputs(outputs: Path, questions: Path, out: Path) -> None:
    """The bench with what was answered so far; an item without an answer has null."""
    from videoespresso.evaluation.reply_files import read_replies
    from videoespresso.evaluation.scored import official_records, scored, write_official

    replied = read_replies(out, questions)
    write_official(
        official_records(replied, scored(replied).scores.verdicts), outputs, replace=True
    )


def _run(
    results: "Iterator[QuestionResult]",
    counts: Counts,
    stop: threading.Event,
    out: Path,
    quiet: bool,
) -> tuple[str, Exit]:
    """Shows the results until they end, or a limit or Ctrl-C ends them: (how, exit code)."""
    try:
        with interruptible(lambda: _finish(stop)):
            _follow(results, counts, quiet)
        if stop.is_set() and counts.done < counts.lines:
            raise KeyboardInterrupt
    except errors.BudgetExceeded as error:
        err().print(f"{one_line(str(error))}. {error.hint}", style="yellow")
        return "budget", Exit.BUDGET
    except KeyboardInterrupt:
        err().print(_interrupted(counts, out), style="yellow")
        return "interrupted", Exit.INTERRUPTED
    return "done", counts.code


def _follow(results: "Iterator[QuestionResult]", counts: Counts, quiet: bool) -> None:
    """Shows each new result as a line, and on a terminal the counts so far."""
    with nullcontext() if quiet else err().status("asking") as status:
        for result in results:
            text = counts.add(result)
            if quiet:
                continue
            if not result.known:
                name = result.id or f"line {result.line}"
                at = f"[{counts.done}/{counts.lines}]"
                err().print(f"{at} {one_line(name)}: {one_line(text)}", style="dim")
            if status is not None:
                shown = ", ".join(f"{n} {name}" for name, n in sorted(counts.counts.items()) if n)
                status.update(f"{counts.done} of {counts.lines} done ({shown.replace('_', ' ')})")


def _finish(stop: threading.Event) -> None:
    """What the first Ctrl-C does."""
    stop.set()
    say_finishing()


def _interrupted(counts: Counts, out: Path) -> str:
    return (
        f"interrupted; {counts.done} of {counts.lines} questions are in {one_line(str(out))}: "
        "the same command asks the rest, and no reply that came is paid again"
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
