"""`ask`: a question about a video file, through the graph, as one call."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from videoespresso.settings import Settings
from videoespresso.types import Answer, Record

if TYPE_CHECKING:
    from videoespresso.models.budget import Budget
    from videoespresso.tools.base import Given


class Step(Record):
    """A node has finished: which, what it did in a sentence, and its numbers."""

    node: str
    text: str
    data: dict[str, Any] = Field(default_factory=dict)


def ask(
    video: str | Path,
    question: str,
    *,
    options: Sequence[str] = (),
    select: str | None = None,
    settings: Settings | None = None,
    tools: "Sequence[Given]" = (),
    on_step: Callable[[Step], None] | None = None,
    budget: "Budget | None" = None,
) -> Answer:
    """Answers a question about a video, with core frames, evidence and boxes.

    options: possible answers; the answer's `choice` is the position of one of them. select: the
    selection strategy (paper, retrieval, uniform:K, keyframes, all). settings: default
    `Settings.load()`. on_step: called as each node ends. budget: limits shared with other
    questions; default those of the settings, for this question alone.

    Raises VideoError, SettingsError, ModelError. A reached budget is no error: the answer says so
    and keeps what was found.
    """
    found: Answer | None = None
    for step in stream(
        video,
        question,
        options=options,
        select=select,
        settings=settings,
        tools=tools,
        budget=budget,
    ):
        if isinstance(step, Answer):
            found = step
        elif on_step is not None:
            on_step(step)
    assert found is not None, "the graph always ends in `finish`"
    return found


def stream(
    video: str | Path,
    question: str,
    *,
    options: Sequence[str] = (),
    select: str | None = None,
    settings: Settings | None = None,
    tools: "Sequence[Given]" = (),
    budget: "Budget | None" = None,
) -> Iterator[Step | Answer]:
    """The steps as they happen, and the answer last."""
    graph, given = _prepared(video, question, options, select, settings, tools, budget)
    for update in graph.stream(given, stream_mode="updates"):
        yield from _told(update)


async def aask(
    video: str | Path,
    question: str,
    *,
    options: Sequence[str] = (),
    select: str | None = None,
    settings: Settings | None = None,
    tools: "Sequence[Given]" = (),
) -> Answer:
    """`ask`, awaited; the nodes run in threads."""
    found: Answer | None = None
    async for step in astream(
        video, question, options=options, select=select, settings=settings, tools=tools
    ):
        found = step if isinstance(step, Answer) else found
    assert found is not None, "the graph always ends in `finish`"
    return found


async def astream(
    video: str | Path,
    question: str,
    *,
    options: Sequence[str] = (),
    select: str | None = None,
    settings: Settings | None = None,
    tools: "Sequence[Given]" = (),
) -> AsyncIterator[Step | Answer]:
    """`stream`, awaited."""
    graph, given = _prepared(video, question, options, select, settings, tools)
    async for update in graph.astream(given, stream_mode="updates"):
        for told in _told(update):
            yield told


def _prepared(
    video: str | Path,
    question: str,
    options: Sequence[str],
    select: str | None,
    settings: Settings | None,
    tools: "Sequence[Given]",
    budget: "Budget | None" = None,
) -> tuple[Any, Any]:
    # langgraph and chromadb take seconds to import; `import videoespresso` must not
    from videoespresso.graphs.ask import build_ask_graph  # noqa: PLC0415
    from videoespresso.graphs.context import open_context  # noqa: PLC0415
    from videoespresso.graphs.selection import strategy  # noqa: PLC0415

    settings = settings or Settings.load()
    if select is not None:
        settings = settings.model_copy(update={"select": select})
    strategy(settings.select)  # a wrong name is said before anything is decoded
    graph = build_ask_graph(open_context(settings, tools, budget=budget))
    return graph, {"path": str(video), "question": question, "options": list(options)}


def _told(update: dict[str, Any]) -> Iterator[Step | Answer]:
    for node, wrote in update.items():
        yield told(node, wrote or {})


def told(node: str, wrote: dict[str, Any]) -> Step | Answer:
    """What a node of the ask graph wrote, as callers are told it; `finish` gives the answer."""
    if node == "finish":
        return Answer.model_validate(wrote["answer"])
    return Step(node=node, text=_sentence(node, wrote), data=_numbers(wrote))


def _numbers(wrote: dict[str, Any]) -> dict[str, Any]:
    """Counters and lengths; never the things themselves."""
    numbers: dict[str, Any] = dict(wrote.get("work", {}))
    for key, value in wrote.items():
        if isinstance(value, list | dict) and key != "work":
            numbers[key] = len(value)
    return numbers


def _sentence(node: str, wrote: dict[str, Any]) -> str:
    if wrote.get("stop") == "budget":
        return f"stopped: {next(g['reason'] for g in wrote['gaps'] if g['stage'] == 'budget')}"
    n, work = _numbers(wrote), wrote.get("work", {})
    if node == "probe":
        v = wrote["video"]
        return (
            f"{v['duration_s']:.1f} s, {v['width']}x{v['height']}, {v['codec'] or 'unknown codec'}"
        )
    if node == "sample":
        known = f", {work['remembered']} known from before" if work.get("remembered") else ""
        return f"{n['frames']} frames looked at, {work['decoded']} of them decoded now{known}"
    if node in ("caption", "look_again"):
        return f"{work['captioned']} frames captioned, {work['shared']} share a caption"
    if node == "filter":
        return f"{n['kept']} frames kept, {n['filtered']} say nothing new"
    if node == "select":
        core = wrote["core"]
        at = ", ".join(c["id"].rpartition("@")[2] for c in core)
        return f"{len(core)} core frames" + (f" (at {at} ms)" if core else "")
    if node == "ground":
        return f"{sum(len(b) for b in wrote['boxes'].values())} boxes"
    if node == "use_tools":
        return f"{n['findings']} findings"
    if node == "evidence":
        return "; ".join(s["text"] for s in wrote["steps"]) or "no evidence in these frames"
    if node == "answer":
        return str(wrote["conclusion"]["answer"])
    if node == "check":
        return (
            "carried"
            if wrote["verdict"]["carried"]
            else f"not carried: {wrote['verdict']['missing']}"
        )
    return "done"
