"""`videoespresso ask`: the steps on stderr as they happen, the answer on stdout."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videoespresso.cli.batch import many
from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    one_line,
    out,
    say_warning,
    write_json,
)
from videoespresso.errors import UserError
from videoespresso.report.text import clock, letter, money, printable, total
from videoespresso.settings import ROLES, Settings
from videoespresso.types import Answer

if TYPE_CHECKING:
    from videoespresso.asking import Step

EPILOG = examples(
    'ask clip.mp4 "Why does the red car stop?"',
    'ask clip.mp4 "Who wins?" --option Ann --option Bo --select uniform:16',
    'ask clip.mp4 "What falls?" --model reasoner=openai:gpt-4o --max-usd 1',
    'ask clip.mp4 "What falls?" --json --quiet > answer.json',
    'ask --report r.html -- -odd-name.mp4 "What falls?"',
    "ask --batch questions.jsonl --out answers.jsonl --jobs 4",
    codes=True,
)


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    app.command("ask", epilog=EPILOG)(ask)


def ask(
    video: Annotated[
        Path | None, typer.Argument(help="The video file.", show_default=False)
    ] = None,
    question: Annotated[
        str | None, typer.Argument(help="What you want to know.", show_default=False)
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="A possible answer; give it once for each."),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(help="paper, retrieval, uniform:K, keyframes or all.", show_default="paper"),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="A named set of models; `models list` shows them.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="ROLE=SPEC", help="A model for one role."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="onnx:PATH, yolo:PATH.pt, hf:NAME, embedded: or off."),
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A tool, or package.module:name; may be repeated."),
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second on static parts.")] = None,
    max_usd: Annotated[
        float | None, typer.Option(help="Spend no more dollars (a batch: in all).")
    ] = None,
    max_calls: Annotated[
        int | None, typer.Option(help="Make no more model calls (a batch: in all).")
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="Look at no more frames of a video.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="Take no longer (a batch: in all).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the typed answer, only.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page of the evidence.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show the steps.")] = False,
    batch: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON lines: video, question, options, id."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the answers of --batch go.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Questions of --batch at a time.")] = 2,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Of --batch: ask failed lines again.")
    ] = False,
) -> None:
    """Ask a video a question and see the evidence: core frames, timestamps, boxes."""
    settings = Settings.load(
        {
            "profile": profile,
            **roles(model or ()),
            "detector": detector,
            "select": select,
            "fps": fps,
            "budget_usd": max_usd,
            "budget_calls": max_calls,
            "budget_frames": max_frames,
            "budget_seconds": max_seconds,
        }
    )
    if batch is not None:
        only_batch(out, video, question, option, report)
        assert out is not None
        many(batch, out, settings, tool or (), jobs, retry_errors, as_json=json, quiet=quiet)
    if video is None or question is None or out is not None:
        raise one_question_or_many()
    if report is not None:
        check_report(report, video)
    answer = run(video, question, option or (), tool or (), settings, quiet=quiet)
    if report is not None:
        write_report(answer, report, settings)
    if json:
        write_json(answer)
    else:
        show(answer, quiet=quiet)
    for warning in answer.warnings:
        say_warning(warning)
    for gap in answer.gaps:
        say_warning(f"not known ({gap.stage}): {gap.reason}")
    if report is not None and not quiet:
        err().print(f"report: {printable(str(report))}")
    raise typer.Exit(code_of(answer))


def only_batch(out: Path | None, *of_one_question: object) -> None:
    """Raises UserError for what does not go with --batch."""
    if out is None or any(given is not None for given in of_one_question):
        raise one_question_or_many()


def one_question_or_many() -> UserError:
    """The two forms of the command."""
    return UserError(
        "give a video and a question, or --batch and --out",
        hint="VIDEO, QUESTION, --option and --report are for one question; --out is for a batch, "
        "whose lines name video, question and options.",
    )


def run(
    video: Path,
    question: str,
    options: Sequence[str],
    tools: Sequence[str],
    settings: Settings,
    *,
    quiet: bool,
) -> Answer:
    """Asks, and shows each step as it happens; on a terminal with a sign of life between them."""
    from videoespresso.asking import ask as ask_video
    from videoespresso.models.profiles import UNCONFIGURED, configured

    for warning in settings.warnings:
        say_warning(warning)
    if not configured(settings) and not quiet:
        err().print(f"note: {UNCONFIGURED}", style="dim")
    with err().status("looking at the video") if not quiet else _silence() as status:

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
        )


def roles(given: Sequence[str]) -> dict[str, str]:
    """('reasoner=openai:gpt-4o', …) as settings. Raises UserError for anything else."""
    specs: dict[str, str] = {}
    for text in given:
        role, equals, spec = text.partition("=")
        if role not in ROLES or not equals or not spec:
            raise UserError(
                f"--model {text!r} does not name a role and a model",
                hint=f"Write --model ROLE=SPEC, with a role of: {', '.join(ROLES)}.",
            )
        specs[role] = spec
    return specs


def check_report(report: Path, video: Path) -> None:
    """Raises UserError where the report cannot go, before anything is paid for."""
    from videoespresso.report.parts import check_target

    check_target(report)
    if report.resolve() == video.resolve():
        raise UserError("the report would replace the video", hint="Give --report another name.")


def write_report(answer: Answer, report: Path, settings: Settings) -> None:
    """Writes the page; its pictures come out of the frame store."""
    from videoespresso.memory.frames import FrameStore
    from videoespresso.report.page import write

    write(answer, report, FrameStore(settings.cache_dir / "frames").image)


def code_of(answer: Answer) -> Exit:
    """A limit reached counts before the missing answer it explains."""
    if any(gap.stage == "budget" for gap in answer.gaps):
        return Exit.BUDGET
    return Exit.ANSWERED if answer.answered else Exit.NOT_ANSWERED


def show(answer: Answer, *, quiet: bool) -> None:
    """The answer for a person: text, options, evidence with instants and boxes, cost."""
    chosen = "" if answer.choice is None else f"{letter(answer.choice)}. "
    out().print(f"{chosen}{printable(answer.text)}", style="bold" if answer.answered else "yellow")
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


def footer(answer: Answer) -> str:
    """What was looked at and what it cost."""
    spent = total(answer.usage.values())
    looked = len(answer.core_frames) + len(answer.dropped)
    instants = ", ".join(clock(core.frame.time_s) for core in answer.core_frames) or "none"
    return (
        f"core frames: {instants} ({len(answer.core_frames)} of {looked} looked at) · "
        f"{'checked' if answer.checked else 'not confirmed by the checker'}\n"
        f"{spent.calls} model calls ({spent.cached_calls} from cache), "
        f"{spent.input_tokens:,} + {spent.output_tokens:,} tokens, {spent.images} images, "
        f"{money(spent.usd)}, {spent.seconds:.1f} s"
    )


def _silence() -> Any:
    """In the place of the status line when there is none."""
    from contextlib import nullcontext

    return nullcontext()
