"""The ask graph with a reasoner that can call tools: cited, counted, and never stopped by them."""

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langchain_core.tools import tool
from tests.helpers.calling import CallingModel, Decide, calls, in_turn
from tests.helpers.scripted import scripted_context, text_of
from tests.helpers.small import square_video

from videoespresso.agents.base import Agent
from videoespresso.graphs.ask import ask_graph
from videoespresso.graphs.context import Context
from videoespresso.types import Answer


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: sun"


@tool
def fails() -> str:
    """Fails."""
    raise RuntimeError("no battery")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return square_video(tmp_path_factory.mktemp("calls") / "square.mp4", seconds=3)


def reasoner(messages: list[BaseMessage]) -> str:
    if "with the help of the evidence" in text_of(messages):
        return json.dumps({"answered": True, "answer": "it is sunny", "choice": None})
    return json.dumps({"steps": [{"frame": 1, "text": "a square on grey", "items": []}]})


SCRIPT = {
    "captioner": lambda messages: "a red square on grey",
    "selector": lambda messages: json.dumps({"core": [{"why": "it is red", "frame": 1}]}),
    "reasoner": reasoner,
    "checker": lambda messages: json.dumps({"carried": True, "missing": ""}),
}


def calling_context(cache: Path, decide: Decide, **given: Any) -> tuple[Context, CallingModel]:
    """A scripted context whose reasoner can call tools."""
    context, _ = scripted_context(cache, SCRIPT, **given)
    chat = CallingModel(script=SCRIPT, asked={}, heard=[], decide=decide)
    old = context.agents["reasoner"]
    agent = Agent(
        "reasoner", old.spec, chat, usage_log=context.usage_log, budget=context.budget,
        replies=old.replies,
    )  # fmt: skip
    return replace(context, agents={**context.agents, "reasoner": agent}), chat


def run(context: Context, video: Path, tools: Any) -> Answer:
    ask: Any = {"path": str(video), "question": "Is it sunny?", "options": []}
    values = ask_graph().invoke(ask, context=context.with_tools(tools))
    return Answer.model_validate(values["answer"])


def test_what_was_called_for_is_cited_and_what_failed_is_a_gap(video: Path, tmp_path: Path) -> None:
    wanted = calls(("weather", {"city": "Bonn"}), ("fails", {}))
    found = calls(("search_memory", {"query": "a square"}))
    context, chat = calling_context(tmp_path, in_turn(wanted, found))
    answer = run(context, video, [weather, fails, "search_memory"])
    assert answer.answered
    cited = {step.source: step.text for step in answer.evidence}
    assert cited["weather"] == "Bonn: sun"
    assert [gap.stage for gap in answer.gaps] == ["tool:fails"]
    assert "no battery" not in "".join(cited.values())
    assert len(chat.heard) == 3
    assert answer.usage["reasoner"].calls == 3 + 2, "three turns, evidence and answer"
    assert answer.settings["tools"] == "weather, fails, search_memory"


def test_a_limit_reached_while_calling_keeps_what_was_found(video: Path, tmp_path: Path) -> None:
    free, _ = calling_context(tmp_path / "a", in_turn())
    before = sum(usage.calls for role, usage in run(free, video, []).usage.items()) - 3
    decide: Decide = lambda messages, offered: calls(("weather", {"city": str(len(messages))}))  # noqa: E731
    context, _ = calling_context(tmp_path / "b", decide, budget_calls=before + 2)
    answer = run(context, video, [weather])
    assert not answer.answered
    assert [gap.stage for gap in answer.gaps] == ["budget"]
    assert [step.source for step in answer.evidence] == ["weather", "weather"]


def test_an_awaited_graph_leaves_the_event_loop_free(video: Path, tmp_path: Path) -> None:
    """The tool waits for what only the loop does: were the loop to wait too, both would."""
    begun, go = threading.Event(), threading.Event()

    @tool
    def waits() -> str:
        """Waits."""
        begun.set()
        return "went on" if go.wait(60) else "was left waiting"

    context, _ = calling_context(tmp_path, in_turn(calls(("waits", {}))))
    ask: Any = {"path": str(video), "question": "Is it sunny?", "options": []}

    async def run_both() -> Answer:
        async def meanwhile() -> None:
            while not begun.is_set():
                await asyncio.sleep(0.01)
            go.set()

        running = ask_graph().ainvoke(ask, context=context.with_tools([waits]))
        values, _ = await asyncio.gather(running, meanwhile())
        return Answer.model_validate(values["answer"])

    answer = asyncio.run(run_both())
    assert [step.text for step in answer.evidence if step.source == "waits"] == ["went on"]


def test_a_reasoner_that_cannot_call_says_so_and_answers(video: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path, SCRIPT)
    answer = run(context, video, [weather])
    assert answer.answered
    assert any("weather" in warning and "cannot call" in warning for warning in answer.warnings)
    assert answer.usage["reasoner"].calls == 2
