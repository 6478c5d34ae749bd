"""`Chat`: questions about videos that may refer to each other, kept as a thread.

with ThreadStore(settings.cache_dir / "chats") as threads:
    with Chat.begin(threads, ["clip.mp4"], settings) as chat:
        chat.ask("Who is surprised?")
        chat.ask("and after that?")
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from videoespresso.api.ask import Step, ask, told
from videoespresso.errors import UserError
from videoespresso.graphs import watch
from videoespresso.graphs.chat import Said, build_chat_graph
from videoespresso.graphs.context import Context, open_context
from videoespresso.graphs.selection import strategy
from videoespresso.memory.threads import ThreadStore, config
from videoespresso.report.text import clock
from videoespresso.settings import Settings
from videoespresso.tools.base import Given, Tool
from videoespresso.tools.fetch.download import local
from videoespresso.tools.fetch.transfer import OnProgress
from videoespresso.tools.registry import load_tools
from videoespresso.tools.sampling import refine
from videoespresso.tools.video import open_video, probe
from videoespresso.types import Answer, Caption, ChatTurn, FrameRef, Usage

Heard = Callable[[Step], None]
LIMITS = ("budget_usd", "budget_calls", "budget_frames", "budget_seconds")
"""Settings that are limits of one question: changing them needs no model anew."""


class Chat:
    """An open thread. Use it in a `with` statement, or close it: another process may then open it.

    answers: the whole answers of this session by turn, counted from 0; a resumed thread has the
    turns of before and not their answers.
    """

    def __init__(
        self, threads: ThreadStore, name: str, videos: Sequence[str], context: Context
    ) -> None:
        self.threads, self.name, self.videos = threads, name, list(videos)
        self.context = context
        self.turns: list[ChatTurn] = []
        self.answers: dict[int, Answer] = {}
        self._open = ExitStack()
        self._open.enter_context(threads.hold(name))

    @classmethod
    def begin(
        cls,
        threads: ThreadStore,
        videos: Sequence[str | Path],
        settings: Settings,
        tools: Sequence[Given] = (),
        on_progress: OnProgress | None = None,
    ) -> "Chat":
        """A new thread about videos, files or http(s) addresses, which are fetched now.

        Raises VideoError for one that cannot be read."""
        if not videos:
            raise UserError("a chat needs a video", hint="videoespresso chat clip.mp4")
        strategy(settings.select)  # a wrong name is said before anything is decoded
        files = [local(video, settings, on_progress) for video in videos]
        paths = [probe(file.path).path for file in files]
        context = open_context(settings, tools)
        said = [warning for file in files for warning in file.warnings]
        context = replace(context, warnings=(*context.warnings, *said))
        return cls(threads, threads.new_name(), paths, context)

    @classmethod
    def resume(
        cls, threads: ThreadStore, name: str, settings: Settings, tools: Sequence[Given] = ()
    ) -> "Chat":
        """A kept thread; "" is the one used last. Raises UserError where there is none."""
        if not name:
            infos = threads.infos()
            if not infos:
                raise UserError("there is no chat to resume", hint="videoespresso chat clip.mp4")
            name = infos[0].name
        values = threads.values(name)
        chat = cls(threads, name, values["videos"], open_context(settings, tools))
        try:
            # read again now that nobody else can write
            turns = threads.values(name).get("turns", [])
            chat.turns = [ChatTurn.model_validate(turn) for turn in turns]
        except BaseException:
            chat.close()
            raise
        return chat

    def ask(
        self,
        said: str,
        on_step: Heard | None = None,
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
        found: list[Answer] = []

        def hear(node: str, wrote: dict[str, Any]) -> None:
            step = _understood(wrote) if node == "understand" else told(node, wrote)
            if isinstance(step, Answer):
                found.append(step)
            elif on_step is not None:
                on_step(step)

        context = replace(self.context.renewed(), words=on_words)
        graph = build_chat_graph(context, checkpointer=self.threads.saver, told=hear)
        try:
            # "exit": one checkpoint a turn, instead of one a node
            given: Said = {"said": said, "videos": self.videos, "options": list(options)}
            state = graph.invoke(given, config(self.name), durability="exit")
        finally:
            self.threads.settle(self.name)
        self.turns = [ChatTurn.model_validate(turn) for turn in state["turns"]]
        self.answers[len(self.turns) - 1] = found[-1]
        return found[-1]

    def undo(self) -> ChatTurn | None:
        """Takes the last turn back; None where there is none. What was looked at stays known."""
        if not self.turns:
            return None
        gone = self.turns.pop()
        self.answers.pop(len(self.turns), None)
        graph = build_chat_graph(self.context, checkpointer=self.threads.saver)
        turns = [turn.model_dump(mode="json") for turn in self.turns]
        graph.update_state(config(self.name), {"turns": turns, "found": {}}, as_node="note")
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
        with open_video(self.video()) as reader:
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
        with open_video(self.video()) as reader:
            video = reader.video
            refs = watch.stored(means, video, refine(reader, start_s, end_s, means.plan))
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

    def spent(self) -> Usage:
        """Over all turns of the thread."""
        return sum((turn.usage for turn in self.turns), Usage())

    def close(self) -> None:
        """Lets go of the thread; one in which nothing was answered is not kept."""
        if not self.turns:
            self.threads.saver.delete_thread(self.name)
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _understood(wrote: dict[str, Any]) -> Step:
    """How the question was understood, where that is not how it was typed."""
    question = wrote["question"]
    text = "as typed" if question == wrote["said"] else question
    if wrote.get("by_rule"):
        text += f" (by rule: {wrote['by_rule']})"
    return Step(node="understand", text=text, data={"video": wrote["video"] + 1})
