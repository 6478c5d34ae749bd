"""`ask`: a question about a video, through the graph, as one call."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from pydantic import Field
from typing_extensions import TypedDict

from videoespresso.api.question_checks import check_question
from videoespresso.settings import Settings
from videoespresso.types import Answer, Record

if TYPE_CHECKING:
    from videoespresso.graphs.ask import AskGraph
    from videoespresso.graphs.context import Context
    from videoespresso.graphs.state import Ask
    from videoespresso.models.client.budget import Budget
    from videoespresso.tools.base import Given
    from videoespresso.tools.fetch.download import Local
    from videoespresso.tools.fetch.transfer import Progress


class Step(Record):
    """A node has finished: which, what it did in a sentence, and its numbers."""

    node: str
    text: str
    data: dict[str, Any] = Field(default_factory=dict)


class Asking(TypedDict, total=False):
    """What goes with a question; `ask` says what each means."""

    options: Sequence[str]
    select: str | None
    settings: Settings | None
    tools: "Sequence[Given]"
    budget: "Budget | None"
    on_progress: "Callable[[Progress], None] | None"


def ask(
    video: str | Path,
    question: str,
    *,
    options: Sequence[str] = (),
    select: str | None = None,
    settings: Settings | None = None,
    tools: "Sequence[Given]" = (),
    budget: "Budget | None" = None,
    on_step: Callable[[Step], None] | None = None,
    on_progress: "Callable[[Progress], None] | None" = None,
) -> Answer:
    """Answers a question about a video, with core frames, evidence and boxes.

    video: a path or an http(s) address (tools/fetch/download.py). options: possible answers; the
    answer's `choice` is the position of one of them. select: the selection strategy (paper,
    retrieval, uniform:K, keyframes, all). settings: default `Settings.load()`. tools: more
    tools than the settings name. budget: limits shared with other questions; default those of
    the settings, for this question alone. on_step: called as each node ends. on_progress:
    called while a video is downloaded.

    Raises VideoError, SettingsError, ModelError; UserError for a question that is empty and for
    options that are no choice, before anything is looked at. A reached budget is no error: the
    answer says so and keeps what was found.
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
        on_progress=on_progress,
    ):
        if isinstance(step, Answer):
            found = step
        elif on_step is not None:
            on_step(step)
    assert found is not None, "the graph always ends in `finish`"
    return found


def stream(video: str | Path, question: str, **asking: Unpack[Asking]) -> Iterator[Step | Answer]:
    """The steps as they happen, and the answer last. Takes what `ask` takes."""
    settings = _settings(question, asking)
    file = _local(video, settings, asking)
    yield from _fetched(file)
    graph, given, context = _prepared(file, question, settings, asking)
    for update in graph.stream(given, context=context, stream_mode="updates"):
        yield from _steps(update)


async def aask(video: str | Path, question: str, **asking: Unpack[Asking]) -> Answer:
    """`ask`, awaited; the nodes run in threads."""
    found: Answer | None = None
    async for step in astream(video, question, **asking):
        found = step if isinstance(step, Answer) else found
    assert found is not None, "the graph always ends in `finish`"
    return found


async def astream(
    video: str | Path, question: str, **asking: Unpack[Asking]
) -> AsyncIterator[Step | Answer]:
    """`stream`, awaited."""
    settings = _settings(question, asking)
    file = await asyncio.to_thread(_local, video, settings, asking)
    for step in _fetched(file):
        yield step
    graph, given, context = _prepared(file, question, settings, asking)
    async for update in graph.astream(given, context=context, stream_mode="updates"):
        for written in _steps(update):
            yield written


def _settings(question: str, asking: Asking) -> Settings:
    """Raises UserError for an unusable question and SettingsError for a selection strategy that
    does not exist, before anything else."""
    from videoespresso.graphs.selection import strategy  # noqa: PLC0415 - slow to import

    check_question(question, asking.get("options", ()))
    settings = asking.get("settings") or Settings.load()
    if (select := asking.get("select")) is not None:
        settings = settings.model_copy(update={"select": select})
    strategy(settings.select)
    return settings


def _local(video: str | Path, settings: Settings, asking: Asking) -> "Local":
    from videoespresso.tools.fetch.download import local  # noqa: PLC0415 - slow to import

    return local(video, settings, asking.get("on_progress"))


def _fetched(file: "Local") -> Iterator[Step]:
    if file.fetched:
        yield Step(node="fetch", text=file.fetched)


def _prepared(
    file: "Local", question: str, settings: Settings, asking: Asking
) -> "tuple[AskGraph, Ask, Context]":
    # langgraph and chromadb take seconds to import; `import videoespresso` must not
    from videoespresso.graphs.ask import ask_graph  # noqa: PLC0415
    from videoespresso.graphs.context import open_context  # noqa: PLC0415

    context = open_context(settings, asking.get("tools", ()), budget=asking.get("budget"))
    context = replace(context, warnings=(*context.warnings, *file.warnings))
    options = list(asking.get("options", ()))
    return ask_graph(), {"path": file.path, "question": question, "options": options}, context


def _steps(update: dict[str, Any]) -> Iterator[Step | Answer]:
    for node, wrote in update.items():
        yield step_of(node, wrote or {})


def step_of(node: str, wrote: dict[str, Any]) -> Step | Answer:
    """What a node of the ask graph wrote, as callers are given it; `finish` gives the answer."""
    from videoespresso.graphs.ask import message  # noqa: PLC0415 - slow to import

    if node == "finish":
        return Answer.model_validate(wrote["answer"])
    return Step(node=node, text=message(node, wrote), data=_numbers(wrote))


def _numbers(wrote: dict[str, Any]) -> dict[str, Any]:
    """Counters and lengths; never the things themselves."""
    numbers: dict[str, Any] = dict(wrote.get("work", {}))
    for key, value in wrote.items():
        if isinstance(value, list | dict) and key != "work":
            numbers[key] = len(value)
    return numbers
