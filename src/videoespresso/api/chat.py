"""`Chat`: questions about videos that may refer to each other, kept as a thread.

chat = Chat("clip.mp4")
chat.ask("Who is surprised?")
chat.ask("and after that?")
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from videoespresso.api.answer import Answer
from videoespresso.api.ask import OnProgress, Step, ask, check_question, fetched_by, step_of
from videoespresso.errors import UserError
from videoespresso.graphs import watch
from videoespresso.graphs.chat import ChatGraph, ChatQuestion, chat_graph, understand_message
from videoespresso.graphs.context import Context, open_context
from videoespresso.graphs.selection import checked
from videoespresso.memory.threads import ThreadStore, config
from videoespresso.report.text import clock, file_name
from videoespresso.settings import Settings, settings_of
from videoespresso.tools.base import Given, Tool
from videoespresso.tools.fetch.download import local
from videoespresso.tools.registry import load_tools
from videoespresso.tools.sampling import refine
from videoespresso.tools.video import open_video, probe
from videoespresso.types import Caption, ChatTurn, FrameRef, Progress, Usage

OnStep = Callable[[Step], None]
LIMITS = ("budget_usd", "budget_calls", "budget_frames", "budget_seconds")
"""Settings that are limits of one question: changing them needs no model anew."""


class Chat:
    """A thread of questions about videos: a new one, or with `thread` one that was kept.

    Another process may open the thread when this one has let go of it: at the end of a `with`
    statement, by `close`, or when nobody has the chat any more.

    answers: the whole answers of this session by turn, counted from 0; a resumed thread has the
    turns of before and not their answers.
    """

    def __init__(
        self,
        videos: str | Path | Sequence[str | Path] = (),
        *,
        thread: str | None = None,
        settings: Settings | Mapping[str, Any] | None = None,
        model: str | None = None,
        profile: str | None = None,
        tools: Sequence[Given] = (),
        threads: ThreadStore | None = None,
        context: Context | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        """videos: of a new chat, files or http(s) addresses, which are fetched now. thread: the
        name of a kept one, "" for the one used last; its videos come with it. settings, model,
        profile: see `ask`. tools: more tools than the settings name. threads: where chats are kept;
        default the folder `chats` of the cache. context: models and stores that are open already,
        instead of settings and tools. on_progress: called with what is under way, while a video is
        fetched and a question is answered, e.g. `ve.ProgressBar()`.

        Raises VideoError for a video that cannot be read, UserError for a thread that does not
        exist or is open elsewhere, SettingsError and MemoryStoreError.
        """
        settings = (
            context.settings if context else settings_of(settings, model=model, profile=profile)
        )
        paths = [videos] if isinstance(videos, str | Path) else list(videos)
        if bool(paths) == (thread is not None):
            raise UserError(
                "a chat needs a video, or the name of a kept chat, whose videos come with it",
                hint="videoespresso chat clip.mp4",
            )
        checked(settings)  # a wrong name is said before anything is decoded
        files = [local(path, settings, fetched_by(on_progress)) for path in paths]
        self.videos = [probe(file.path).path for file in files]
        self.on_progress = on_progress
        self.turns: list[ChatTurn] = []
        self.answers: dict[int, Answer] = {}
        with ExitStack() as stack:
            self.threads = threads or self._own(stack, settings)
            self.name = self.threads.new_name() if thread is None else self._kept(thread)
            self.context = context or open_context(settings, tools)
            more = [warning for file in files for warning in file.warnings]
            self.context = replace(self.context, warnings=(*self.context.warnings, *more))
            stack.enter_context(self.threads.hold(self.name))
            if thread is not None:  # read when nobody else can write
                values = self.threads.values(self.name)
                self.videos = list(values["videos"])
                self.turns = [ChatTurn.model_validate(turn) for turn in values.get("turns", [])]
            # also at the end of a program that never closes it
            self._release = weakref.finalize(self, stack.pop_all().close)

    @staticmethod
    def _own(stack: ExitStack, settings: Settings) -> ThreadStore:
        threads = stack.enter_context(ThreadStore(settings.cache_dir / "chats"))
        threads.prune()
        return threads

    def _kept(self, name: str) -> str:
        """A kept thread's name; "" is the one used last. Raises UserError where there is none."""
        if not name:
            infos = self.threads.infos()
            if not infos:
                raise UserError("there is no chat to resume", hint="videoespresso chat clip.mp4")
            name = infos[0].name
        self.threads.values(name)
        return name

    @classmethod
    def begin(
        cls,
        threads: ThreadStore,
        videos: Sequence[str | Path],
        settings: Settings,
        tools: Sequence[Given] = (),
        on_progress: OnProgress | None = None,
    ) -> "Chat":
        """A new thread in an open store, as the command line makes one."""
        return cls(videos, settings=settings, tools=tools, threads=threads, on_progress=on_progress)

    @classmethod
    def resume(
        cls, threads: ThreadStore, name: str, settings: Settings, tools: Sequence[Given] = ()
    ) -> "Chat":
        """A kept thread of an open store; "" is the one used last."""
        return cls(thread=name, settings=settings, tools=tools, threads=threads)

    def ask(
        self,
        question: str,
        on_step: OnStep | None = None,
        *,
        options: Sequence[str] = (),
        on_words: Callable[[str], None] | None = None,
    ) -> Answer:
        """The answer to a question, which may refer to earlier ones; the thread then has it.

        options: possible answers, for this question alone. on_words: called with the answer as far
        as it is written, while the model writes it, before the step `answer`; after a second look
        there is a second one. An answer from the reply cache comes whole.

        Raises as `videoespresso.ask`. Interrupted or failed, it leaves the thread as it was.
        """
        check_question(question, options)
        answers: list[Answer] = []
        frames = self.context.store.root

        def on_update(node: str, wrote: dict[str, Any]) -> None:
            step = _understood(wrote) if node == "understand" else step_of(node, wrote, frames)
            if isinstance(step, Answer):
                answers.append(step)
            elif on_step is not None:
                on_step(step)

        context = replace(
            self.context.renewed(),
            on_words=on_words,
            on_update=on_update,
            on_progress=self.on_progress,
        )
        given: ChatQuestion = {"said": question, "videos": self.videos, "options": list(options)}
        try:
            # "exit": one checkpoint a turn, instead of one a node
            state = self._graph().invoke(
                given, config(self.name), context=context, durability="exit"
            )
        finally:
            self.threads.settle(self.name)
            if self.on_progress is not None:
                self.on_progress(Progress("done", "done"))
        self.turns = [ChatTurn.model_validate(turn) for turn in state["turns"]]
        self.answers[len(self.turns) - 1] = answers[-1]
        return answers[-1]

    def _graph(self) -> ChatGraph:
        return chat_graph(self.threads.saver)

    def undo(self) -> ChatTurn | None:
        """Takes the last turn back; None where there is none. What was looked at stays known."""
        if not self.turns:
            return None
        gone = self.turns.pop()
        self.answers.pop(len(self.turns), None)
        turns = [turn.model_dump(mode="json") for turn in self.turns]
        self._graph().update_state(config(self.name), {"turns": turns, "turn": {}}, as_node="note")
        self.threads.settle(self.name)
        return gone

    def answer(self, position: int) -> Answer:
        """The whole answer of a turn. One from before this session is asked for again, which with
        the same models costs nothing: their replies are cached."""
        if position not in self.answers:
            turn = self.turns[position]
            settings, tools = self.means()
            self.answers[position] = ask(
                turn.video, turn.question, options=turn.options, settings=settings, tools=tools
            )
        return self.answers[position]

    def configure(self, **changed: Any) -> None:
        """Changes settings from the next question on. Raises SettingsError, changing nothing."""
        checked = Settings.load(changed)
        # None is "no limit" here, and "not given" to load
        values = {k: None if v is None else getattr(checked, k) for k, v in changed.items()}
        settings = self.context.settings.model_copy(update=values)
        if set(changed) <= set(LIMITS):
            self.context = replace(self.context, settings=settings)
        else:
            plain = settings.model_copy(update={"tools": ()})  # those in use come by themselves
            self.context = open_context(plain, self.context.tools)

    def means(self) -> tuple[Settings, tuple[Tool, ...]]:
        """The settings and tools in use, each tool once: what opens the like of this context."""
        return self.context.settings.model_copy(update={"tools": ()}), self.context.tools

    def use_tools(self, names: Sequence[str]) -> None:
        """These tools and no others from the next question on."""
        loaded = load_tools(names, servers=self.context.settings.mcp)
        self.context = replace(self.context, tools=loaded.tools, warnings=loaded.warnings)

    def video(self) -> str:
        """The path of the video that the last question was about."""
        return self.turns[-1].video if self.turns else self.videos[0]

    def still(self, time_s: float) -> FrameRef:
        """The frame on screen at an instant, in the frame store. Raises UserError past the end."""
        with open_video(self.video(), backend=self.context.settings.decoder) as reader:
            if not 0 <= time_s <= reader.video.duration_s:
                raise UserError(
                    f"{clock(time_s)} is not in the video",
                    hint=f"It ends at {clock(reader.video.duration_s)}.",
                )
            picture = next(iter(reader.at([time_s], self.context.plan.max_side)))
            return self.context.store.put(reader.video, picture, "seek")

    def closer(self, start_s: float, end_s: float) -> list[tuple[FrameRef, Caption]]:
        """Frames of a stretch close together, captioned and remembered; equal ones only once.

        Limits of one question hold here too. Raises UserError for a stretch that is empty.
        """
        means = self.context.renewed()
        with open_video(self.video(), backend=self.context.settings.decoder) as reader:
            video = reader.video
            refs = watch.stored(means, video, refine(reader, start_s, end_s, means.plan))
        watch.refuse_unknown(means, refs, video.path)
        if not refs:
            raise UserError(
                f"there is nothing from {clock(start_s)} to {clock(end_s)}",
                hint=f"Give a start and an end, up to {clock(video.duration_s)}.",
            )
        key = means.memory_key(video.id)
        leader = watch.leaders(means, refs)
        captions, _ = watch.captioned(means, refs, leader, means.memory.captions(key))
        means.memory.add(key, captions)
        pairs = zip(refs, captions, strict=True)
        return [(ref, caption) for ref, caption in pairs if caption.shared_from is None]

    def __str__(self) -> str:
        names = ", ".join(file_name(video) for video in self.videos)
        lines = [line for t in self.turns for line in (f"> {t.said}", t.answer)]
        return "\n".join([f"chat {self.name}: {names}", *lines])

    def __repr__(self) -> str:
        return f"<Chat {self.name!r}, {len(self.turns)} questions>"

    def _repr_html_(self) -> str:
        """The cards that a notebook shows, one a question."""
        from videoespresso.report.card import render  # noqa: PLC0415 - imports jinja2

        return render(self.turns, self.context.store.file)

    def save(self, path: str | Path) -> Path:
        """Writes the chat as one page that holds its pictures; returns its path. Raises UserError
        where it cannot be written, or would replace a video."""
        from videoespresso.report.card import page  # noqa: PLC0415 - imports jinja2
        from videoespresso.report.parts import check_target, write_text  # noqa: PLC0415

        target = Path(path)
        check_target(target, self.videos)
        text = page(str(self).partition("\n")[0], self.turns, self.context.store.file)
        write_text(text, target, flag="save()")
        return target

    def spent(self) -> Usage:
        """Over all turns of the thread."""
        return sum((turn.usage for turn in self.turns), Usage())

    def close(self) -> None:
        """Lets go of the thread; one in which nothing was answered is not kept."""
        if not self._release.alive:
            return
        if not self.turns:
            self.threads.saver.delete_thread(self.name)
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _understood(wrote: dict[str, Any]) -> Step:
    data = {"video": wrote["video"] + 1}
    return Step(node="understand", text=understand_message(wrote), data=data)
