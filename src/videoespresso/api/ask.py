"""`ask`: a question about a video, through the graph, as one call."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from pydantic import Field
from typing_extensions import TypedDict

from videoespresso.api.answer import Answer
from videoespresso.errors import UserError
from videoespresso.settings import Settings, settings_of
from videoespresso.types import Progress, Record

if TYPE_CHECKING:
    from videoespresso.graphs.context import Context
    from videoespresso.graphs.estimate import Estimate
    from videoespresso.models.client.budget import Budget
    from videoespresso.tools.base import Given
    from videoespresso.tools.fetch.download import Local
    from videoespresso.tools.fetch.transfer import OnProgress as OnBytes

Videos = str | Path | Sequence[str | Path]
"""A path or an http(s) address, a folder of films, or several of these for one question."""
OnProgress = Callable[[Progress], None]
_OPTIONS = (
    'Give each possible answer by itself: options=["Ann", "Bo"], or --option Ann --option Bo.'
)

_CALL = 've.ask("clip.mp4", "Who wins?")'

MOST_OPTIONS = 26
"""An option is a letter to the models."""


class Step(Record):
    """A node has finished: which, what it did in a sentence, and its numbers."""

    node: str
    text: str
    data: dict[str, Any] = Field(default_factory=dict)


class Asking(TypedDict, total=False):
    """What goes with a question; `ask` says what each means."""

    options: Sequence[str]
    select: str | None
    settings: Settings | Mapping[str, Any] | None
    model: str | None
    profile: str | None
    tools: "Sequence[Given]"
    budget: "Budget | None"
    on_progress: OnProgress | None


def ask(
    video: Videos,
    question: str,
    *,
    options: Sequence[str] = (),
    select: str | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    model: str | None = None,
    profile: str | None = None,
    tools: "Sequence[Given]" = (),
    budget: "Budget | None" = None,
    on_step: Callable[[Step], None] | None = None,
    on_progress: OnProgress | None = None,
) -> Answer:
    """Answers a question about a video, with core frames, evidence and boxes.

    video: a path or an http(s) address (tools/fetch/download.py), a folder, or several of these:
    then each film is looked at by itself, the evidence names the video of each step, and one that
    cannot be read is a gap of the stage "video". options: possible answers;
    the answer's `choice` is the position of one of them. select: the selection strategy (paper,
    retrieval, uniform:K, keyframes, all). settings: default `Settings.load()`; a mapping
    is what that is given. model: a spec for every chat role, over the settings. profile: a named
    set of models. tools: more tools than the settings name. budget: limits shared with other
    questions; default those of the settings, for this question alone. on_step: called as each node
    ends. on_progress: called with what is under way, e.g. `ve.ProgressBar()`.

    Raises VideoError, SettingsError, ModelError; UserError for a question that is empty and for
    options that are no choice, before anything is looked at. A reached budget is no error: the
    answer says so and keeps what was found.
    """
    answer: Answer | None = None
    for step in stream(
        video,
        question,
        options=options,
        select=select,
        settings=settings,
        model=model,
        profile=profile,
        tools=tools,
        budget=budget,
        on_progress=on_progress,
    ):
        if isinstance(step, Answer):
            answer = step
        elif on_step is not None:
            on_step(step)
    assert answer is not None, "the graph always ends in `finish`"
    return answer


def stream(video: Videos, question: str, **asking: Unpack[Asking]) -> Iterator[Step | Answer]:
    """The steps as they happen, and the answer last. Takes what `ask` takes."""
    settings = _settings(question, asking)
    try:
        files = _files(video, settings, asking)
        yield from _fetched(files)
        context, paths = _context(files, settings, asking)
        for update in _updates(paths, question, asking, context):
            yield from _steps(update, context)
    finally:
        _done(asking)


def estimate(video: Videos, question: str, **asking: Unpack[Asking]) -> "Estimate":
    """What a question will take: models, selection, calls, captions, pictures, dollars. Takes what
    `ask` takes.

    No model is asked. A video that is not known is fetched and sampled, as the question would do,
    and that is kept. Raises as `ask` does before its first model call.
    """
    from videoespresso.graphs.dry_run import dry_run  # noqa: PLC0415 - slow to import

    settings = _settings(question, asking)
    try:
        files = _files(video, settings, asking)
        context, paths = _context(files, settings, asking)
        return dry_run(context, paths, question, asking.get("options", ()))
    finally:
        _done(asking)


async def aask(video: Videos, question: str, **asking: Unpack[Asking]) -> Answer:
    """`ask`, awaited; the nodes run in threads."""
    answer: Answer | None = None
    async for step in astream(video, question, **asking):
        answer = step if isinstance(step, Answer) else answer
    assert answer is not None, "the graph always ends in `finish`"
    return answer


async def astream(
    video: Videos, question: str, **asking: Unpack[Asking]
) -> AsyncIterator[Step | Answer]:
    """`stream`, awaited."""
    settings = _settings(question, asking)
    try:
        files = await asyncio.to_thread(_files, video, settings, asking)
        for step in _fetched(files):
            yield step
        context, paths = await asyncio.to_thread(_context, files, settings, asking)
        async for update in _aupdates(paths, question, asking, context):
            for written in _steps(update, context):
                yield written
    finally:
        _done(asking)


def _settings(question: str, asking: Asking) -> Settings:
    """Raises UserError for an unusable question and SettingsError for a selection strategy that
    does not exist, before anything else."""
    from videoespresso.graphs.selection import checked  # noqa: PLC0415 - slow to import

    check_question(question, asking.get("options", ()))
    settings = settings_of(
        asking.get("settings"), model=asking.get("model"), profile=asking.get("profile")
    )
    if (select := asking.get("select")) is not None:
        settings = settings.model_copy(update={"select": select})
    checked(settings)
    return settings


def _files(video: Videos, settings: Settings, asking: Asking) -> "list[Local]":
    """The videos one by one, and those of a folder, whether or not they can be read. Raises
    UserError where there is none, and for what is no path."""
    from videoespresso.dataset.videos import find, summary  # noqa: PLC0415 - slow to import
    from videoespresso.tools.fetch.download import Local, local  # noqa: PLC0415 - slow to import

    if isinstance(video, str | Path) or not isinstance(video, Iterable):
        video = [video]
    files: list[Local] = []
    for one in video:
        if not isinstance(one, str | Path):
            raise UserError(f"a video is a path or an address, not {one!r}", hint=_CALL)
        if os.path.isdir(one):
            found = find([one])
            passed = [f"not looked at: {line}" for line in summary(found.by_reason())]
            files += [Local(path, "", tuple(passed), found=True) for path in found.paths]
        else:
            files.append(local(one, settings, fetched_by(asking.get("on_progress"))))
    if not files:
        raise UserError("no video was given", hint=_CALL)
    return files


def fetched_by(listen: OnProgress | None) -> "OnBytes | None":
    """A listener to a download that says how far it is as all other progress is said."""
    if listen is None:
        return None
    return lambda p: listen(
        Progress(
            "fetch",
            "fetching",
            p.received / 1e6,
            None if p.total is None else p.total / 1e6,
            p.left_s,
        )
    )


def _fetched(files: "Sequence[Local]") -> Iterator[Step]:
    for file in files:
        if file.fetched:
            yield Step(node="fetch", text=file.fetched)


def _context(
    files: "Sequence[Local]", settings: Settings, asking: Asking
) -> "tuple[Context, list[str]]":
    """With which means, and about which paths."""
    # langgraph and chromadb take seconds to import; `import videoespresso` must not
    from videoespresso.graphs.context import open_context  # noqa: PLC0415
    from videoespresso.graphs.several import distinct  # noqa: PLC0415

    context = open_context(settings, asking.get("tools", ()), budget=asking.get("budget"))
    paths, twins = distinct(context, files)
    warnings = (*context.warnings, *(w for file in files for w in file.warnings), *twins)
    return replace(context, warnings=warnings, on_progress=asking.get("on_progress")), paths


def _updates(
    paths: Sequence[str], question: str, asking: Asking, context: "Context"
) -> Iterator[dict[str, Any]]:
    """What nodes wrote, by name, as the graph gives it."""
    from videoespresso.graphs.ask import ask_graph  # noqa: PLC0415 - slow to import

    options = list(asking.get("options", ()))
    if len(paths) > 1:
        yield from _several(paths, question, options, context)
        return
    given: Any = {"path": paths[0], "question": question, "options": options}
    yield from ask_graph().stream(given, context=context, stream_mode="updates")


def _several(
    paths: Sequence[str], question: str, options: list[str], context: "Context"
) -> Iterator[dict[str, Any]]:
    from videoespresso.graphs.several import several  # noqa: PLC0415 - slow to import

    for node, wrote in several(context, paths, question, options):
        yield {node: wrote}


async def _aupdates(
    paths: Sequence[str], question: str, asking: Asking, context: "Context"
) -> AsyncIterator[dict[str, Any]]:
    """`_updates`, awaited."""
    from videoespresso.graphs.ask import ask_graph  # noqa: PLC0415 - slow to import

    options = list(asking.get("options", ()))
    if len(paths) > 1:
        updates = _several(paths, question, options, context)
        while (update := await asyncio.to_thread(next, updates, None)) is not None:
            yield update
        return
    given: Any = {"path": paths[0], "question": question, "options": options}
    async for update in ask_graph().astream(given, context=context, stream_mode="updates"):
        yield update


def _done(asking: Asking) -> None:
    """Tells the listener that nothing more comes, also after an error."""
    if (listen := asking.get("on_progress")) is not None:
        listen(Progress("done", "done"))


def _steps(update: dict[str, Any], context: "Context") -> Iterator[Step | Answer]:
    for node, wrote in update.items():
        yield step_of(node, wrote or {}, context.store.root)


def step_of(node: str, wrote: dict[str, Any], frames: Path) -> Step | Answer:
    """What a node of the ask graph wrote, as callers are given it; `finish` gives the answer.
    frames: the frame store's folder."""
    from videoespresso.graphs.ask import message  # noqa: PLC0415 - slow to import

    if node == "finish":
        return Answer.of(wrote["answer"], frames)
    return Step(node=node, text=message(node, wrote), data=_numbers(wrote))


def _numbers(wrote: dict[str, Any]) -> dict[str, Any]:
    """Counters and lengths; never the things themselves."""
    sizes = {k: len(v) for k, v in wrote.items() if isinstance(v, list | dict) and k != "work"}
    return {**wrote.get("work", {}), **sizes}


def check_question(question: str, options: Sequence[str]) -> None:
    """Raises UserError for an empty question, and for options between which nothing can be chosen:
    a single one, equal ones, empty ones, or one text in the place of a list."""
    if not isinstance(question, str):
        raise UserError(f"the question is no text: {question!r}", hint=_CALL)
    if not question.strip():
        raise UserError("the question is empty", hint="Say what you want to know of the video.")
    if isinstance(options, str):
        raise UserError(f"the options are one text: {options!r}", hint=_OPTIONS)
    if wrong := next((option for option in options if not isinstance(option, str)), None):
        raise UserError(f"an option is no text: {wrong!r}", hint=_OPTIONS)
    if len(options) == 1:
        raise UserError(
            f"one option is no choice: {options[0]!r}",
            hint="Give two or more, or none for a free answer.",
        )
    if len(options) > MOST_OPTIONS:
        raise UserError(
            f"{len(options)} options are more than there are letters",
            hint=f"Give at most {MOST_OPTIONS}.",
        )
    names = [" ".join(option.split()).casefold() for option in options]
    if not all(names):
        raise UserError("an option is empty", hint=_OPTIONS)
    if twice := next((o for k, o in enumerate(options) if names[k] in names[:k]), None):
        raise UserError(f"the option {twice!r} is given twice", hint=_OPTIONS)
