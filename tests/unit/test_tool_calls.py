"""A reasoner that calls tools: bounded, paid for, and no failure becomes a finding."""

import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.messages.tool import InvalidToolCall
from langchain_core.tools import tool
from PIL import Image
from tests.helpers import chat_server as fake
from tests.helpers.calling import CallingModel, Decide, calls, in_turn
from tests.helpers.scripted import ScriptedModel

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent
from videoespresso.graphs import tool_use
from videoespresso.graphs.context import Context
from videoespresso.graphs.tool_use import MOST_CALLS, MOST_TURNS, Called, call_tools
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec
from videoespresso.tools.base import Finding, Needs, ToolRequest
from videoespresso.tools.registry import load_tools
from videoespresso.types import CoreFrame, FrameRef, Video

VIDEO = Video(id="v" * 64, path="v.mp4", duration_s=10.0, fps=Fraction(25), width=64, height=48)
FRAME = FrameRef(
    id="v@2500", video_id=VIDEO.id, time_s=2.5, index=62, fps=VIDEO.fps, rule="keyframe", sha="s",
    width=64, height=48,
)  # fmt: skip


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: sun"


@tool
def fails(x: int = 0) -> str:
    """Fails."""
    raise RuntimeError("no battery")


@tool
def nonsense() -> object:
    """Returns an object."""
    return object()


def model(decide: Decide) -> CallingModel:
    return CallingModel(script={}, asked={}, heard=[], decide=decide)


def context(
    chat: ScriptedModel, tools: Sequence[Any], budget: Budget | None = None, **more: Any
) -> Context:
    """As much of a context as calling tools looks at."""
    budget, usage_log = budget or Budget(), UsageLog()
    agent = Agent(
        "reasoner", ModelSpec.parse("hf:calling"), chat, usage_log=usage_log, budget=budget, **more
    )
    made = SimpleNamespace(
        agents={"reasoner": agent},
        tools=load_tools(tools).tools,
        budget=budget,
        usage_log=usage_log,
    )
    return cast("Context", made)


def run(made: Context, known: Sequence[dict[str, Any]] = ()) -> Called:
    request = ToolRequest(
        "Why?", VIDEO, (CoreFrame(frame=FRAME),), lambda f: Image.new("L", (1, 1))
    )
    shown = [prompt_parts.Shown(Image.new("RGB", (8, 8)), 2.5, "a street")]
    return call_tools(made, request, lambda: shown, known)


def test_a_call_becomes_a_finding_that_cites_the_tool() -> None:
    chat = model(in_turn(calls(("weather", {"city": "Bonn"}))))
    made = context(chat, [weather])
    called = run(made)
    (finding,) = called.findings
    assert (finding["tool"], finding["text"], finding["time_s"]) == ("weather", "Bonn: sun", 2.5)
    assert (called.gaps, called.warnings, called.stop) == ([], [], "")
    answer = chat.heard[1][-1]
    assert isinstance(answer, ToolMessage)
    assert answer.tool_call_id == "c0"
    assert answer.content == "Findings:\n- weather (2.5 s): Bonn: sun\n"
    assert chat.heard[1][-2].tool_calls[0]["args"] == {"city": "Bonn"}


def test_what_tools_have_found_already_is_shown() -> None:
    chat = model(in_turn())
    run(context(chat, [weather]), [{"tool": "count", "time_s": 2.5, "text": "Detected: 1 car."}])
    said = "".join(part.get("text", "") for part in chat.heard[0][1].content)
    assert "- count (2.5 s): Detected: 1 car." in said
    assert said.endswith(prompt_parts.CALL_CUE)


def test_every_turn_is_counted() -> None:
    made = context(model(in_turn(calls(("weather", {"city": "A"})))), [weather])
    run(made)
    assert made.usage_log.by_role()["reasoner"].calls == 2
    assert made.budget.spent.calls == 2


def test_a_limit_ends_it_and_keeps_what_was_found() -> None:
    chat = model(lambda messages, offered: calls(("weather", {"city": str(len(messages))})))
    called = run(context(chat, [weather], Budget(max_calls=2)))
    assert len(called.findings) == 2
    assert called.stop == "budget"
    assert [g["stage"] for g in called.gaps] == ["budget"]


def test_a_model_that_never_has_enough_is_stopped() -> None:
    chat = model(lambda messages, offered: calls(("weather", {"city": str(len(messages))})))
    called = run(context(chat, [weather]))
    assert len(chat.heard) == MOST_TURNS
    assert len(called.findings) == MOST_TURNS
    assert [g["stage"] for g in called.gaps] == ["tools"]
    assert str(MOST_TURNS) in called.gaps[0]["reason"]


def test_many_calls_at_once_are_bounded() -> None:
    many = calls(*(("weather", {"city": str(k)}) for k in range(MOST_CALLS + 2)))
    chat = model(in_turn(many))
    called = run(context(chat, [weather]))
    assert len(called.findings) == MOST_CALLS
    assert all("at most" in gap["reason"] for gap in called.gaps)
    answered = [m.tool_call_id for m in chat.heard[1] if isinstance(m, ToolMessage)]
    assert answered == [f"c{k}" for k in range(MOST_CALLS + 2)], "every call has its answer"


def test_the_same_call_is_made_once() -> None:
    made: list[str] = []

    @tool
    def note(word: str) -> str:
        """Notes."""
        made.append(word)
        return word

    same = ("note", {"word": "x"})
    called = run(context(model(in_turn(calls(same, same), calls(same))), [note]))
    assert made == ["x"]
    assert len(called.findings) == 1


@pytest.mark.parametrize(
    ("wanted", "stage", "why"),
    [
        (("fails", {}), "tool:fails", "no battery"),
        (("nonsense", {}), "tool:nonsense", "not text"),
        (("weather", {}), "tool:weather", "city"),
        (("weather", {"city": 3}), "tool:weather", "city"),
        (("shell", {"command": "rm -rf /"}), "tools", "no tool 'shell'"),
        (("count", {}), "tools", "no tool 'count'"),
    ],
)
def test_what_goes_wrong_is_a_gap_and_the_model_is_told(
    wanted: tuple[str, dict[str, Any]], stage: str, why: str
) -> None:
    chat = model(in_turn(calls(wanted)))
    called = run(context(chat, [weather, fails, nonsense, "count"]))
    assert called.findings == []
    ((gap),) = called.gaps
    assert gap["stage"] == stage
    assert why in gap["reason"]
    assert chat.heard[1][-1].content.startswith("Nothing is known by this call: ")


def test_a_tool_that_hangs_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_use, "patience", lambda context: 0.05)
    released = threading.Event()

    @tool
    def hangs() -> str:
        """Hangs."""
        released.wait(60)
        return "late"

    called = run(context(model(in_turn(calls(("hangs", {})))), [hangs]))
    released.set()
    assert called.findings == []
    assert "no answer within" in called.gaps[0]["reason"]


def test_arguments_that_are_no_json_are_a_gap() -> None:
    broken = InvalidToolCall(
        type="invalid_tool_call", name="weather", args="{city", id="c9", error=None
    )
    called = run(context(model(in_turn(AIMessage("", invalid_tool_calls=[broken]))), [weather]))
    assert called.findings == []
    assert "not a JSON object" in called.gaps[0]["reason"]


def test_a_tool_of_ours_is_offered_when_it_has_parameters() -> None:
    class Ruler:
        name, description = "a.ruler", "Measures."
        needs: Needs = "frames"
        parameters = {"type": "object", "properties": {"unit": {"type": "string"}}}  # noqa: RUF012

        def run(self, request: ToolRequest) -> list[Finding]:
            return [Finding(text=f"3 {request.arguments.get('unit', 'px')}", time_s=1.0)]

    offers: list[list[str]] = []

    def decide(messages: Any, offered: list[str]) -> AIMessage:
        offers.append(offered)
        return calls(("a_ruler", {"unit": "cm"})) if len(offers) == 1 else AIMessage("enough")

    called = run(context(model(decide), [Ruler(), "count"]))
    assert offers[0] == ["a_ruler"], "count takes no arguments, and no provider takes a dot"
    assert [(f["tool"], f["text"]) for f in called.findings] == [("a.ruler", "3 cm")]


def test_a_model_that_cannot_call_tools_gets_a_warning_and_no_call() -> None:
    chat = ScriptedModel(script={}, asked={})
    called = run(context(chat, [weather, "count"]))
    assert (called.findings, called.gaps) == ([], [])
    assert "weather" in called.warnings[0]
    assert "count" not in called.warnings[0]
    assert chat.asked == {}
    assert run(context(chat, ["count"])).warnings == [], "nothing was left unused"


class Refuses(Exception):
    status_code = 400


def test_a_server_that_takes_no_tools_is_asked_once(tmp_path: Path) -> None:
    asked: list[int] = []

    def decide(messages: Any, offered: list[str]) -> AIMessage:
        asked.append(1)
        raise Refuses("tools are not supported")

    for _ in range(2):
        replies = ReplyCache(tmp_path / "replies.sqlite")
        called = run(context(model(decide), [weather], replies=replies))
        assert "cannot call tools" in called.warnings[0]
    assert len(asked) == 1


def test_a_known_conversation_is_not_paid_again(tmp_path: Path) -> None:
    for first in (True, False):
        replies = ReplyCache(tmp_path / "replies.sqlite")
        chat = model(in_turn(calls(("weather", {"city": "Bonn"}))))
        made = context(chat, [weather], replies=replies)
        assert [f["text"] for f in run(made).findings] == ["Bonn: sun"]
        assert made.usage_log.by_role()["reasoner"].calls == (2 if first else 0)


def test_without_tools_no_pixels_are_read() -> None:
    def show() -> Any:
        raise AssertionError("nobody should look")

    made = context(model(in_turn()), ["count"])
    request = ToolRequest("Why?", VIDEO, (), lambda f: Image.new("L", (1, 1)))
    assert call_tools(made, request, show, ()) == Called()


def test_over_the_wire_of_an_openai_server() -> None:
    """The real client: what is offered, what comes back, and the conversation that goes on."""
    with fake.Server([fake.call(city="Bonn"), fake.say("enough")]) as server:
        chat = chat_model(f"openai:tester@{server.url}")
        called = run(context(chat, [weather]))
    assert [f["text"] for f in called.findings] == ["Bonn: sun"]
    first, second = server.requests
    assert first["tools"][0]["function"]["parameters"]["required"] == ["city"]
    assert "tool_choice" not in first, "it may also call nothing"
    assistant, answer = second["messages"][-2:]
    assert assistant["tool_calls"][0]["function"]["arguments"] == '{"city": "Bonn"}'
    assert answer["role"] == "tool"
    assert answer["tool_call_id"] == assistant["tool_calls"][0]["id"]
    assert "weather (2.5 s): Bonn: sun" in str(answer["content"])


def test_a_server_that_refuses_tools_is_a_warning() -> None:
    with fake.Server([fake.status(400)]) as server:
        chat = chat_model(f"openai:tester@{server.url}")
        called = run(context(chat, [weather]))
    assert called.findings == []
    assert "cannot call tools" in called.warnings[0]
