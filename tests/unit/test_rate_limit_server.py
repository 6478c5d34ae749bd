"""Agents in line before a real server: Retry-After, the end of a run, and hard budgets."""

import random
import threading
import time
from collections.abc import Callable

import pytest
from pydantic import BaseModel
from tests.helpers import chat_server as fake

from videoespresso.agents.base import Agent, Prompt, Retries, Turn
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.rate_limit import RateLimit, RateLimits
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec

PROMPT = Prompt("selector", "You are the selector.", "0" * 64)


def agent(
    server: fake.Server,
    limit: RateLimit,
    budget: Budget | None = None,
    retries: Retries | None = None,
) -> Agent:
    spec = ModelSpec.parse(f"openai:tester@{server.url}")
    return Agent(
        "selector", spec, chat_model(spec), usage_log=UsageLog(), budget=budget, rate_limit=limit,
        retries=retries,
    )  # fmt: skip


def turns(k: int) -> list[Turn]:
    return [Turn("user", (f"question {k}",))]


def in_threads(n: int, work: Callable[[int], object]) -> list[object]:
    """What each of n threads returned or raised."""
    came: list[object] = [None] * n

    def one(k: int) -> None:
        try:
            came[k] = work(k)
        except Exception as error:  # noqa: BLE001 - told to the test
            came[k] = error

    threads = [threading.Thread(target=one, args=(k,)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return came


class Gate:
    """A server that refuses with Retry-After now and then, and counts who comes all the same."""

    def __init__(self, every: int, closed_s: float) -> None:
        self.every, self.closed_s = every, closed_s
        self.lock = threading.Lock()
        self.opens = 0.0
        self.flying = self.most = self.served = self.refusals = self.intruders = 0

    def __call__(self, exchange: fake.Exchange) -> None:
        with self.lock:
            now = time.monotonic()
            intruder = now < self.opens
            refuse = intruder or (
                self.served % self.every == 0 and self.served // self.every > self.refusals
            )
            self.intruders += intruder
            self.flying += 1
            self.most = max(self.most, self.flying)
            if refuse and not intruder:
                self.refusals += 1
                self.opens = now + self.closed_s
            self.served += not refuse
        try:
            if refuse:
                fake.status(429, retry_after=f"{self.closed_s}")(exchange)
            else:
                time.sleep(0.01)
                fake.say("fine")(exchange)
        finally:
            with self.lock:
                self.flying -= 1


def test_retry_after_is_obeyed_by_every_agent_on_the_provider() -> None:
    gate = Gate(every=10, closed_s=0.5)
    with fake.Server([gate]) as server:
        rate_limits = RateLimits(4)
        spec = ModelSpec.parse(f"openai:tester@{server.url}")
        # four agents, as four roles or four contexts have
        askers = [agent(server, rate_limits.limit(spec)) for _ in range(4)]
        replies = in_threads(40, lambda k: askers[k % 4].text(PROMPT, turns(k)).value)
        assert replies == ["fine"] * 40
        assert gate.refusals >= 2
        # only what was on its way when the gate was closed can still knock
        assert gate.intruders <= 3 * gate.refusals
        assert len(server.requests) == 40 + gate.refusals + gate.intruders
        assert gate.most <= 4


def test_nobody_waits_for_a_server_that_asks_for_an_hour() -> None:
    with fake.Server([fake.status(429, retry_after="3600")]) as server:
        limit = RateLimit(in_flight=1)
        replies = in_threads(8, lambda k: agent(server, limit).text(PROMPT, turns(k)))
        assert len(server.requests) == 1
    for error in replies:
        assert isinstance(error, ModelError)
        assert error.retry_after_s is not None
        assert error.retry_after_s > 3500


@pytest.mark.parametrize("end", ["seconds", "stop"])
def test_the_wait_ends_when_the_run_does(end: str) -> None:
    budget = Budget(max_seconds=0.5 if end == "seconds" else None)
    with fake.Server([fake.say("fine")]) as server:
        limit = RateLimit(in_flight=4)
        limit.hold(50.0)
        if end == "stop":
            threading.Timer(0.3, budget.stop).start()
        asker = agent(server, limit, budget)
        for error in in_threads(6, lambda k: asker.text(PROMPT, turns(k))):
            assert isinstance(error, BudgetExceeded)
        assert not server.requests
    assert limit.waiting == 0


# ---- the budget, when many call at once


class Verdict(BaseModel):
    good: bool


class Trouble:
    """Failures, cut replies, prose where JSON was wanted; counts calls and what it would bill."""

    def __init__(self, seed: int) -> None:
        self.chance, self.lock = random.Random(seed), threading.Lock()
        self.calls = 0
        self.tokens_in = self.tokens_out = 0

    def __call__(self, exchange: fake.Exchange) -> None:
        with self.lock:
            self.calls += 1
            kind = self.chance.choice(["500", "429", "prose", "good", "good", "cut"])
            usage = self.chance.randint(50, 150), self.chance.randint(1, 200)
            if kind not in ("500", "429"):
                self.tokens_in += usage[0]
                self.tokens_out += usage[1]
        time.sleep(0.005)
        if kind == "500":
            fake.status(500)(exchange)
        elif kind == "429":
            fake.status(429, retry_after="0.01")(exchange)
        elif kind == "cut":
            fake.say('{"good": tr', finish="length", usage=usage)(exchange)
        else:
            text = '{"good": true}' if kind == "good" else "Well, it depends."
            fake.say(text, usage=usage)(exchange)


def until_refused(asker: Agent, worker: int) -> int:
    """Asks until the budget says no; how many replies were good."""
    good = 0
    for k in range(10_000):
        try:
            asker.typed(PROMPT, turns(1000 * worker + k), Verdict)
            good += 1
        except BudgetExceeded:
            return good
        except ModelError:
            continue
    raise AssertionError("nothing stopped it")


@pytest.mark.parametrize("in_flight", [16, 3])
def test_sixteen_threads_never_make_a_call_too_many(in_flight: int) -> None:
    server_side, budget = Trouble(1), Budget(max_calls=150)
    with fake.Server([server_side]) as server:
        limit = RateLimit(in_flight=in_flight)
        asker = agent(server, limit, budget, Retries(base_s=0.01, longest_s=1.0))
        good = in_threads(16, lambda k: until_refused(asker, k))
    assert all(isinstance(n, int) for n in good), good
    assert server_side.calls == budget.spent.calls == 150
    assert asker.usage_log.total().calls == 150


def test_sixteen_threads_never_spend_a_cent_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    server_side, budget = Trouble(2), Budget(max_usd=0.2)
    with fake.Server([server_side]) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
        named = ModelSpec.parse("openai:gpt-4o")
        model = chat_model(ModelSpec.parse(f"openai:gpt-4o@{server.url}"), max_tokens=200)
        retries = Retries(base_s=0.01, longest_s=1.0)
        asker = Agent(
            "selector", named, model, usage_log=UsageLog(), budget=budget, retries=retries,
            rate_limit=RateLimit(in_flight=16),
        )  # fmt: skip
        good = in_threads(16, lambda k: until_refused(asker, k))
    assert all(isinstance(n, int) for n in good), good
    billed = server_side.tokens_in * 2.5e-6 + server_side.tokens_out * 1e-5
    assert billed <= 0.2
    assert billed == pytest.approx(budget.spent.usd)
    # and next to nothing is left: what a call may cost at most is held back, and no more
    assert billed > 0.19
