"""What an agent keeps: replies, its budget, the order of a batch, images; and no keys."""

import logging
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from tests.helpers import chat_server as fake
from tests.helpers.server_agent import GOOD, PROMPT, QUESTION, Picked, agent, typed, words

from videoespresso.agents.base import Agent, Reply, Turn
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.client.budget import Budget

KEY = "sk-planted-0123456789abcdef"


# ---- cache, budget, batch


def test_a_paid_call_is_never_paid_twice_and_failures_are_not_kept(tmp_path: Path) -> None:
    replies = ReplyCache(tmp_path / "r.sqlite")
    with fake.Server([fake.status(401), fake.say(GOOD)]) as server:
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
    script = [fake.without("response_format", "tools", then=fake.say(GOOD))]
    with fake.Server(script) as server:
        typed(agent(server, replies=replies))
        other = agent(server, replies=replies)
        assert other.typed(PROMPT, (Turn("user", ("And now?",)),), Picked).how == ("prompt: ok",)


def test_equal_questions_at_once_are_asked_once(tmp_path: Path) -> None:
    with fake.Server([fake.say("a frame")]) as server:
        asker = agent(server, replies=ReplyCache(tmp_path / "r.sqlite"))
        replies = asker.text_batch(PROMPT, [QUESTION] * 6)
        assert len(server.requests) == 1
    assert {reply.value for reply in replies} == {"a frame"}


def test_a_batch_keeps_its_order() -> None:
    def behave(exchange: fake.Exchange) -> None:
        fake.say(exchange.body["messages"][1]["content"][0]["text"].upper())(exchange)

    with fake.Server([behave]) as server:
        turns = [(Turn("user", (f"caption {n}",)),) for n in range(12)]
        replies = agent(server).text_batch(PROMPT, turns)
    assert [reply.value for reply in replies] == [f"CAPTION {n}" for n in range(12)]


def test_a_batch_takes_its_turns_as_it_needs_them() -> None:
    taken: list[int] = []

    def turns() -> Iterator[tuple[Turn, ...]]:
        for n in range(30):
            taken.append(n)
            yield (Turn("user", (f"{n}",)),)

    def behave(exchange: fake.Exchange) -> None:
        ahead.append(len(taken) - int(exchange.body["messages"][1]["content"][0]["text"]))
        fake.say("ok")(exchange)

    ahead: list[int] = []
    with fake.Server([behave]) as server:
        assert len(agent(server).text_batch(PROMPT, turns())) == 30
    assert max(ahead) < 15


def test_a_budget_is_kept_by_all_threads_together() -> None:
    with fake.Server([fake.say("fine")]) as server:
        asker = agent(server, budget=Budget(max_calls=3))
        with pytest.raises(BudgetExceeded, match="3 of 3"):
            asker.text_batch(PROMPT, [(Turn("user", (f"{n}",)),) for n in range(10)])
        assert len(server.requests) == 3


def test_tries_count_as_calls() -> None:
    with fake.Server([fake.status(500)]) as server:
        with pytest.raises(BudgetExceeded):
            words(agent(server, budget=Budget(max_calls=2)))
        assert len(server.requests) == 2


# ---- images


def test_images_go_out_as_jpeg_and_their_sizes_are_recorded() -> None:
    with fake.Server([fake.say("ok", usage=None)]) as server:
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
    with fake.Server([fake.say("ok")]) as server:
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
    with fake.Server([fake.echo_key()]) as server:
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
    with fake.Server([fake.say(f"the key is {planted}")]) as server:
        reply = agent(server, replies=replies).text(PROMPT, QUESTION)
    assert planted not in reply.raw
    with sqlite3.connect(replies.path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    assert planted.encode() not in replies.path.read_bytes()


def test_no_pixels_and_no_prompt_in_the_cache(tmp_path: Path) -> None:
    replies = ReplyCache(tmp_path / "r.sqlite")
    with fake.Server([fake.say("ok")]) as server:
        turn = Turn("user", (Image.effect_noise((200, 200), 90), "secret words"))
        agent(server, replies=replies).text(PROMPT, [turn])
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"base64" not in stored
    assert b"secret words" not in stored
    assert len(stored) < 200_000
