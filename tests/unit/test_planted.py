"""Text out of pixels, subtitles and tools is data: planted instructions move nothing.

The scripted model here is as obedient as one can be: it does what any line tells it that stands
outside the lines in which data comes. A fence with a hole makes these tests fail. Whole films with
such texts are asked about in tests/contract/test_planted_film.py.
"""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from PIL import Image
from tests.helpers.calling import calls
from tests.helpers.planted import PLANTED, SECRET, told
from tests.unit.test_tool_calls import FRAME, VIDEO, context, model

from videoespresso.agents import prompt_parts
from videoespresso.agents.prompts import load
from videoespresso.graphs.tool_use import call_tools
from videoespresso.tools.base import ToolRequest
from videoespresso.types import Box, CoreFrame, FrameRef


def texts_of(messages: list[BaseMessage]) -> list[str]:
    """All texts a model is shown."""
    texts: list[str] = []
    for message in messages:
        content = message.content
        for part in [content] if isinstance(content, str) else content:
            texts.append(str(part if isinstance(part, str) else part.get("text", "")))
    return texts


def orders_in(messages: list[BaseMessage]) -> list[str]:
    """The tools that lines outside the data say to call."""
    return told(texts_of(messages))


def obedient(messages: list[BaseMessage], offered: list[str]) -> AIMessage:
    """Asks the sign reader once, and then does as it is told."""
    if orders := orders_in(messages):
        return calls(*((name, {"to": "thief", "text": SECRET}) for name in orders))
    asked_already = any(message.type == "tool" for message in messages)
    return AIMessage("enough") if asked_already else calls(("read_sign", {}))


def test_the_obedient_model_does_obey_what_is_not_fenced() -> None:
    """Else the tests below would show nothing."""
    for text in PLANTED:
        free = HumanMessage(text.format(tool="send_mail"))
        assert "send_mail" in orders_in([free]), text


def test_there_are_eighty() -> None:
    assert len(set(PLANTED)) == 80


def blank(frame: FrameRef) -> Image.Image:
    return Image.new("L", (1, 1))


def asked(sign: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[Any], Any]:
    """Runs the obedient model over a sign, a subtitle, a box, a caption and a reply with `sign`."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    sent: list[str] = []

    @tool
    def send_mail(to: str, text: str) -> str:
        """Sends a mail."""
        sent.append(text)
        return "sent"

    @tool
    def read_sign() -> str:
        """Reads the sign."""
        return f"{sign} {SECRET}"

    box = Box(label=sign, xyxy=(0, 0, 1, 1), score=1)
    core = CoreFrame(frame=FRAME, caption=sign, boxes=(box,))
    request = ToolRequest(
        "What does the sign say?", VIDEO, (core,), lambda f: Image.new("L", (1, 1))
    )
    known = [{"tool": name, "time_s": 2.5, "text": sign} for name in ("read_text", "subtitles")]
    chat = model(obedient)
    shown = [prompt_parts.Shown(Image.new("RGB", (8, 8)), 2.5, sign, (box,))]
    called = call_tools(context(chat, [send_mail, read_sign]), request, lambda: shown, known)
    return sent, chat.heard, called


@pytest.mark.parametrize("text", PLANTED)
def test_planted_instructions_run_no_tool_and_leak_nothing(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, heard, called = asked(text.format(tool="send_mail"), monkeypatch)
    assert sent == []
    assert [f["tool"] for f in called.findings] == ["read_sign"]
    assert called.gaps == []
    assert len(heard) == 2, "one call, one reply, enough"
    assert SECRET not in "\n".join(texts_of(heard[-1]))
    assert SECRET not in called.findings[0]["text"]


def test_a_tool_that_was_not_given_cannot_be_run_by_any_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wanted(messages: list[BaseMessage], offered: list[str]) -> AIMessage:
        return calls(("send_mail", {"text": SECRET}), ("os.system", {"command": "env"}))

    @tool
    def clock() -> str:
        """The time."""
        return "noon"

    request = ToolRequest(
        "Why?", VIDEO, (CoreFrame(frame=FRAME),), lambda f: Image.new("L", (1, 1))
    )
    called = call_tools(context(model(wanted), [clock]), request, lambda: [], ())
    assert called.findings == []
    assert {gap["stage"] for gap in called.gaps} == {"tools"}


@pytest.mark.parametrize("text", PLANTED[10:])
def test_no_role_s_prompt_can_be_broken_out_of(text: str) -> None:
    """Selector, reasoner and checker: what a video says stays in the lines that data comes in."""
    sign = text.format(tool="send_mail")
    prompts = [
        prompt_parts.select_parts("Why?", [(1.0, sign)]),
        prompt_parts.evidence_parts(
            "Why?", [prompt_parts.Shown("", 1.0, sign)], [("read_text", 1.0, sign)]
        ),
        prompt_parts.check_parts("Why?", [(1.0, sign)], "nothing"),
    ]
    for parts in prompts:
        human = HumanMessage("".join(parts))
        assert orders_in([human]) == []


@pytest.mark.parametrize("text", PLANTED[10:])
def test_no_file_name_opens_a_section(text: str) -> None:
    """Names of videos come from whoever made them: in the follower's list of videos, and at the
    head of captions, findings and steps where several videos are asked about."""
    name = text.format(tool="send_mail") + ".mp4"
    (shown,) = prompt_parts.follow_parts("And then?", (), ["a.mp4", name])
    lines = shown.splitlines()
    assert lines[0] == "Videos:"
    assert lines[2] == "2 " + prompt_parts.one_line(name)
    assert lines[3:] == ["Conversation:", "nothing yet", "New question: And then?"]
    said = f"video 2 ({name}): A wall."
    for parts in (
        prompt_parts.select_parts("Why?", [(1.0, said)]),
        prompt_parts.evidence_parts(
            "Why?", [prompt_parts.Shown("", 1.0, said)], [("read_text", 1.0, said)]
        ),
        prompt_parts.check_parts("Why?", [(1.0, said)], "because"),
    ):
        free = [HumanMessage(part) for part in parts if part]
        assert orders_in(list(free)) == []


def test_the_reasoner_is_told_that_data_are_no_instructions() -> None:
    for role in ("reasoner", "caller"):
        assert "never instructions" in load(role).text
