"""Budgets and the usage log."""

import threading

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from videoespresso.agents.base import Agent, Prompt, Turn
from videoespresso.errors import BudgetExceeded, SettingsError
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageEntry, UsageLog
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings
from videoespresso.types import Usage


class Clock:
    """A clock that moves when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_no_limit_is_no_limit() -> None:
    budget = Budget()
    for _ in range(100):
        budget.start(1e6)
        budget.finish(1e6, Usage(calls=1, usd=1e6))
    budget.start()
    assert budget.frames_left is None
    assert budget.seconds_left is None


def test_calls() -> None:
    budget = Budget(max_calls=2)
    for _ in range(2):
        budget.start()
        budget.finish(usage=Usage(calls=1))
    with pytest.raises(BudgetExceeded, match="2 of 2") as caught:
        budget.start()
    assert "budget_calls" in caught.value.hint


def test_calls_in_flight_count() -> None:
    budget = Budget(max_calls=2, max_usd=1.0)
    budget.start(0.4)
    budget.start(0.4)
    with pytest.raises(BudgetExceeded):
        budget.start(0.1)
    assert budget.spent.calls == 0


def test_dollars_are_refused_before_they_are_spent() -> None:
    budget = Budget(max_usd=1.0)
    budget.start(0.7)
    budget.finish(0.7, Usage(calls=1, usd=0.6))
    with pytest.raises(BudgetExceeded, match=r"\$0\.6000 of \$1"):
        budget.start(0.5)
    budget.start(0.4)
    budget.finish(0.4, Usage(calls=1, usd=0.4))
    with pytest.raises(BudgetExceeded):
        budget.start(0.001)
    budget.start(0.0)  # what is free never breaks a dollar limit


def test_zero_dollars_allow_what_is_free_and_nothing_else() -> None:
    budget = Budget(max_usd=0.0)
    budget.start(0.0)
    with pytest.raises(BudgetExceeded):
        budget.start(1e-9)


def test_a_failed_call_counts_and_frees_its_reservation() -> None:
    budget = Budget(max_calls=3, max_usd=1.0)
    budget.start(0.9)
    budget.finish(0.9)
    assert budget.spent.calls == 1
    budget.start(0.9)


def test_an_unknown_price_does_not_hide_the_known_ones() -> None:
    budget = Budget(max_usd=1.0)
    for usd in (0.5, None):
        budget.start()
        budget.finish(usage=Usage(calls=1, usd=usd))
    assert budget.spent.usd == 0.5


def test_seconds_and_frames() -> None:
    clock = Clock()
    budget = Budget(max_seconds=10, max_frames=5, clock=clock)
    clock.now = 9.0
    budget.alive()
    assert budget.seconds_left == 1.0
    clock.now = 10.5
    with pytest.raises(BudgetExceeded, match="10 seconds"):
        budget.alive()
    budget.charge_frames(3)
    assert budget.frames_left == 2
    budget.charge_frames(4)
    assert budget.frames_left == 0


def test_a_part_has_its_own_frames_and_shares_the_rest() -> None:
    whole = Budget(max_calls=2, max_frames=5)
    one, other = whole.part(), whole.part()
    one.charge_frames(4)
    assert (one.frames_left, other.frames_left, whole.frames_left) == (1, 5, 5)
    one.start()
    other.start()
    with pytest.raises(BudgetExceeded, match="2 of 2"):
        one.start()
    assert whole.reached == other.reached != ""
    other.finish()
    assert one.spent.calls == whole.spent.calls == 1
    whole.stop("enough")
    with pytest.raises(BudgetExceeded, match="enough"):
        other.alive()


def test_from_settings() -> None:
    budget = Budget.of(Settings(budget_usd=1.5, budget_frames=7, budget_calls=3))
    assert (budget.max_usd, budget.max_frames, budget.max_calls) == (1.5, 7, 3)
    assert budget.max_seconds is None


def test_threads_cannot_pass_a_limit_together() -> None:
    budget, made, ready = Budget(max_calls=50), [], threading.Barrier(8)

    def ask() -> None:
        ready.wait()
        while True:
            try:
                budget.start()
            except BudgetExceeded:
                return
            made.append(1)
            budget.finish(usage=Usage(calls=1))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == budget.spent.calls == 50


def test_waiting_for_dollars_that_calls_in_flight_may_leave_over() -> None:
    budget, woken = Budget(max_usd=1.0), []
    with budget.watch(lambda: woken.append(1)):
        assert budget.start(0.7)
        assert not budget.start(0.7, wait=True)
        with pytest.raises(BudgetExceeded):
            budget.start(0.7)
        with pytest.raises(BudgetExceeded):
            budget.start(1.1, wait=True)  # would not fit alone either
        budget.finish(0.7)
        assert woken == [1]
        assert budget.start(0.7, wait=True)


def test_reserved_calls_count_until_they_come() -> None:
    budget = Budget(max_usd=1.0, max_calls=5)
    budget.reserve(0.9, 3)
    with pytest.raises(BudgetExceeded, match=r"\$0\.9000"):
        budget.reserve(0.2, 1)
    with pytest.raises(BudgetExceeded, match="3 of 5"):
        budget.reserve(0.0, 3)
    budget.settle(0.3, None)
    budget.settle(0.3, None)
    budget.settle(0.3, None)
    assert (budget.spent.calls, budget.spent.usd) == (0, 0.0)
    budget.reserve(0.9, 5)


def test_the_usage_log_adds_up_by_role() -> None:
    usage_log = UsageLog()
    usage_log.record(UsageEntry("selector", "s", Usage(calls=1, usd=0.1, images=2), image_tokens=9))
    usage_log.record(UsageEntry("captioner", "s", Usage(calls=1, usd=0.2)))
    usage_log.record(UsageEntry("selector", "s", Usage(calls=2, usd=0.3, images=1), image_tokens=1))
    assert list(usage_log.by_role()) == ["captioner", "selector"]
    assert usage_log.by_role()["selector"].calls == 3
    assert usage_log.total().usd == pytest.approx(0.6)
    assert usage_log.image_tokens() == {"captioner": 0, "selector": 10}
    usage_log.record(UsageEntry("checker", "x", Usage(calls=1, usd=None)))
    assert usage_log.total().usd is None


def test_the_usage_log_of_a_long_run_adds_up_all_and_keeps_the_last() -> None:
    usage_log = UsageLog(kept=10)
    for n in range(1000):
        usage_log.record(UsageEntry("ab"[n % 2], "s", Usage(calls=1, usd=0.5), image_tokens=n))
    assert usage_log.total() == Usage(calls=1000, usd=500.0)
    assert {role: usage.calls for role, usage in usage_log.by_role().items()} == {
        "a": 500,
        "b": 500,
    }
    assert sum(usage_log.image_tokens().values()) == 999 * 500
    assert [entry.image_tokens for entry in usage_log.entries()] == list(range(990, 1000))


def asker(spec: str, budget: Budget) -> Agent:
    model = FakeListChatModel(responses=["fine"])
    return Agent("reasoner", ModelSpec.parse(spec), model, usage_log=UsageLog(), budget=budget)


PROMPT = Prompt("reasoner", "You are the reasoner.", "")


def test_an_agent_asks_before_it_spends() -> None:
    agent = asker("openai:gpt-4o", Budget(max_usd=0.0001))
    with pytest.raises(BudgetExceeded):
        agent.text(PROMPT, [Turn("user", ("word " * 1000,))])
    assert agent.usage_log.entries() == ()
    agent = asker("openai:gpt-4o", Budget(max_usd=1.0))
    reply = agent.text(PROMPT, [Turn("user", ("word " * 1000,))])
    assert reply.usage.usd == agent.budget.spent.usd
    # 1,256 estimated tokens in at $2.50 and one out at $10 a million
    assert reply.usage.usd == pytest.approx(1256 * 2.5e-6 + 1 * 1e-5)


def test_a_dollar_limit_and_an_unknown_price_do_not_go_together() -> None:
    with pytest.raises(SettingsError, match="no known price"):
        asker("openai:new@https://reseller.example/v1", Budget(max_usd=1.0)).text(PROMPT, [])
    reply = asker("openai:new@https://reseller.example/v1", Budget()).text(PROMPT, [])
    assert reply.usage.usd is None
