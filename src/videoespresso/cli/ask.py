"""`videoespresso ask`: the steps on stderr as they happen, the answer on stdout."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    fetching,
    one_line,
    out,
    say_warning,
    write_json,
)
from videoespresso.cli.options import QUESTION, Quiet, Tool, note_unconfigured, takes_settings
from videoespresso.errors import UserError
from videoespresso.report.text import clock, letter, money, printable, total
from videoespresso.settings import Settings
from videoespresso.types import Answer

if TYPE_CHECKING:
    from videoespresso.api.ask import Step

EPILOG = examples(
    'ask clip.mp4 "Why does the red car stop?"',
    'ask clip.mp4 "Who wins?" --option Ann --option Bo --select uniform:16',
    'ask clip.mp4 "What falls?" --model reasoner=openai:gpt-4o --max-usd 1',
    'ask clip.mp4 "What falls?" --json --quiet > answer.json',
    'ask https://example.org/clip.mp4 "What falls?"',
    'ask --report r.html -- -odd-name.mp4 "What falls?"',
    codes=True,
)


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("ask", epilog=EPILOG)(ask)


@takes_settings(QUESTION)
def ask(
    video: Annotated[
        str, typer.Argument(help="The video file, or an http(s) address.", show_default=False)
    ],
    question: Annotated[str, typer.Argument(help="What you want to know.", show_default=False)],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="A possible answer; give it once for each."),
    ] = None,
    *,
    settings: Settings,
    tool: Tool = None,
    json: Annotated[bool, typer.Option("--json", help="Print the typed answer, only.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page of the evidence.")] = None,
    quiet: Quiet = False,
) -> None:
    """Ask a video a question and see the evidence: core frames, timestamps, boxes."""
    if report is not None:
        check_report(report, video)
    answer = run(video, question, option or (), tool or (), settings, quiet=quiet)
    if report is not None:
        write_report(answer, report, settings)
    if json:
        write_json(answer)
    else:
        show(answer, quiet=quiet)
    show_doubts(answer)
    if report is not None and not quiet:
        err().print(f"report: {printable(str(report))}")
    raise typer.Exit(code_of(answer))


def run(
    video: str,
    question: str,
    options: Sequence[str],
    tools: Sequence[str],
    settings: Settings,
    *,
    quiet: bool,
) -> Answer:
    """Asks, and shows each step as it happens; on a terminal with a sign of life between them."""
    from videoespresso.api.ask import ask as ask_video

    note_unconfigured(settings, quiet=quiet)
    with err().status("looking at the video") if not quiet else nullcontext() as status:

        def on_step(step: "Step") -> None:
            err().print(f"{step.node:<9} {one_line(step.text)}", style="dim")
            if status is not None:
                status.update(f"{step.node} done")

        return ask_video(
            video,
            question,
            options=tuple(options),
            select=settings.select,
            settings=settings,
            tools=tuple(tools),
            on_step=None if quiet else on_step,
            on_progress=None if status is None else fetching(status.update),
        )


def check_report(report: Path, video: str) -> None:
    """Raises UserError where the report cannot go, before anything is paid for."""
    from videoespresso.report.parts import check_target
    from videoespresso.tools.fetch.addresses import is_address

    check_target(report)
    if not is_address(video) and report.resolve() == Path(video).resolve():
        raise UserError("the report would replace the video", hint="Give --report another name.")


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
    undecided = answer.options and answer.choice is None
    return Exit.ANSWERED if answer.answered and not undecided else Exit.NOT_ANSWERED


def show(answer: Answer, *, quiet: bool) -> None:
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
        out().print(f"  {clock(step.time_s):>8}  {one_line(step.text)}")
        for item in step.items:
            boxes = ", ".join(
                f"[{' '.join(f'{v:.2f}' for v in box.xyxy)}] {box.score:.2f}" for box in item.boxes
            )
            out().print(f"            {one_line(item.name)}: {boxes or 'not found'}", style="dim")
    out().print(f"\n{footer(answer)}", style="dim")


def show_doubts(answer: Answer) -> None:
    """Warnings and gaps of an answer, a line each on stderr."""
    for warning in answer.warnings:
        say_warning(warning)
    for gap in answer.gaps:
        say_warning(f"not known ({gap.stage}): {gap.reason}")


def footer(answer: Answer) -> str:
    """The core frames, whether the checker agrees, and what the question cost."""
    spent = total(answer.usage.values())
    candidates = len(answer.core_frames) + len(answer.dropped)
    instants = ", ".join(clock(core.frame.time_s) for core in answer.core_frames) or "none"
    return (
        f"core frames: {instants} ({len(answer.core_frames)} of {candidates} looked at) · "
        f"{'checked' if answer.checked else 'not confirmed by the checker'}\n"
        f"{spent.calls} model calls ({spent.cached_calls} from cache), "
        f"{spent.input_tokens:,} + {spent.output_tokens:,} tokens, {spent.images} images, "
        f"{money(spent.usd)}, {spent.seconds:.1f} s"
    )
