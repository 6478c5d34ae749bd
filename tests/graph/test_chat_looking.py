"""A chat over the real ask graph on a real video; only the chat model is scripted."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from tests.helpers.scripted import ScriptedModel, film, scripted_context, story_with, text_of

from videoespresso.api.chat import Chat
from videoespresso.errors import UserError
from videoespresso.graphs.context import open_context
from videoespresso.memory.threads import ThreadStore
from videoespresso.settings import Settings


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(story_with("vase breaks"), tmp_path_factory.mktemp("film") / "room.mp4")


class Script:
    """Captions by counting, keeps one caption, answers the same, follows as told ("": as typed)."""

    def __init__(self, follows: str) -> None:
        self.follows = follows
        self.seen = 0
        self.heard: list[str] = []

    def captioner(self, _messages: list[BaseMessage]) -> str:
        self.seen += 1
        return f"room: scene number {self.seen} of things"

    def selector(self, messages: list[BaseMessage]) -> str:
        numbers = re.findall(r"\[(\d+)\]$", text_of(messages), re.MULTILINE)
        return json.dumps({"core": [{"frame": len(numbers) // 2, "why": "it matters"}]})

    def reasoner(self, messages: list[BaseMessage]) -> str:
        if "with the help of the evidence" in text_of(messages):
            return json.dumps({"answered": True, "answer": "the woman in red", "choice": None})
        step = {"frame": 1, "text": "the vase breaks", "items": [{"name": "vase", "box": []}]}
        return json.dumps({"steps": [step]})

    def checker(self, _messages: list[BaseMessage]) -> str:
        return json.dumps({"carried": True, "missing": ""})

    def follower(self, messages: list[BaseMessage]) -> str:
        said = text_of(messages)
        self.heard.append(said)
        typed = said.rpartition("New question: ")[2]
        return self.follows or json.dumps({"question": typed, "video": 1})


FOLLOWS = '{"question": "Who is the woman in red?", "video": 1}'


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[ThreadStore]:
    with ThreadStore(tmp_path / "chats") as store:
        yield store


def chat_on(
    video: Path, cache: Path, threads: ThreadStore, follows: str = FOLLOWS, **given: Any
) -> tuple[Chat, ScriptedModel, Script]:
    script = Script(follows)
    roles = ("captioner", "selector", "reasoner", "checker", "follower")
    context, model = scripted_context(cache, {r: getattr(script, r) for r in roles}, **given)
    return Chat(video, threads=threads, context=context), model, script


def test_the_second_question_decodes_and_captions_nothing(
    video: Path, tmp_path: Path, threads: ThreadStore
) -> None:
    chat, model, script = chat_on(video, tmp_path, threads)
    with chat:
        first = chat.ask("Who drops the vase?")
        captioned = model.asked["captioner"]
        second = chat.ask("who is she?")
        turns = list(chat.turns)
    assert first.work.decoded > 0
    assert first.work.captioned == captioned > 0
    assert (second.work.decoded, second.work.captioned) == (0, 0)
    assert second.work.remembered == first.work.decoded
    assert model.asked["captioner"] == captioned
    assert [turn.work.decoded for turn in turns] == [first.work.decoded, 0]
    assert second.question == "Who is the woman in red?"
    assert "Question (video 1): Who drops the vase?" in script.heard[0]
    assert "the vase breaks" in script.heard[0]
    assert script.heard[0].endswith("New question: who is she?")
    assert model.asked["follower"] == 1, "a first question about one video needs no rewriting"
    assert second.usage["follower"].calls == 1
    assert "captioner" not in second.usage, "each question has a usage log of its own"


def test_the_answer_is_heard_before_its_step(
    video: Path, tmp_path: Path, threads: ThreadStore
) -> None:
    chat, _, _ = chat_on(video, tmp_path, threads)
    heard: list[str] = []
    with chat:
        chat.ask(
            "Who drops the vase?",
            lambda step: heard.append(f"{step.node}: {step.text}"),
            on_words=lambda text: heard.append(f"words: {text}"),
        )
    at = heard.index("answer: the woman in red")
    assert heard[at - 1] == "words: the woman in red"
    assert [line for line in heard if line.startswith("words")] == [heard[at - 1]], "nothing else"


def test_tools_of_the_settings_stay_once(video: Path, tmp_path: Path, threads: ThreadStore) -> None:
    given = {"cache_dir": tmp_path, "tools": ("count",)}
    context = open_context(Settings.load(given, environ={}))
    with Chat(video, threads=threads, context=context) as chat:
        chat.configure(reasoner="embedded:")
        assert [tool.name for tool in chat.context.tools] == ["count"]
        settings, tools = chat.means()
        assert [tool.name for tool in open_context(settings, tools).tools] == ["count"]
        chat.use_tools([])
        chat.configure(reasoner="embedded:")
        assert chat.context.tools == (), "taken away they stay away"


@pytest.mark.parametrize("follows", ["she is the woman", '{"question": "  ", "video": 9}'])
def test_a_follower_that_cannot_be_read_leaves_the_chat_working(
    video: Path, tmp_path: Path, threads: ThreadStore, follows: str
) -> None:
    chat, _, _ = chat_on(video, tmp_path, threads, follows)
    heard: list[str] = []
    with chat:
        chat.ask("Who drops the vase?")
        answer = chat.ask("who is she?", lambda step: heard.append(step.text))
    assert answer.answered
    assert answer.question in ("who is the woman in red?", "who is she?")
    assert ("by rule" in heard[0]) == (not follows.startswith("{"))


def test_limits_are_a_questions_own(video: Path, tmp_path: Path, threads: ThreadStore) -> None:
    chat, _, _ = chat_on(video, tmp_path, threads, follows="")
    with chat:
        first = chat.ask("Who drops the vase?")
        calls = sum(usage.calls for usage in first.usage.values())
        chat.configure(budget_calls=calls)
        assert chat.ask("Who is there?").answered, "what was spent before does not count"
        chat.configure(budget_calls=1)
        stopped = chat.ask("Who leaves?")
        assert [gap.stage for gap in stopped.gaps] == ["budget"]
        chat.configure(budget_calls=None)
        assert chat.ask("Who comes?").answered


def test_looking_closer_and_at_an_instant(
    video: Path, tmp_path: Path, threads: ThreadStore
) -> None:
    chat, _, _ = chat_on(video, tmp_path, threads)
    with chat:
        frame = chat.still(3.0)
        assert abs(frame.time_s - 3.0) < 0.5
        assert chat.context.store.file(frame.video_id, frame.sha).is_file()
        closer = chat.closer(2.0, 4.0)
        assert closer
        assert all(2.0 <= ref.time_s < 4.0 and caption.text for ref, caption in closer)
        with pytest.raises(UserError, match="not in the video"):
            chat.still(9999.0)
        with pytest.raises(UserError, match="nothing from"):
            chat.closer(4.0, 2.0)
