"""Agents against a server that misbehaves in every way we know, and keys that must not leak."""

import logging
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from pydantic import BaseModel
from tests.helpers import misbehaving as bad

from videoespresso.agents.base import Agent, Prompt, Reply, Retries, Turn
from videoespresso.errors import BudgetExceeded, ModelError, ModelOutputError
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec

PROMPT = Prompt("selector", "You are the selector.", "0" * 64)
ASKED = (Turn("user", ("Which frames?",)),)
AT_ONCE = Retries(base_s=0.0, longest_s=5.0)
KEY = "sk-planted-0123456789abcdef"


class Picked(BaseModel):
    frames: list[int]
    why: str


GOOD = '{"frames": [2, 5], "why": "the car stops"}'
GOOD_AT_ONCE = ("json_schema: ok",)


def agent(
    server: bad.Server,
    *,
    timeout_s: float = 60.0,
    budget: Budget | None = None,
    replies: ReplyCache | None = None,
    retries: Retries = AT_ONCE,
) -> Agent:
    spec = ModelSpec.parse(f"openai:tester@{server.url}")
    model = chat_model(spec, timeout_s=timeout_s)
    usage_log = UsageLog()
    return Agent(
        "selector",
        spec,
        model,
        usage_log=usage_log,
        budget=budget,
        replies=replies,
        retries=retries,
    )


def words(asker: Agent) -> Reply[str]:
    return asker.text(PROMPT, ASKED)


@pytest.mark.parametrize(
    "trouble",
    [
        bad.status(429, retry_after="0"),
        bad.status(500),
        bad.status(503),
        bad.drop(),
        bad.cut(),
        bad.html(),
        bad.no_choices(),
        bad.say(""),
    ],
    ids=["429", "500", "503", "drop", "cut", "html", "no choices", "empty"],
)
def test_trouble_that_passes_is_sat_out(trouble: bad.Behaviour) -> None:
    with bad.Server([trouble, bad.say("frame two")]) as server:
        asker = agent(server)
        reply = words(asker)
        assert len(server.requests) == 2
    assert reply.value == "frame two"
    assert reply.usage.calls == 2
    assert asker.budget.spent.calls == 2


def test_a_hanging_server_is_not_waited_for() -> None:
    with bad.Server([bad.hang(), bad.say("late")]) as server:
        assert words(agent(server, timeout_s=1.0)).value == "late"
        assert len(server.requests) >= 2


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (bad.status(429, retry_after="0"), "429"),
        (bad.status(500), "500"),
        (bad.drop(), "connection"),
        (bad.cut(), "connection"),
        (bad.html(), "not a chat completion"),
        (bad.no_choices(), "not a chat completion"),
    ],
    ids=["429", "500", "drop", "cut", "html", "no choices"],
)
def test_trouble_that_stays_ends_after_bounded_tries(trouble: bad.Behaviour, said: str) -> None:
    with bad.Server([trouble]) as server:
        asker = agent(server)
        with pytest.raises(ModelError, match=said) as caught:
            words(asker)
        assert len(server.requests) == AT_ONCE.tries
    assert caught.value.retryable
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert asker.usage_log.total().calls == AT_ONCE.tries


def test_nobody_listens() -> None:
    with bad.Server([bad.say("")]) as server:
        pass
    with pytest.raises(ModelError, match="connection") as caught:
        words(agent(server))
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("code", "error_code", "hint"),
    [
        (401, None, "OPENAI_API_KEY"),
        (403, None, "OPENAI_API_KEY"),
        (404, None, "/v1"),
        (400, None, "form of request"),
        (429, "insufficient_quota", "billing"),
    ],
)
def test_what_another_try_cannot_help_is_tried_once(
    code: int, error_code: str | None, hint: str
) -> None:
    with bad.Server([bad.status(code, error_code=error_code)]) as server:
        with pytest.raises(ModelError, match=str(code)) as caught:
            words(agent(server))
        assert len(server.requests) == 1
    assert not caught.value.retryable
    assert hint in caught.value.hint


def test_retry_after_is_honoured_and_bounded() -> None:
    waits: list[float | None] = []

    class Noted(Retries):
        def wait_s(self, tried: int, error: ModelError) -> float | None:
            waits.append(super().wait_s(tried, error))
            return waits[-1] and 0.0

    script = [bad.status(429, retry_after="3"), bad.status(429, retry_after="500")]
    with bad.Server(script) as server, pytest.raises(ModelError) as caught:
        words(agent(server, retries=Noted(longest_s=60.0)))
    assert waits == [3.0, None]
    assert caught.value.retry_after_s == 500.0


# ---- typed replies


def typed(asker: Agent) -> Reply[Picked]:
    return asker.typed(PROMPT, ASKED, Picked)


def test_native_schema_first() -> None:
    with bad.Server([bad.say(GOOD)]) as server:
        reply = typed(agent(server))
    assert reply.value == Picked(frames=[2, 5], why="the car stops")
    assert reply.how == ("json_schema: ok",)
    sent = server.requests[0]["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert sent["schema"]["additionalProperties"] is False
    assert reply.usage.input_tokens == 100
    assert reply.usage.output_tokens == 7


def test_a_server_without_schemas_gets_a_tool_and_is_remembered() -> None:
    tool = bad.each(("tools", bad.call(frames=[1], why="w")), otherwise=bad.say("no"))
    with bad.Server([bad.without("response_format", then=tool)]) as server:
        asker = agent(server)
        assert typed(asker).how == ("json_schema: refused", "tool: ok")
        assert typed(asker).how == ("tool: ok",)
        assert len(server.requests) == 3


def test_a_server_with_neither_gets_the_schema_in_its_system_message() -> None:
    script = [bad.without("response_format", "tools", then=bad.say(f"Sure!\n```json\n{GOOD}```"))]
    with bad.Server(script) as server:
        asker = agent(server)
        assert typed(asker).how == ("json_schema: refused", "tool: refused", "prompt: ok")
        assert typed(asker).how == ("prompt: ok",)
    system, user = server.requests[-1]["messages"]
    assert system["content"].startswith(PROMPT.text)
    assert "JSON Schema" in system["content"]
    assert user["content"] == [{"type": "text", "text": "Which frames?"}]


def test_a_server_that_ignores_schemas_and_tools_is_not_asked_so_again() -> None:
    prose = bad.say("I would take the second frame.")
    script = bad.each(("response_format", prose), ("tools", prose), otherwise=bad.say(GOOD))
    with bad.Server([script]) as server:
        asker = agent(server)
        assert typed(asker).how == ("json_schema: not JSON", "tool: not JSON", "prompt: ok")
        assert typed(asker).how == ("prompt: ok",)


def test_one_retry_says_what_was_wrong() -> None:
    violating = bad.say('{"frames": "two", "why": "w"}')
    script = [bad.without("response_format", "tools", then=violating)] * 3
    with bad.Server([*script, bad.say(GOOD)]) as server:
        reply = typed(agent(server))
    assert reply.value.frames == [2, 5]
    assert reply.how[-1] == "prompt: ok"
    assistant, user = server.requests[-1]["messages"][-2:]
    assert assistant["role"] == "assistant"
    assert "frames" in user["content"][0]["text"]
    assert reply.usage.calls == 4


@pytest.mark.parametrize(
    "reply", [bad.say("prose"), bad.say("[1, 2]"), bad.say('{"frames": {}}'), bad.say("")]
)
def test_a_hopeless_model_is_an_output_error_with_its_words(reply: bad.Behaviour) -> None:
    with bad.Server([reply]) as server:
        asker = agent(server)
        with pytest.raises(ModelOutputError, match="Picked"):
            typed(asker)
        assert len(server.requests) == 4  # schema, tool, prompt, and the one retry
        with pytest.raises(ModelOutputError):
            typed(asker)
        assert len(server.requests) == 8  # nothing worked, so nothing was learned


def test_a_reply_cut_at_its_limit_says_nothing_about_the_form() -> None:
    half = bad.say('{"frames": [1', finish="length")
    with bad.Server([half, bad.call(frames=[1], why="w"), bad.say(GOOD)]) as server:
        asker = agent(server)
        assert typed(asker).how[-1] == "tool: ok"
        assert typed(asker).how == ("json_schema: ok",)


def test_trouble_between_two_forms_is_sat_out() -> None:
    script = [bad.status(400), bad.status(500), bad.call(frames=[3], why="w")]
    with bad.Server(script) as server:
        assert typed(agent(server)).how == ("json_schema: refused", "tool: ok")


# ---- streams


def listened(
    script: list[bad.Behaviour], replies: ReplyCache | None = None
) -> tuple[Reply[Picked], list[str], list[bool]]:
    """A typed reply, what its listener got, and which of the requests asked for a stream."""
    pieces: list[str] = []
    with bad.Server(script) as server:
        asker = agent(server, replies=replies).with_listener(pieces.append)
        reply = asker.typed(PROMPT, ASKED, Picked)
        return reply, pieces, [bool(body.get("stream")) for body in server.requests]


def test_a_typed_reply_is_streamed_while_it_is_written() -> None:
    reply, pieces, streams = listened([bad.say(GOOD)])
    assert (reply.value, reply.how) == (Picked(frames=[2, 5], why="the car stops"), GOOD_AT_ONCE)
    assert len(pieces) > len(GOOD.split())
    assert all(GOOD.startswith(part) for part in pieces)
    assert (pieces[-1], streams) == (GOOD, [True])


def test_a_server_that_refuses_streams_is_asked_without(tmp_path: Path) -> None:
    replies = ReplyCache(tmp_path / "r.sqlite")

    def no_streams(exchange: bad.Exchange) -> None:
        (bad.status(400) if exchange.body.get("stream") else bad.say(GOOD))(exchange)

    reply, pieces, streams = listened([no_streams] * 2, replies)
    assert (reply.how, pieces, streams) == (GOOD_AT_ONCE, [], [True, False])
    assert not replies.inabilities("openai:tester"), "the form was not what it refused"


def test_a_typed_stream_that_breaks_begins_anew() -> None:
    reply, pieces, _ = listened([bad.cut(GOOD), bad.say(GOOD)])
    assert reply.how == GOOD_AT_ONCE
    assert pieces[:3] == ['{"frames":', '{"frames": [2,', '{"frames":'], "and then from the start"
    assert pieces[-1] == GOOD


def test_a_typed_stream_cut_at_its_limit_is_not_taken_for_whole() -> None:
    half = bad.say('{"frames": [2], "why": "the ca', finish="length")
    reply, _, _ = listened([half, half, bad.say(GOOD)])
    assert reply.value.why == "the car stops"
    assert reply.how[-1] == "prompt: ok"


# ---- cache, budget, batch


def test_a_paid_call_is_never_paid_twice_and_failures_are_not_kept(tmp_path: Path) -> None:
    replies = ReplyCache(tmp_path / "r.sqlite")
    with bad.Server([bad.status(401), bad.say(GOOD)]) as server:
        with pytest.raises(ModelError):
            typed(agent(server, replies=replies))
        first = typed(agent(server, replies=replies))
        again = typed(agent(server, replies=replies))
        assert len(server.requests) == 2
    assert again.value == first.value
    assert again.how == ("cache", "json_schema: ok")
    assert again.usage.calls == 0
    assert again.usage.cached_calls == 1


def test_what_a_model_cannot_do_is_remembered_across_agents(tmp_path: Path) -> None:
    replies = ReplyCache(tmp_path / "r.sqlite")
    script = [bad.without("response_format", "tools", then=bad.say(GOOD))]
    with bad.Server(script) as server:
        typed(agent(server, replies=replies))
        other = agent(server, replies=replies)
        assert other.typed(PROMPT, (Turn("user", ("And now?",)),), Picked).how == ("prompt: ok",)


def test_equal_questions_at_once_are_asked_once(tmp_path: Path) -> None:
    with bad.Server([bad.say("a frame")]) as server:
        asker = agent(server, replies=ReplyCache(tmp_path / "r.sqlite"))
        replies = asker.text_batch(PROMPT, [ASKED] * 6)
        assert len(server.requests) == 1
    assert {reply.value for reply in replies} == {"a frame"}


def test_a_batch_keeps_its_order() -> None:
    def behave(exchange: bad.Exchange) -> None:
        bad.say(exchange.body["messages"][1]["content"][0]["text"].upper())(exchange)

    with bad.Server([behave]) as server:
        turns = [(Turn("user", (f"caption {n}",)),) for n in range(12)]
        replies = agent(server).text_batch(PROMPT, turns)
    assert [reply.value for reply in replies] == [f"CAPTION {n}" for n in range(12)]


def test_a_batch_takes_its_turns_as_it_needs_them() -> None:
    taken: list[int] = []

    def turns() -> Iterator[tuple[Turn, ...]]:
        for n in range(30):
            taken.append(n)
            yield (Turn("user", (f"{n}",)),)

    def behave(exchange: bad.Exchange) -> None:
        ahead.append(len(taken) - int(exchange.body["messages"][1]["content"][0]["text"]))
        bad.say("ok")(exchange)

    ahead: list[int] = []
    with bad.Server([behave]) as server:
        assert len(agent(server).text_batch(PROMPT, turns())) == 30
    assert max(ahead) < 15


def test_a_budget_is_kept_by_all_threads_together() -> None:
    with bad.Server([bad.say("fine")]) as server:
        asker = agent(server, budget=Budget(max_calls=3))
        with pytest.raises(BudgetExceeded, match="3 of 3"):
            asker.text_batch(PROMPT, [(Turn("user", (f"{n}",)),) for n in range(10)])
        assert len(server.requests) == 3


def test_tries_count_as_calls() -> None:
    with bad.Server([bad.status(500)]) as server:
        with pytest.raises(BudgetExceeded):
            words(agent(server, budget=Budget(max_calls=2)))
        assert len(server.requests) == 2


# ---- images


def test_images_go_out_as_jpeg_and_their_sizes_are_recorded() -> None:
    with bad.Server([bad.say("ok", usage=None)]) as server:
        asker = agent(server)
        frames = Image.new("RGB", (320, 180), "red"), Image.new("RGB", (64, 64), "blue")
        asker.text(PROMPT, [Turn("user", (frames[0], "Frame 1", frames[1], "Frame 2"))])
    blocks = server.requests[0]["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["image_url", "text", "image_url", "text"]
    assert blocks[0]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    (entry,) = asker.usage_log.entries()
    assert entry.images == ((320, 180), (64, 64))
    assert entry.image_tokens == 12 * 7 + 3 * 3
    assert not entry.reported
    assert entry.usage.images == 2
    assert entry.usage.input_tokens > entry.image_tokens


def test_a_one_image_model_gets_a_labelled_grid() -> None:
    with bad.Server([bad.say("ok")]) as server:
        asker = agent(server)
        asker.one_image = True
        frames = [Image.new("RGB", (320, 180), colour) for colour in ("red", "blue", "green")]
        asker.text(PROMPT, [Turn("user", (frames[0], "first", frames[1], "second", frames[2]))])
    blocks = server.requests[0]["messages"][1]["content"]
    assert [block["type"] for block in blocks].count("image_url") == 1
    words = " ".join(block.get("text", "") for block in blocks)
    assert "number 1 in the grid" in words
    assert "number 3 in the grid" in words
    assert asker.usage_log.entries()[0].usage.images == 1


# ---- keys


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """A key in the environment; nothing that is logged may carry it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    yield KEY
    assert KEY not in caplog.text


def streamed(asker: Agent) -> Reply[str]:
    return words(asker.with_listener(print))


@pytest.mark.parametrize("ask", [words, typed, streamed])
def test_a_key_that_the_server_repeats_is_not_in_the_error(
    planted: str, ask: Callable[[Agent], object]
) -> None:
    with bad.Server([bad.echo_key()]) as server:
        asker = agent(server)
        with pytest.raises(ModelError, match="401") as caught:
            ask(asker)
        assert planted in server.headers[0]["authorization"]
    assert planted not in "".join(traceback.format_exception(caught.value))
    assert planted not in repr(caught.value) + caught.value.hint
    chain: BaseException | None = caught.value
    while chain is not None:
        assert planted not in str(chain)
        chain = chain.__cause__ or chain.__context__
    assert planted not in repr(asker.model)


def test_a_key_that_the_model_repeats_is_not_kept(planted: str, tmp_path: Path) -> None:
    replies = ReplyCache(tmp_path / "r.sqlite")
    with bad.Server([bad.say(f"the key is {planted}")]) as server:
        reply = agent(server, replies=replies).text(PROMPT, ASKED)
    assert planted not in reply.raw
    with sqlite3.connect(replies.path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    assert planted.encode() not in replies.path.read_bytes()


def test_no_pixels_and_no_prompt_in_the_cache(tmp_path: Path) -> None:
    replies = ReplyCache(tmp_path / "r.sqlite")
    with bad.Server([bad.say("ok")]) as server:
        turn = Turn("user", (Image.effect_noise((200, 200), 90), "secret words"))
        agent(server, replies=replies).text(PROMPT, [turn])
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"base64" not in stored
    assert b"secret words" not in stored
    assert len(stored) < 200_000
