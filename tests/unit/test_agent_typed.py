"""Typed replies from servers that take schemas, tools, streams, or none of them."""

from pathlib import Path

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.server_agent import GOOD, PROMPT, QUESTION, Picked, agent, typed

from videoespresso.agents.base import Reply
from videoespresso.errors import ModelError, ModelOutputError
from videoespresso.memory.replies import ReplyCache


def test_native_schema_first() -> None:
    with fake.Server([fake.say(GOOD)]) as server:
        reply = typed(agent(server))
    assert reply.value == Picked(frames=[2, 5], why="the car stops")
    assert reply.how == ("json_schema: ok",)
    sent = server.requests[0]["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert sent["schema"]["additionalProperties"] is False
    assert reply.usage.input_tokens == 100
    assert reply.usage.output_tokens == 7


def test_a_server_without_schemas_gets_a_tool_and_is_remembered() -> None:
    tool = fake.each(("tools", fake.call(frames=[1], why="w")), otherwise=fake.say("no"))
    with fake.Server([fake.without("response_format", then=tool)]) as server:
        asker = agent(server)
        assert typed(asker).how == ("json_schema: refused", "tool: ok")
        assert typed(asker).how == ("tool: ok",)
        assert len(server.requests) == 3


def test_a_server_with_neither_gets_the_schema_in_its_system_message() -> None:
    script = [fake.without("response_format", "tools", then=fake.say(f"Sure!\n```json\n{GOOD}```"))]
    with fake.Server(script) as server:
        asker = agent(server)
        assert typed(asker).how == ("json_schema: refused", "tool: refused", "prompt: ok")
        assert typed(asker).how == ("prompt: ok",)
    system, user = server.requests[-1]["messages"]
    assert system["content"].startswith(PROMPT.text)
    assert "JSON Schema" in system["content"]
    assert user["content"] == [{"type": "text", "text": "Which frames?"}]


def test_a_server_that_ignores_schemas_and_tools_is_not_asked_so_again() -> None:
    prose = fake.say("I would take the second frame.")
    script = fake.each(("response_format", prose), ("tools", prose), otherwise=fake.say(GOOD))
    with fake.Server([script]) as server:
        asker = agent(server)
        assert typed(asker).how == ("json_schema: not JSON", "tool: not JSON", "prompt: ok")
        assert typed(asker).how == ("prompt: ok",)


def test_one_retry_says_what_was_wrong() -> None:
    violating = fake.say('{"frames": "two", "why": "w"}')
    script = [fake.without("response_format", "tools", then=violating)] * 3
    with fake.Server([*script, fake.say(GOOD)]) as server:
        reply = typed(agent(server))
    assert reply.value.frames == [2, 5]
    assert reply.how[-1] == "prompt: ok"
    assistant, user = server.requests[-1]["messages"][-2:]
    assert assistant["role"] == "assistant"
    assert "frames" in user["content"][0]["text"]
    assert reply.usage.calls == 4


@pytest.mark.parametrize(
    "reply", [fake.say("prose"), fake.say("[1, 2]"), fake.say('{"frames": {}}'), fake.say("")]
)
def test_a_hopeless_model_is_an_output_error_with_its_words(reply: fake.Behaviour) -> None:
    with fake.Server([reply]) as server:
        asker = agent(server)
        with pytest.raises(ModelOutputError, match="Picked"):
            typed(asker)
        assert len(server.requests) == 4  # schema, tool, prompt, and the one retry
        with pytest.raises(ModelOutputError):
            typed(asker)
        assert len(server.requests) == 8  # nothing worked, so nothing was learned


def test_a_reply_cut_at_its_limit_says_nothing_about_the_form() -> None:
    half = fake.say('{"frames": [1', finish="length")
    with fake.Server([half, fake.call(frames=[1], why="w"), fake.say(GOOD)]) as server:
        asker = agent(server)
        assert typed(asker).how[-1] == "tool: ok"
        assert typed(asker).how == ("json_schema: ok",)


def test_trouble_between_two_forms_is_sat_out() -> None:
    script = [fake.status(400), fake.status(500), fake.call(frames=[3], why="w")]
    with fake.Server(script) as server:
        assert typed(agent(server)).how == ("json_schema: refused", "tool: ok")


# ---- streams


def listened(
    script: list[fake.Behaviour], replies: ReplyCache | None = None
) -> tuple[Reply[Picked], list[str], list[bool]]:
    """A typed reply, what its listener got, and which of the requests asked for a stream."""
    pieces: list[str] = []
    with fake.Server(script) as server:
        asker = agent(server, replies=replies).with_listener(pieces.append)
        reply = asker.typed(PROMPT, QUESTION, Picked)
        return reply, pieces, [bool(body.get("stream")) for body in server.requests]


def test_a_typed_reply_is_streamed_while_it_is_written() -> None:
    reply, pieces, streams = listened([fake.say(GOOD)])
    assert (reply.value, reply.how) == (
        Picked(frames=[2, 5], why="the car stops"),
        ("json_schema: ok",),
    )
    assert len(pieces) > len(GOOD.split())
    assert all(GOOD.startswith(part) for part in pieces)
    assert (pieces[-1], streams) == (GOOD, [True])


def test_a_server_that_refuses_streams_is_asked_without(tmp_path: Path) -> None:
    replies = ReplyCache(tmp_path / "r.sqlite")

    def no_streams(exchange: fake.Exchange) -> None:
        (fake.status(400) if exchange.body.get("stream") else fake.say(GOOD))(exchange)

    reply, pieces, streams = listened([no_streams] * 2, replies)
    assert (reply.how, pieces, streams) == (("json_schema: ok",), [], [True, False])
    assert not replies.inabilities("openai:tester"), "the form was not what it refused"


def test_a_typed_stream_that_breaks_begins_anew_while_nothing_is_shown() -> None:
    with fake.Server([fake.cut(GOOD), fake.say(GOOD)]) as server:
        hidden = agent(server).with_listener(lambda _: False)
        assert hidden.typed(PROMPT, QUESTION, Picked).how == ("json_schema: ok",)
        assert len(server.requests) == 2
    with pytest.raises(ModelError, match="connection"):
        listened([fake.cut(GOOD), fake.say(GOOD)])


def test_a_typed_stream_cut_at_its_limit_is_not_taken_for_whole() -> None:
    half = fake.say('{"frames": [2], "why": "the ca', finish="length")
    reply, _, _ = listened([half, fake.say(GOOD)])
    assert reply.value.why == "the car stops"
    assert reply.how[-1] == "tool: ok"
