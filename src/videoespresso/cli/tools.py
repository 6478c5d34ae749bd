"""`videoespresso tools`: which tools there are, what one needs, and one tried on a video."""

import json as json_
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videoespresso.cli.console import (
    Exit,
    err,
    examples,
    fetching,
    one_line,
    out,
    say_warning,
    show_table,
    write_json,
)
from videoespresso.cli.options import Detector, takes_settings
from videoespresso.errors import UnknownFilmError, UserError
from videoespresso.report.text import clock
from videoespresso.settings import Settings
from videoespresso.types import FrameRef, Gap, Record

if TYPE_CHECKING:
    from videoespresso.tools.base import Tool, ToolRequest
    from videoespresso.tools.registry import KnownTool

FRAMES = 8
"""Frames a tool is tried on, evenly."""
NOTHING_KNOWN = (
    "nothing is remembered of this video yet: ask a question about it first (videoespresso ask)"
)
AROUND_S = 1.0
"""With --at: a frame there, and one this far to either side."""

app = typer.Typer(
    name="tools",
    help="The tools an answer can use, and one tried on a video.",
    no_args_is_help=True,
    epilog=examples("tools list", "tools info count", "tools try count clip.mp4 --at 12.5"),
)


UNSEEN = "; no detector looked at the frames (videoespresso models pull detector)"


class Trial(Record):
    """The result of one run of a tool. findings: as `tools.base.Finding`; gap: why some
    are missing; detected: whether a detector looked at the frames."""

    tool: str
    video: str
    frames: tuple[FrameRef, ...]
    findings: tuple[dict[str, Any], ...]
    gap: Gap | None
    detected: bool


@app.command("list", epilog=examples("tools list"))
@takes_settings({})
def list_tools(*, settings: Settings) -> None:
    """Show the built-in tools, the installed plug-ins, and those of videoespresso.toml."""
    known = _survey(settings)
    rows = [
        (item.name, item.tool.needs, item.source, item.tool.description)
        for item in known
        if item.tool is not None
    ]
    show_table("Tool", "Needs", "From", "What it does", rows=rows)
    for item in known:
        if item.tool is None:
            say_warning(f"{item.reason}; skipped")


@app.command("info", epilog=examples("tools info count", "tools info my_package.ocr:Ocr"))
@takes_settings({})
def info(
    name: Annotated[str, typer.Argument(help="A tool's name, or package.module:name.")],
    *,
    settings: Settings,
) -> None:
    """Show what a tool does, what it needs, where it is from, and what a model may call it with."""
    tool = _one(name, settings)
    known = {item.name: item.source for item in _survey(settings)}
    source = name if ":" in name else known[name]
    rows = [("name", tool.name), ("from", source), ("needs", tool.needs)]
    rows += [("used on every question", "yes" if name in settings.tools else "no")]
    out().print(f"{one_line(tool.description)}\n")
    show_table("Tool", "", rows=rows)
    if parameters := getattr(tool, "parameters", None):
        out().print("\nA reasoner that can call tools may call it with:")
        for key, about in parameters.get("properties", {}).items():
            kind = about.get("type", "any")
            out().print(f"  {key} ({kind}): {one_line(about.get('description', ''))}")


@app.command(
    "try",
    epilog=examples(
        "tools try count examples/videos/street.mp4",
        "tools try look_closer clip.mp4 --from 10 --to 12",
        'tools try search_memory clip.mp4 --question "a red car" --json',
        "tools try my_package:search clip.mp4 --arg query=cars",
        codes=True,
    ),
)
@takes_settings({"detector": Detector})
def try_tool(
    name: Annotated[
        str, typer.Argument(metavar="TOOL", help="A tool's name, or package.module:name.")
    ],
    video: Annotated[
        str, typer.Argument(help="The video file, or an http(s) address.", show_default=False)
    ],
    at: Annotated[float | None, typer.Option(help="Look around this second.")] = None,
    start: Annotated[float | None, typer.Option("--from", help="Look from this second.")] = None,
    end: Annotated[float | None, typer.Option("--to", help="Look up to this second.")] = None,
    question: Annotated[str, typer.Option(help="The question that the tool is given.")] = "",
    arg: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="As if a model called it with this."),
    ] = None,
    *,
    settings: Settings,
    json: Annotated[bool, typer.Option("--json", help="Print the typed result, only.")] = False,
) -> None:
    """Run one tool on a few frames of a video, and show what it found or why it did not."""
    from videoespresso.graphs.context import open_context
    from videoespresso.tools.fetch.download import local
    from videoespresso.tools.registry import run_tool

    arguments = _arguments(arg or ())
    tool = _one(name, settings)
    with err().status(f"trying {tool.name}") as status:
        file = local(video, settings, fetching(status.update))
        context = open_context(settings.model_copy(update={"tools": ()}))
        request, detected = _request(context, file.path, question, (at, start, end), arguments)
        result = run_tool(tool, request)
        known = context.memory.captions(context.memory_key(request.video.id))
    if tool.needs == "text" and not known:
        say_warning(NOTHING_KNOWN)
    tried = Trial(
        tool=tool.name,
        video=request.video.path,
        frames=tuple(core.frame for core in request.frames),
        findings=tuple(finding.model_dump(mode="json") for finding in result.findings),
        gap=result.gap,
        detected=detected,
    )
    if json:
        write_json(tried)
    else:
        _show(tried)
    if result.gap is not None:
        say_warning(f"not known ({result.gap.stage}): {result.gap.reason}")
        raise typer.Exit(Exit.FAILED)


def _survey(settings: Settings, more: Sequence[str] = ()) -> "list[KnownTool]":
    from videoespresso.tools.registry import survey

    return survey((*settings.tools, *more), settings.mcp)


def _one(name: str, settings: Settings) -> "Tool":
    """The tool of that name. Raises UserError where there is none, and where there are several."""
    from videoespresso.tools.registry import load_tools

    tools = load_tools([name], servers=settings.mcp).tools
    if len(tools) != 1:
        names = ", ".join(tool.name.partition(".")[2] for tool in tools) or "none"
        raise UserError(f"{name} has {len(tools)} tools: {names}", hint=f"Choose one: {name}#TOOL.")
    return tools[0]


def _arguments(given: Sequence[str]) -> dict[str, Any]:
    """('k=3', 'query=cars') as {"k": 3, "query": "cars"}. Raises UserError without a '='."""
    arguments: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"--arg {text!r} has no value", hint="Write --arg NAME=VALUE.")
        try:
            arguments[key] = json_.loads(value)
        except ValueError:
            arguments[key] = value
    return arguments


def _request(
    context: Any,
    video: str,
    question: str,
    when: tuple[float | None, float | None, float | None],
    arguments: dict[str, Any],
) -> "tuple[ToolRequest, bool]":
    """A few frames of the video with what is known about them, as the graph would give them, and
    whether a detector looked at them."""
    from dataclasses import replace

    from videoespresso.graphs.tool_use import tool_request
    from videoespresso.graphs.watch import refuse_unknown, stored
    from videoespresso.tools.base import Means
    from videoespresso.tools.detectors.base import Off
    from videoespresso.tools.sampling import Sampled
    from videoespresso.tools.video import open_video
    from videoespresso.types import CoreFrame

    with open_video(video, backend=context.settings.decoder) as reader:
        about = reader.video
        span, times = instants(about.duration_s, *when)
        pictures = {p.time_s: p for p in reader.at(times, context.plan.max_side)}.values()
        refs = stored(context, about, (Sampled(p, "tools try") for p in pictures))
    try:
        refuse_unknown(context, refs, video)
        known = True
    except UnknownFilmError as error:  # the tool may well know what the pack does not
        say_warning(str(error))
        context, known = replace(context, detector=Off()), False
    captions = {c.frame_id: c.text for c in context.memory.captions(context.memory_key(about.id))}
    closed = context.detector.labels is not None
    looked = bool(context.detector.labels)
    frames = [
        CoreFrame(
            frame=ref,
            caption=captions.get(ref.id, ""),
            boxes=tuple(context.detector.detect(context.store.image(ref))) if closed else (),
        )
        for ref in refs
    ]
    request = tool_request(context, about, question, frames, span, arguments)
    if known:
        return request, looked
    return replace(request, means=replace(request.means, describe=Means().describe)), looked


def instants(
    duration_s: float, at: float | None, start: float | None, end: float | None
) -> tuple[tuple[float, float] | None, list[float]]:
    """The span asked about (None: the whole video) and where to take frames.

    Raises UserError for an instant outside the video, an empty span, and --at beside a span.
    """
    if at is not None and (start is not None or end is not None):
        raise UserError("--at and --from/--to exclude each other", hint="Give one of them.")
    for value in (at, start, end):
        if value is not None and not 0 <= value <= duration_s:
            raise UserError(
                f"{value:g} s is outside the video", hint=f"It has {duration_s:.1f} seconds."
            )
    if at is not None:
        span = (max(0.0, at - AROUND_S), min(duration_s, at + AROUND_S))
        return span, [span[0], at, span[1]]
    whole = start is None and end is None
    first, last = start or 0.0, duration_s if end is None else end
    if last <= first:
        raise UserError(f"there is nothing between {first:g} and {last:g} s", hint="--from < --to.")
    step = (last - first) / FRAMES
    return None if whole else (first, last), [first + (k + 0.5) * step for k in range(FRAMES)]


def _show(tried: Trial) -> None:
    """For a person: each finding with its instant and boxes."""
    for finding in tried.findings:
        out().print(f"{clock(finding['time_s']):>8}  {one_line(finding['text'])}")
        for box in finding["boxes"]:
            place = " ".join(f"{v:.2f}" for v in box["xyxy"])
            out().print(
                f"          {one_line(box['label'])}: [{place}] {box['score']:.2f}", style="dim"
            )
    if not tried.findings and tried.gap is None:
        out().print(f"{tried.tool} found nothing{'' if tried.detected else UNSEEN}", style="yellow")
    number, frames = len(tried.findings), len(tried.frames)
    summary = f"{number} finding{'' if number == 1 else 's'}, tried on {frames} frames"
    err().print(summary, style="dim")
