"""`videoespresso eval run`: a benchmark through the ask graph, under one condition or several."""

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    leave,
    one_line,
    out,
    say_finishing,
    write_json,
)
from videoespresso.cli.eval_judge import JudgeOption, SeesOption
from videoespresso.cli.options import (
    QUESTION,
    Quiet,
    note_unconfigured,
    note_where,
    takes_settings,
)
from videoespresso.dataset.interrupt import interruptible
from videoespresso.errors import BudgetExceeded, UserError, VideoError
from videoespresso.report.text import money
from videoespresso.settings import Settings
from videoespresso.types import Progress, Record

if TYPE_CHECKING:
    from videoespresso.evaluation.ablation import Ablation
    from videoespresso.evaluation.judging import Sees
    from videoespresso.evaluation.run import Plan, Run
    from videoespresso.evaluation.summary import Summary

T = TypeVar("T", "Summary", "Ablation")

EVERY_S = 20.0
"""Without a terminal, how often it is said how far the run is."""
EPILOG = examples(
    "eval run theatre:test --n 140 --out runs/theatre --profile embedded",
    "eval run bench_hard.json --videos videos/ --out runs/hard -m openai:gpt-4o --max-usd 20",
    "eval run bench_hard.json --videos videos/ --out runs/hard --dry-run",
    "eval run theatre:test --out runs/t --condition ours --condition uniform:16 --condition blind",
    "eval run bench_hard.json --videos videos/ --out runs/judged -m openai:gpt-4o --protocol judge "
    "--judge openai:gpt-4o --max-usd 20",
    "eval run minerva:minerva.json --videos videos/ --out runs/minerva -m server",
    codes=True,
)


class Forecast(Record):
    """What a run would do. records: to be made; known: made before; absent: videos that are not
    there. usd: an estimate by the formula, None where a price is not known."""

    benchmark: str
    questions: int
    videos: int
    conditions: tuple[str, ...]
    records: int
    known: int
    absent: int
    first_absent: str
    usd: float | None
    formula: str


Bench = Annotated[
    str,
    typer.Argument(
        metavar="BENCH",
        help="theatre:test (held_out, winter), NAME:FILE, a dataset's folder, an authors' file.",
        show_default=False,
    ),
]
Target = Annotated[
    Path, typer.Option("--out", metavar="RUN", help="The run's folder.", show_default=False)
]
ProtocolOption = Annotated[
    Literal["letter", "open"],
    typer.Option(help="letter: options are shown; open: they are not (Algorithm 1)."),
]
Many = Annotated[
    int | None, typer.Option("--n", min=1, help="So many questions, even over the tasks.")
]
Videos = Annotated[
    Path | None, typer.Option(help="Folder that the benchmark's paths are relative to.")
]
Jobs = Annotated[
    int, typer.Option(min=1, help="Videos at a time; VIDEOESPRESSO_CONCURRENCY: calls.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Ask nothing; say what it takes.")]
RetryErrors = Annotated[
    bool, typer.Option("--retry-errors", help="Ask again what was not measured.")
]
EncoderOption = Annotated[
    str, typer.Option(metavar="SPEC", help="open: what the answers are compared by.")
]
TauOption = Annotated[
    float, typer.Option(min=0, max=1, help="open: a right answer is more similar than this.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The numbers as JSON on stdout.")]


@takes_settings(QUESTION)
def run(
    bench: Bench,
    target: Target,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="ours, uniform:K, all, keyframes, direct, blind, oracle-frames, oracle-evidence, "
            "oracle-sentences, any --select; ours@tau=0.8 and the like; may be repeated.",
            show_default="ours",
        ),
    ] = None,
    protocol: Annotated[
        Literal["letter", "open", "judge"],
        typer.Option(help="letter: options are shown; open (Algorithm 1), judge: they are not."),
    ] = "letter",
    n: Many = None,
    videos: Videos = None,
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    retry_errors: RetryErrors = False,
    encoder: EncoderOption = "wordllama",
    tau: TauOption = 0.8,
    judge: JudgeOption = None,
    judge_sees: SeesOption = "nothing",
    *,
    settings: Settings,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Ask a benchmark's questions; stopped, the same command goes on and asks nothing twice.

    --max-usd and the like are limits of the whole run. Exit code 3 when items were not measured."""
    from videoespresso.api.evaluate import encoder_of, opened
    from videoespresso.cli.eval_run_tables import show_summary
    from videoespresso.evaluation.run import Plan
    from videoespresso.evaluation.summary import summary

    names = tuple(dict.fromkeys(condition or ["ours"]))
    plan = Plan(
        opened(bench, settings, videos), target, settings, names, protocol, n, jobs, retry_errors
    )
    embed = None if dry_run else encoder_of(protocol, encoder)
    execute(
        plan, lambda: summary(target, embed, tau), show_summary,
        dry_run=dry_run, as_json=as_json, quiet=quiet, judge=judge, judge_sees=judge_sees,
    )  # fmt: skip


def execute(
    plan: "Plan",
    table: Callable[[], T],
    show: Callable[[T], None],
    *,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    judge: str | None = None,
    judge_sees: "Sees" = "nothing",
) -> None:
    """Carries a plan out and shows its table, or says what it would take; exits by how it ended."""
    from videoespresso.api.evaluate import judge_answers, judge_of
    from videoespresso.evaluation.run import Run

    note_unconfigured(plan.settings, quiet=quiet)
    note_where(plan.settings, quiet=quiet or as_json)
    run = Run(plan)
    if dry_run:
        expected = forecast(run)
        write_json(expected) if as_json else show_forecast(expected)
        return
    agent = judge_of(run, judge)
    ended = carry_out(run, quiet)
    if ended is not None and plan.protocol == "judge":
        raise typer.Exit(ended)
    if ended is None and agent is not None:
        with nullcontext() if quiet else err().status("judging"):
            judge_answers(plan.out, agent, judge_sees, plan.settings)
    scores = table()
    write_json(scores) if as_json else show(scores)
    if ended is None:
        ended = Exit.ANSWERED if scores.whole else Exit.NOT_ANSWERED
    raise typer.Exit(ended)


def carry_out(made: "Run", quiet: bool) -> Exit | None:
    """Runs until all is done, or a limit or Ctrl-C ends it: then with which code."""
    stop = threading.Event()
    shown_s = time.monotonic()

    def finish() -> None:
        stop.set()
        say_finishing()

    with nullcontext() if quiet else err().status("asking") as status:

        def listen(progress: Progress) -> None:
            nonlocal shown_s
            if status is None or progress.step == "done":
                return
            status.update(str(progress))
            if not err().is_terminal and time.monotonic() - shown_s >= EVERY_S:
                shown_s = time.monotonic()
                err().print(str(progress), style="dim")

        try:
            with interruptible(finish, leave):
                made.go(listen, stop)
        except BudgetExceeded as error:
            err().print(f"{one_line(str(error)).rstrip('.')}. {error.hint}", style="yellow")
            return Exit.BUDGET
        except KeyboardInterrupt:
            stop.set()
    if stop.is_set():
        err().print("interrupted; the same command asks the rest", style="yellow")
        return Exit.INTERRUPTED
    return None


def forecast(made: "Run") -> Forecast:
    """Of a run that asks nothing yet."""
    from videoespresso.evaluation import conditions
    from videoespresso.models.client.prices import image_tokens, price
    from videoespresso.models.costs import FRAME, FRAMES, captions, formula, question_usd
    from videoespresso.models.profiles import resolve

    done = made.known()
    absent = []
    for case in {case.video: case for case in made.cases}.values():
        try:
            case.made or case.find()
        except (VideoError, UserError):
            absent.append(case.video)
    shown = [c for c in made.ordered if c != conditions.BLIND]
    records, videos = made.missing(done), len({case.video for case in made.cases})
    roles = resolve(made.plan.settings)
    usd, captioner = question_usd(roles, FRAMES), roles["captioner"].model
    known = price(captioner)
    if usd is not None and known is not None:
        share = captions(captioner)
        once = known.usd(share.input + share.images * image_tokens(captioner, *FRAME), share.output)
        usd = (once * videos if shown else 0.0) + (usd - once) * records
    return Forecast(
        benchmark=made.plan.benchmark.name,
        questions=len(made.cases),
        videos=videos,
        conditions=made.ordered,
        records=records,
        known=sum(map(len, made.keys().values())) - records,
        absent=len(absent),
        first_absent=absent[0] if absent else "",
        usd=usd,
        formula=f"captions once a video, the rest a question; {formula(FRAMES)}",
    )


def show_forecast(cost: Forecast) -> None:
    """In words."""
    out().print(
        f"{cost.questions:,} questions about {cost.videos:,} videos of {cost.benchmark}, under "
        f"{', '.join(cost.conditions)}: {cost.records:,} records to make, {cost.known:,} known"
    )
    if cost.absent:
        out().print(
            f"{cost.absent:,} videos are not there, the first: {one_line(cost.first_absent)}; "
            "they will count as not measured"
        )
    out().print(f"about {money(cost.usd)} ({cost.formula})", style="dim")
