"""Providers of other packages: what of our limits holds them, and that their calls end in time."""

import threading
import time

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.other_providers import OverHttpx, OverUrllib, over_httpx, over_urllib
from tests.helpers.server_agent import PROMPT, QUESTION, words

from videoespresso.agents.base import Agent, Retries
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.models import chat
from videoespresso.models.chat import chat_model
from videoespresso.models.client import http
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.errors import LateError
from videoespresso.models.client.retry import in_time
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec

pytestmark = pytest.mark.usefixtures("quiet_ends")
HTTPX, URLLIB = "other-httpx", "other-urllib"
MADE = {HTTPX: over_httpx, URLLIB: over_urllib}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a package had registered them."""
    monkeypatch.setattr(chat, "plugin", lambda group, name: MADE.get(name))


def agent(provider: str, url: str, timeout_s: float = 20.0, budget: Budget | None = None) -> Agent:
    spec = ModelSpec.parse(f"{provider}:m@{url}")
    return Agent(
        "captioner", spec, chat_model(spec, timeout_s=timeout_s), usage_log=UsageLog(),
        retries=Retries(tries=2, base_s=0.0), budget=budget, timeout_s=timeout_s,
    )  # fmt: skip


def drip(exchange: fake.Exchange) -> None:
    exchange.handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not exchange.closing.wait(0.02):
        exchange.handler.wfile.write(b"1")
        exchange.handler.wfile.flush()


@pytest.mark.parametrize("provider", [HTTPX, URLLIB])
def test_it_answers(provider: str) -> None:
    with fake.Server([lambda exchange: exchange.send(200, b"a red car")]) as server:
        assert words(agent(provider, server.url)).value == "a red car"


def test_a_client_of_httpx_is_found_and_follows_no_redirect() -> None:
    with fake.Server([fake.say("stolen")]) as elsewhere:

        def away(exchange: fake.Exchange) -> None:
            exchange.send(307, b"", Location=elsewhere.url)

        with fake.Server([away]) as server, pytest.raises(ModelError, match="redirect"):
            words(agent(HTTPX, server.url))
        assert elsewhere.requests == []


def test_a_client_of_httpx_is_found_and_reads_no_endless_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "LARGEST_REPLY", 1 << 20)
    large = fake.Server([lambda exchange: exchange.send(200, b" " * (2 << 20))])
    with large as server, pytest.raises(ModelError, match="larger than 1 MB"):
        words(agent(HTTPX, server.url))


@pytest.mark.parametrize("provider", [HTTPX, URLLIB])
@pytest.mark.parametrize("behaviour", [drip, fake.hang()], ids=["drip", "hang"])
def test_a_call_ends_after_timeout_s(provider: str, behaviour: fake.Behaviour) -> None:
    with fake.Server([behaviour]) as server:
        with pytest.raises(LateError, match="in time") as caught:
            words(agent(provider, server.url, timeout_s=0.3))
        assert len(server.paths) == 2, "tried again, as a late call of any provider"
    assert "timeout_s" in caught.value.hint


def test_a_call_ends_with_the_budget_s_seconds() -> None:
    with fake.Server([fake.hang()]) as server, pytest.raises(BudgetExceeded):
        words(agent(URLLIB, server.url, timeout_s=60.0, budget=Budget(max_seconds=0.3)))


def test_what_a_late_stream_says_is_shown_to_nobody() -> None:
    shown: list[str] = []
    with fake.Server([drip]) as server:
        asker = agent(URLLIB, server.url, timeout_s=0.3).with_listener(shown.append)
        with pytest.raises(LateError):
            asker.text(PROMPT, QUESTION)
        so_far = len(shown)
        assert so_far
        time.sleep(0.3)
        assert len(shown) <= so_far + 1, "at most the piece that was under way"


def test_what_a_late_call_raises_is_nobody_s_and_others_errors_are_theirs() -> None:
    gate = threading.Event()
    with pytest.raises(TimeoutError):
        in_time(gate.wait, 0.05)
    gate.set()
    with pytest.raises(KeyError):
        in_time(lambda: {}["x"], 5.0)
    assert in_time(lambda: 7, None) == 7


def test_the_clients_that_are_looked_for_are_those_of_httpx() -> None:
    assert len(http.clients_in(OverHttpx(url="http://x"))) == 1
    assert http.clients_in(OverUrllib(url="http://x")) != [], "it has one, and does not use it"
    ring: dict[str, object] = {}
    ring["ring"] = ring
    assert http.clients_in(ring) == []
