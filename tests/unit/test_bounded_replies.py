"""Servers that never end, send too much, or send elsewhere."""

import gzip
import json
import time
from pathlib import Path

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.server_agent import agent, words

from videoespresso.agents.base import Retries
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.client import http
from videoespresso.models.client.budget import Budget

ONCE = Retries(tries=1)


def drip(exchange: fake.Exchange) -> None:
    """A byte now and then, for ever: no silence is ever long."""
    exchange.handler.send_response(200)
    exchange.handler.send_header("Content-Type", "application/json")
    exchange.handler.send_header("Content-Length", "1000000")
    exchange.handler.end_headers()
    while not exchange.closing.wait(0.02):
        exchange.handler.wfile.write(b" ")
        exchange.handler.wfile.flush()


def test_a_reply_that_drips_ends_with_the_call(caplog: pytest.LogCaptureFixture) -> None:
    with fake.Server([drip]) as server, pytest.raises(ModelError, match="in time"):
        words(agent(server, timeout_s=0.5, retries=ONCE))


@pytest.mark.parametrize("behaviour", [drip, fake.hang()], ids=["drips", "hangs"])
def test_the_budgets_seconds_end_a_call_under_way(behaviour: fake.Behaviour) -> None:
    budget = Budget(max_seconds=0.7)
    begun = time.monotonic()
    with fake.Server([behaviour]) as server, pytest.raises((BudgetExceeded, ModelError)):
        words(agent(server, timeout_s=60.0, budget=budget))
    assert time.monotonic() - begun < 30  # far below the timeout of the call


def test_a_reply_has_a_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST_REPLY", 1 << 20)
    with fake.Server([fake.say("x" * (2 << 20))]) as server:
        with pytest.raises(ModelError, match="larger than 1 MB"):
            words(agent(server, retries=ONCE))
        assert len(server.requests) == 1


def packed(text: str, encoding: str = "gzip") -> fake.Behaviour:
    """A reply that is packed though nobody asked for it."""

    def behave(exchange: fake.Exchange) -> None:
        assert exchange.headers["accept-encoding"] == "identity"
        body = json.dumps(fake.completion({"role": "assistant", "content": text}, "m")).encode()
        exchange.send(200, gzip.compress(body), Content_Encoding=encoding)

    return behave


def test_a_packed_reply_is_read_and_its_size_counts_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "LARGEST_REPLY", 1 << 20)
    with fake.Server([packed("A dog."), packed("x" * (64 << 20)), packed("no", "br")]) as server:
        assert words(agent(server, retries=ONCE)).value == "A dog."
        with pytest.raises(ModelError, match="larger than 1 MB"):
            words(agent(server, retries=ONCE))
        with pytest.raises(ModelError):
            words(agent(server, retries=ONCE))


def test_half_a_character_in_a_reply_costs_no_more_than_itself(tmp_path: Path) -> None:
    """JSON can name it, and no file can hold it: the reply cache could not."""
    text = "A dog \ud83d runs."
    with fake.Server([fake.say(text)]) as server:
        one = agent(server, retries=ONCE, replies=ReplyCache(tmp_path / "replies.sqlite"))
        assert words(one).value == "A dog ? runs."


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with fake.Server([fake.say("stolen")]) as elsewhere:

        def away(exchange: fake.Exchange) -> None:
            exchange.send(status, b"", Location=f"{elsewhere.url}/chat/completions")

        with fake.Server([away]) as server:
            with pytest.raises(ModelError, match="redirect"):
                words(agent(server))
            assert len(server.requests) == 1
        assert elsewhere.requests == []
