"""`videoespresso ask`: what is under way on stderr, the answer on stdout."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    one_line,
    out,
    say_warning,
    show_table,
    write_json,
)
from videoespresso.cli.options import (
    QUESTION,
    How,
    Quiet,
    Tool,
    Verbose,
    how_shown,
    note_unconfigured,
    note_where,
    takes_settings,
)
from videoespresso.errors import UserError
from videoespresso.report.text import clock, file_name, item_text, letter, money, printable, total
from videoespresso.settings import Settings
from videoespresso.types import Answer, CoreFrame

if TYPE_CHECKING:
    from videoespresso.api.ask import Step

EPILOG = examples(
    'ask clip.mp4 "Why does the red car stop?"',
    'ask before.mp4 after.mp4 "What was taken away?"',
    'ask clip.mp4 "Who wins?" --option Ann --option Bo --select uniform:16',
    'ask clip.mp4 "What falls?" --model reasoner=openai:gpt-4o --max-usd 1',
    'ask clip.mp4 "What falls?" --profile openai --dry-run',
    'ask clip.mp4 "What falls?" --json --quiet > answer.json',
    'ask https://example.org/clip.mp4 "What falls?"',
    'ask --report r.html -- -odd-name.mp4 "What falls?"',
    codes=True,
)


@takes_settings(QUESTION)
def ask(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO... QUESTION",
            help="The video file, an http(s) address or a folder, or several; the question last.",
            show_default=False,
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="A possible answer; give it once for each."),
    ] = None,
    *,
    settings: Settings,
    tool: Tool = None,
    json: Annotated[bool, typer.Option("--json", help="Print the typed answer, only.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page of the evidence.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask no model: say what it would take and cost.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Ask a video a question and see the evidence: core frames, timestamps, boxes.

    Several videos, or a folder of them, may be asked at once: the evidence then names the video of
    each step, and one that cannot be read is named at the end.
    """
    videos, question = split(words)
    if report is not None:
        check_report(report, videos)
    note_where(settings, quiet=quiet or json, sends=not dry_run)
    begun = time.monotonic()
    how = how_shown(quiet=quiet, verbose=verbose)
    if dry_run:
        show_estimate(videos, question, option or (), settings, how, json=json)
        return
    answer = run(videos, question, option or (), tool or (), settings, how)
    elapsed_s = time.monotonic() - begun
    if report is not None:
        write_report(answer, report, settings)
    if json:
        write_json(answer)
    else:
        show(answer, quiet=quiet, elapsed_s=elapsed_s)
    show_doubts(answer)
    if report is not None and not quiet:
        err().print(f"report: {printable(str(report))}")
    raise typer.Exit(code_of(answer))


def split(words: Sequence[str]) -> tuple[list[str], str]:
    """The videos and the question. Raises UserError where one of them is missing."""
    *videos, question = words
    if not videos or Path(question).is_file():
        missing = "a video" if not videos and not Path(question).is_file() else "the question"
        raise UserError(
            f"{missing} is missing: {one_line(question)!r} is all, or the last, that was given",
            hint='videoespresso ask clip.mp4 "Why does the red car stop?"',
        )
    _check_quotes(words)
    return videos, question


def _check_quotes(words: Sequence[str]) -> None:
    """Raises UserError for a question whose words were given one by one: what is between a file
    and the last word is none, and has no name of one."""
    files = next((k for k, word in enumerate(words) if not Path(word).exists()), 0)
    rest = words[files:]
    if files and len(rest) > 1 and not any(mark in word for word in rest for mark in "./\\"):
        from videoespresso.models.unknown_film import AskCommand

        whole = AskCommand(words[:files], " ".join(rest))
        raise UserError(
            f"{one_line(rest[0])}: no such file; is it a word of the question?",
            hint=f"Put the question in quotes: {whole}",
        )


def run(
    videos: Sequence[str],
    question: str,
    options: Sequence[str],
    tools: Sequence[str],
    settings: Settings,
    how: How,
) -> Answer:
    """Asks, and shows what is under way."""
    from videoespresso.api.ask import ask as ask_video
    from videoespresso.report.progress_bar import ProgressBar

    def on_step(step: "Step") -> None:
        err().print(f"{step.node:<9} {one_line(step.text)}", style="dim")

    answer = ask_video(
        list(videos),
        question,
        options=tuple(options),
        select=settings.select,
        settings=settings,
        tools=tuple(tools),
        on_step=on_step if how == "steps" else None,
        on_progress=None if how is None else ProgressBar(err()),
    )
    note_unconfigured(settings, quiet=how is None)  # an unknown film's error says it by itself
    return answer


def show_estimate(
    videos: Sequence[str],
    question: str,
    options: Sequence[str],
    settings: Settings,
    how: How,
    *,
    json: bool,
) -> None:
    """What the question would take, as a table or as JSON."""
    from videoespresso.api.ask import estimate
    from videoespresso.report.progress_bar import ProgressBar

    bar = None if how is None else ProgressBar(err())
    cost = estimate(list(videos), question, options=options, settings=settings, on_progress=bar)
    if json:
        write_json(cost)
        return
    rows = [
        (name, share.model, f"{share.calls}", f"{share.images}", money(share.usd))
        for name, share in cost.roles.items()
    ]
    rows.append(("all", "", f"{cost.calls}", f"{cost.images}", money(cost.usd)))
    show_table("role", "model", "calls#", "pictures#", "dollars#", rows=rows)
    limit = "none" if cost.limit_usd is None else money(cost.limit_usd)
    out().print(
        f"select: {one_line(cost.select)}; {cost.frames} frames looked at, {cost.known} of them "
        f"captioned before, {cost.captions} captions to make; limit: {limit}\n"
        "An estimate: replies in the cache are free; a second look and calls of tools cost more."
    )


def check_report(report: Path, videos: Sequence[str]) -> None:
    """Raises UserError where the report cannot go, before anything is paid for."""
    from videoespresso.report.parts import check_target
    from videoespresso.tools.fetch.addresses import is_address

    check_target(report, [video for video in videos if not is_address(video)])


def write_report(answer: Answer, report: Path, settings: Settings) -> None:
    """Writes the page; its pictures come out of the frame store."""
    from videoespresso.memory.frames import FrameStore
    from videoespresso.report.page import write

    write(answer, report, FrameStore(settings.cache_dir / "frames").image)


def code_of(answer: Answer) -> Exit:
    """The exit code: a reached limit comes before "not answered", which it explains. A reply that
    is none of the options does not answer a choice."""
    if any(gap.stage == "budget" for gap in answer.gaps):
        return Exit.BUDGET
    unread = any(gap.stage == "video" for gap in answer.gaps)  # of several films
    undecided = answer.options and answer.choice is None
    return Exit.ANSWERED if answer.answered and not undecided and not unread else Exit.NOT_ANSWERED


def show(answer: Answer, *, quiet: bool, elapsed_s: float) -> None:
    """The answer for a person: text, options, evidence with instants and boxes, cost."""
    chosen = "" if answer.choice is None else f"{letter(answer.choice)}. "
    out().print(f"{chosen}{printable(answer.text)}", style="yellow" if code_of(answer) else "bold")
    if quiet:
        return
    for position, option in enumerate(answer.options):
        mark = "→" if position == answer.choice else " "
        out().print(f"  {mark} {letter(position)}. {one_line(option)}")
    if answer.evidence:
        out().print("\nEvidence", style="bold")
    for step in answer.evidence:
        where = f"{one_line(file_name(step.video))}  " if step.video else ""
        out().print(f"  {clock(step.time_s):>8}  {where}{one_line(step.text)}")
        for item in step.items:
            if text := item_text(item, detected=answer.detected):
                out().print(f"            {one_line(text)}", style="dim")
    out().print(f"\n{footer(answer, elapsed_s)}", style="dim")


def show_doubts(answer: Answer) -> None:
    """Warnings and gaps of an answer, a line each on stderr."""
    for warning in answer.warnings:
        say_warning(warning)
    for gap in answer.gaps:
        say_warning(f"not known ({gap.stage}): {gap.reason}")


def footer(answer: Answer, elapsed_s: float) -> str:
    """The core frames, whether the checker agrees, and what the question cost."""
    spent = total(answer.usage.values())
    candidates = len(answer.core_frames) + len(answer.dropped)
    paths = {video.id: video.path for video in answer.videos}

    def at(core: CoreFrame) -> str:
        where = paths.get(core.frame.video_id, "")
        return f"{one_line(file_name(where))} {clock(core.frame.time_s)}".strip()

    instants = ", ".join(map(at, answer.core_frames)) or "none"
    looked = f"{answer.density}\n" if answer.density else ""
    models = f"of which models {spent.seconds:.1f} s"
    if spent.seconds > elapsed_s:
        models = f"calls together {spent.seconds:.1f} s, several at a time"
    return (
        f"core frames: {instants} ({len(answer.core_frames)} of {candidates} looked at) · "
        f"{answer.verdict}\n{looked}"
        f"{spent.calls} model calls ({spent.cached_calls} from cache), "
        f"{spent.input_tokens:,} + {spent.output_tokens:,} tokens, {spent.images} images, "
        f"{money(spent.usd)}\n{elapsed_s:.1f} s, {models}"
    )
