"""The chat graph and its threads, with an ask graph that answers at once and has seen much."""

import gc
import json
import sqlite3
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

import videoespresso as ve
from videoespresso.agents.base import Agent
from videoespresso.api import chat as api_chat
from videoespresso.api.chat import Chat
from videoespresso.cli.chat_commands import Session, run
from videoespresso.errors import ModelError, SettingsError, UserError
from videoespresso.graphs import chat as chat_graph
from videoespresso.graphs.chat import turn_of
from videoespresso.graphs.context import Context
from videoespresso.memory import threads as threads_module
from videoespresso.memory.frames import FrameStore
from videoespresso.memory.threads import ThreadStore, config
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings
from videoespresso.types import (
    Answer,
    Box,
    CoreFrame,
    DroppedFrame,
    EvidenceStep,
    FrameRef,
    KeyItem,
    Video,
)

LENGTH_S = 600
VIDEO = Video(
    id="ab" * 32, path="/v/room.mp4", duration_s=LENGTH_S, fps=Fraction(25), width=640, height=360
)


def frame(time_s: float) -> FrameRef:
    return FrameRef(
        id=f"{VIDEO.id[:12]}@{round(time_s * 1000)}", video_id=VIDEO.id, time_s=time_s, index=-1,
        fps=VIDEO.fps, rule="fps=1 static", sha="cd" * 32, width=640, height=360,
    )  # fmt: skip


def answer_to(question: str) -> Answer:
    """As a question on ten minutes of video leaves it: 3 core frames, 237 dropped ones."""
    if question.startswith("Fail"):
        raise ModelError("no model")
    if question.startswith("Stop"):
        raise KeyboardInterrupt
    box = Box(label="person", xyxy=(0.1, 0.2, 0.3, 0.4), score=0.9)
    steps = tuple(
        EvidenceStep(
            text=f"the woman in red drops the vase, in answer to {question}",
            frame_id=frame(t).id,
            time_s=t,
            items=(KeyItem(name="woman in red", boxes=(box, box)), KeyItem(name="vase")),
        )
        for t in (10.0, 20.0, 30.0)
    )
    return Answer(
        question=question,
        text="the woman in red",
        checked=True,
        evidence=steps,
        core_frames=tuple(CoreFrame(frame=frame(t), boxes=(box,)) for t in (10.0, 20.0, 30.0)),
        dropped=tuple(
            DroppedFrame(frame_id=frame(t).id, time_s=t, stage="select", reason="not needed")
            for t in range(40, 277)
        ),
        video=VIDEO,
    )


class OldChatState(TypedDict, total=False):
    said: str
    videos: list[str]
    options: list[str]
    turns: list[dict[str, Any]]
    question: str
    video: int
    found: dict[str, Any]


class Watched(TypedDict, total=False):
    path: str
    question: str
    options: list[str]
    frames: list[dict[str, Any]]
    work: dict[str, int]
    answer: dict[str, Any]


def small_ask_graph(checkpointer: Any = None) -> Any:
    """Two nodes of the real one's kind and weight, compiled as the chat's `ask` wants it."""

    def sample(state: Watched) -> dict[str, Any]:
        frames = [frame(t).model_dump(mode="json") for t in range(240)]
        return {"frames": frames, "work": {"decoded": 240}}

    def finish(state: Watched) -> dict[str, Any]:
        options = tuple(state["options"])
        choice = {"options": options, "choice": len(options) - 1 if options else None}
        answer = answer_to(state["question"]).model_copy(update=choice)
        return {"answer": answer.model_dump(mode="json")}

    builder = StateGraph(Watched)
    builder.add_node("sample", sample)
    builder.add_node("finish", finish)
    builder.add_edge(START, "sample")
    builder.add_edge("sample", "finish")
    builder.add_edge("finish", END)
    return builder.compile(checkpointer=checkpointer)


def context(settings: Settings, _tools: Any = ()) -> Context:
    nothing: Any = None
    usage_log, budget = UsageLog(), Budget()
    agent = Agent(
        "reasoner", ModelSpec.parse("embedded:"), nothing, usage_log=usage_log, budget=budget
    )
    return Context(
        settings=settings, agents={"reasoner": agent}, memory=nothing,
        store=FrameStore(settings.cache_dir / "frames"), embed=nothing,
        detector=nothing, tools=(), budget=budget, usage_log=usage_log, plan=nothing,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_graph, "ask_graph", small_ask_graph)
    monkeypatch.setattr(api_chat, "open_context", context)
    monkeypatch.setattr("videoespresso.tools.fetch.download.checked", str)  # no film is there
    monkeypatch.setattr(api_chat, "probe", lambda path: VIDEO.model_copy(update={"path": path}))


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[ThreadStore]:
    with ThreadStore(tmp_path / "chats") as store:
        yield store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load({"cache_dir": tmp_path}, environ={})


def rows(store: ThreadStore) -> list[tuple[str, str]]:
    with sqlite3.connect(store.file) as db:
        found = db.execute("SELECT thread_id, checkpoint_ns FROM checkpoints").fetchall()
    db.close()
    return found


def test_a_follow_up_is_understood_and_both_are_remembered(
    threads: ThreadStore, settings: Settings
) -> None:
    heard: list[str] = []
    with Chat.begin(threads, ["/v/room.mp4"], settings) as chat:
        chat.ask("Who drops it?")
        answer = chat.ask("who is she?", lambda step: heard.append(f"{step.node}: {step.text}"))
        name = chat.name
    assert answer.question == "who is the woman in red?"
    assert heard[0] == "understand: who is the woman in red?"
    assert heard[1].startswith("sample: 240 frames")
    with Chat.resume(threads, name, settings) as again:
        assert [turn.said for turn in again.turns] == ["Who drops it?", "who is she?"]
        assert [turn.frames[0].time_s for turn in again.turns] == [10.0, 10.0]
        assert again.videos == ["/v/room.mp4"]
        again.ask("and after that?")
        assert again.turns[-1].question.startswith("What happens right after the woman in red")


def test_options_are_of_one_question(threads: ThreadStore, settings: Settings) -> None:
    with Chat.begin(threads, ["/v/room.mp4"], settings) as chat:
        chat.ask("Who drops it?", options=["a dog", "the aunt"])
        chat.ask("who is she?")
        assert [turn.options for turn in chat.turns] == [("a dog", "the aunt"), ()]
        assert [turn.choice for turn in chat.turns] == [1, None]
        assert threads.values(chat.name)["options"] == []


def test_only_the_newest_checkpoint_stays_and_nothing_of_the_looking(
    threads: ThreadStore, settings: Settings
) -> None:
    with Chat.begin(threads, ["/v/room.mp4"], settings) as chat:
        for number in range(3):
            chat.ask(f"Question {number}?")
        assert rows(threads) == [(chat.name, "")]
        kept = json.dumps(threads.values(chat.name))
    assert "not needed" not in kept, "dropped frames are the ask graph's business"
    assert "fps=1" not in kept


def test_fifty_turns_stay_small(threads: ThreadStore, settings: Settings) -> None:
    largest = 0
    with Chat.begin(threads, ["/v/room.mp4"], settings) as chat:
        for number in range(50):
            chat.ask(f"Question {number}?")
            largest = max(largest, threads.bytes())
        assert len(chat.turns) == 50
    assert 0 < largest < 5_000_000


@pytest.mark.parametrize(("said", "error"), [("Fail?", ModelError), ("Stop?", KeyboardInterrupt)])
def test_a_turn_that_ends_early_leaves_the_thread_as_it_was(
    threads: ThreadStore, settings: Settings, said: str, error: type[BaseException]
) -> None:
    with Chat.begin(threads, ["/v/room.mp4"], settings) as chat:
        chat.ask("First?")
        with pytest.raises(error):
            chat.ask(said)
        assert len(threads.values(chat.name)["turns"]) == 1
        chat.ask("Second?")
        assert [turn.said for turn in chat.turns] == ["First?", "Second?"]


def test_undo_takes_back_one_turn_for_good(threads: ThreadStore, settings: Settings) -> None:
    with Chat.begin(threads, ["/v/room.mp4"], settings) as chat:
        chat.ask("First?")
        chat.ask("Second?")
        gone = chat.undo()
        assert gone is not None
        assert gone.said == "Second?"
        chat.ask("Third?")
        name = chat.name
    with Chat.resume(threads, name, settings) as again:
        assert [turn.said for turn in again.turns] == ["First?", "Third?"]
        assert again.undo() is not None
        assert again.undo() is not None
        assert again.undo() is None


def test_a_chat_without_an_answer_is_not_kept(threads: ThreadStore, settings: Settings) -> None:
    with Chat.begin(threads, ["/v/room.mp4"], settings) as chat, pytest.raises(ModelError):
        chat.ask("Fail?")
    assert rows(threads) == []
    assert not list(threads.folder.glob("[!n]*.lock"))
    with pytest.raises(UserError, match="no chat to resume"):
        Chat.resume(threads, "", settings)


def test_one_process_at_a_time_has_a_thread(threads: ThreadStore, settings: Settings) -> None:
    with Chat.begin(threads, ["/v/room.mp4"], settings) as chat:
        chat.ask("First?")
        with ThreadStore(threads.folder) as other, pytest.raises(UserError, match="another"):
            Chat.resume(other, chat.name, settings)
        name = chat.name
    with ThreadStore(threads.folder) as other, Chat.resume(other, name, settings) as again:
        assert len(again.turns) == 1


@pytest.mark.parametrize("name", ["../../etc", "ffffff", "A", ""])
def test_a_thread_that_does_not_exist(threads: ThreadStore, settings: Settings, name: str) -> None:
    with pytest.raises(UserError):
        Chat.resume(threads, name, settings)


def test_old_threads_and_threads_beyond_the_limit_go(
    threads: ThreadStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for number in range(4):
        with Chat.begin(threads, ["/v/room.mp4"], settings) as chat:
            chat.ask(f"Question {number}?")
            names.append(chat.name)
    assert threads.prune() == []
    assert [info.name for info in threads.infos()] == names[::-1]
    monkeypatch.setattr(threads_module, "MOST_THREADS", 2)
    with threads.hold(names[0]):
        assert threads.prune() == [names[1]], "one that is open stays"
    assert threads.prune() == [names[0]]
    later = time.time() + (threads_module.KEEP_DAYS + 1) * 86400
    assert set(threads.prune(later)) == set(names[2:])
    assert rows(threads) == []
    assert not list(threads.folder.glob("[!n]*.lock"))


def test_clear_begins_anew_and_resume_goes_back(threads: ThreadStore, settings: Settings) -> None:
    session = Session(threads, Chat.begin(threads, ["/v/room.mp4"], settings))
    session.chat.ask("First?")
    first = session.chat.name
    assert first in str(list(run(session, "/clear")))
    assert (session.chat.turns, session.chat.videos) == ([], ["/v/room.mp4"])
    with pytest.raises(UserError, match="no chat"):
        list(run(session, "/resume ffffff"))
    assert session.chat.name != first, "the chat that is open stays open"
    assert list(run(session, "/resume"))[1:] == ["> First?", "  the woman in red"]
    assert session.chat.name == first
    assert [info.name for info in threads.infos()] == [first]
    session.chat.close()


def test_the_answer_of_an_earlier_session_is_asked_for_again(
    threads: ThreadStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(video: str, question: str, **_given: Any) -> Answer:
        asked.append(f"{video} {question}")
        return answer_to(question)

    monkeypatch.setattr(api_chat, "ask", ask)
    with Chat.begin(threads, ["/v/room.mp4"], settings) as chat:
        chat.ask("Who drops it?")
        chat.ask("who is she?")
        assert chat.answer(1).question == "who is the woman in red?"
        assert asked == [], "this session's answers are at hand"
        name = chat.name
    with Chat.resume(threads, name, settings) as again:
        assert again.answer(1).question == "who is the woman in red?"
        assert asked == ["/v/room.mp4 who is the woman in red?"]


def test_a_setting_that_cannot_be_changes_nothing(threads: ThreadStore, settings: Settings) -> None:
    with Chat.begin(threads, ["/v/room.mp4"], settings) as chat:
        before = chat.context
        for changed in ({"budget_calls": "many"}, {"reasoner": "https://u:secret@h/v1"}):
            with pytest.raises(SettingsError):
                chat.configure(**changed)
        assert chat.context is before
        chat.configure(budget_calls="7")
        assert chat.context.renewed().budget.max_calls == 7


def test_the_plain_way_opens_the_store_itself_and_goes_on_by_name(settings: Settings) -> None:
    chat = ve.Chat("/v/room.mp4", settings=settings)
    chat.ask("Who drops it?")
    with pytest.raises(UserError, match="open in another"):
        ve.Chat(thread=chat.name, settings=settings)
    chat.close()
    chat.close()
    with ve.Chat(thread="", settings=settings) as again:
        assert (again.name, again.videos) == (chat.name, ["/v/room.mp4"])
        assert again.ask("who is she?").question == "who is the woman in red?"


def test_a_chat_that_nobody_has_any_more_lets_go_of_its_thread(settings: Settings) -> None:
    chat = ve.Chat(["/v/room.mp4"], settings=settings)
    chat.ask("Who drops it?")
    name = chat.name
    del chat
    gc.collect()
    ve.Chat(thread=name, settings=settings).close()


def test_the_builder_of_before_warns_and_works(settings: Settings) -> None:
    with pytest.warns(DeprecationWarning, match=r"chat_graph\(\)"):
        graph = chat_graph.build_chat_graph(context(settings))
    values = graph.invoke({"said": "Who drops it?", "videos": ["/v/room.mp4"]})
    assert [turn["said"] for turn in values["turns"]] == ["Who drops it?"]


@pytest.mark.parametrize("given", [{}, {"videos": "/v/room.mp4", "thread": "3f9a1c"}])
def test_a_chat_is_about_videos_or_a_kept_one(settings: Settings, given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="a video, or the name"):
        ve.Chat(**given, settings=settings)


def test_a_thread_of_the_version_before_goes_on(threads: ThreadStore, settings: Settings) -> None:
    """It has a key `found`, and its node `ask` was called `look`."""
    old = StateGraph(OldChatState)
    for node in ("understand", "look", "note"):
        old.add_node(node, lambda state: {})
    old.add_edge(START, "understand")
    old.add_edge("understand", "look")
    old.add_edge("look", "note")
    old.add_edge("note", END)
    turn = turn_of("Who drops it?", "/v/room.mp4", answer_to("Who drops it?"))
    kept = {
        "said": "Who drops it?", "videos": ["/v/room.mp4"], "options": [], "found": {},
        "question": "Who drops it?", "video": 0, "turns": [turn.model_dump(mode="json")],
    }  # fmt: skip
    name = threads.new_name()
    old.compile(checkpointer=threads.saver).invoke(kept, config(name), durability="exit")  # type: ignore[arg-type]
    with Chat.resume(threads, name, settings) as chat:
        assert [turn.said for turn in chat.turns] == ["Who drops it?"]
        assert chat.ask("who is she?").question == "who is the woman in red?"
        assert len(chat.turns) == 2
        chat.undo()
    assert len(threads.values(name)["turns"]) == 1
