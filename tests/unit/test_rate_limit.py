"""The line before a provider: limits, order, the gate, threads."""

import random
import threading
import time
from itertools import permutations

import pytest

from videoespresso.models.client.rate_limit import (
    WINDOW_S,
    RateLimit,
    RateLimits,
    Ticket,
)
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings


class Clock:
    """A clock that moves when told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ticket_of(limit: RateLimit, tokens: int = 10) -> Ticket:
    return limit.ticket(tokens)


def through(limit: RateLimit, tokens: int = 10) -> bool:
    """Asks once, and makes the call if it may be made."""
    ticket = ticket_of(limit, tokens)
    if limit.ask(ticket) == 0.0:
        limit.done(ticket)
        return True
    limit.leave(ticket)
    return False


def run(limit: RateLimit, clock: Clock, wanted: list[int]) -> list[tuple[float, int]]:
    """Lets calls of these tokens through one after another: when, and how many tokens."""
    went = []
    for tokens in wanted:
        ticket = ticket_of(limit, tokens)
        while (wait_s := limit.ask(ticket)) != 0.0:
            assert wait_s is not None
            clock.now += wait_s
        went.append((clock.now, tokens))
        limit.done(ticket)
    return went


def test_no_limit_is_no_limit() -> None:
    limit = RateLimit()
    assert all(through(limit) for _ in range(1000))
    assert limit.waiting == 0


def test_calls_in_flight() -> None:
    limit = RateLimit(in_flight=2)
    first, second, third = (ticket_of(limit) for _ in range(3))
    assert (limit.ask(first), limit.ask(second), limit.ask(third)) == (0.0, 0.0, None)
    limit.done(second)
    assert limit.ask(third) == 0.0


def test_requests_in_any_minute() -> None:
    clock = Clock()
    limit = RateLimit(requests_per_minute=10, clock=clock)
    went = [at for at, _ in run(limit, clock, [1] * 35)]
    for k, start in enumerate(went):
        assert sum(start <= at < start + WINDOW_S for at in went[k:]) <= 10
    assert went[-1] - went[0] == pytest.approx(3 * WINDOW_S)  # and no slower than it need be


@pytest.mark.parametrize("seed", range(5))
def test_tokens_in_any_minute(seed: int) -> None:
    clock, chance = Clock(), random.Random(seed)
    limit = RateLimit(tokens_per_minute=1000, clock=clock)
    went = run(limit, clock, [chance.randint(1, 400) for _ in range(100)])
    for k, (start, _) in enumerate(went):
        assert sum(n for at, n in went[k:] if at < start + WINDOW_S) <= 1000
    tokens = sum(n for _, n in went)
    # no window is left with room for the largest call
    assert went[-1][0] - went[0][0] <= (tokens / 600 + 1) * WINDOW_S


def test_what_the_server_reports_settles_the_estimate() -> None:
    clock = Clock()
    limit = RateLimit(tokens_per_minute=1000, clock=clock)
    first = ticket_of(limit, 900)
    assert limit.ask(first) == 0.0
    waiting = ticket_of(limit, 500)
    assert limit.ask(waiting) == WINDOW_S
    limit.done(first, 400)
    assert limit.ask(waiting) == 0.0
    limit.done(waiting, 700)  # more than was thought: the minute is overdrawn and the next waits
    clock.now += 30
    assert limit.ask(ticket_of(limit, 1)) == WINDOW_S - 30


def test_a_call_larger_than_the_minute_goes_when_the_minute_is_empty() -> None:
    clock = Clock()
    limit = RateLimit(tokens_per_minute=100, clock=clock)
    assert [at - 1000.0 for at, _ in run(limit, clock, [500, 500, 1])] == [0.0, 60.0, 120.0]


def test_a_call_that_was_not_made_is_not_counted() -> None:
    limit = RateLimit(in_flight=1, requests_per_minute=1, tokens_per_minute=10)
    ticket = ticket_of(limit)
    assert limit.ask(ticket) == 0.0
    limit.undo(ticket)
    assert through(limit)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_first_come_first_served_whoever_asks_first(order: tuple[int, ...]) -> None:
    limit = RateLimit(in_flight=1)
    busy = ticket_of(limit)
    assert limit.ask(busy) == 0.0
    tickets = [ticket_of(limit) for _ in range(4)]
    for k in order:
        assert limit.ask(tickets[k]) is None
    limit.done(busy)
    went = []
    while len(went) < 4:
        free = [k for k in order if k not in went and limit.ask(tickets[k]) == 0.0]
        assert len(free) == 1
        went += free
        limit.done(tickets[free[0]])
    assert went == [0, 1, 2, 3]


def test_a_small_call_does_not_overtake_a_large_one() -> None:
    clock = Clock()
    limit = RateLimit(tokens_per_minute=100, clock=clock)
    assert through(limit, 60)
    large, small = ticket_of(limit, 80), ticket_of(limit, 1)
    assert limit.ask(large) == WINDOW_S
    assert limit.ask(small) is None
    limit.leave(large)
    assert limit.ask(small) == 0.0


def test_a_retry_keeps_its_place_and_holds_up_nobody_meanwhile() -> None:
    clock = Clock()
    limit = RateLimit(in_flight=1, clock=clock)
    first = ticket_of(limit)
    assert limit.ask(first) == 0.0
    second, third = ticket_of(limit), ticket_of(limit)
    assert limit.ask(second) is None
    limit.done(first)
    limit.pause(first, 5.0)
    assert limit.ask(first) == 5.0
    assert limit.ask(second) == 0.0
    assert limit.ask(third) is None
    clock.now += 5.0
    assert limit.ask(first) is None
    limit.done(second)
    assert limit.ask(third) is None
    assert limit.ask(first) == 0.0


def test_the_gate_is_closed_for_everybody_and_opens_for_one() -> None:
    clock = Clock()
    limit = RateLimit(in_flight=4, clock=clock)
    refused, under_way = ticket_of(limit), ticket_of(limit)
    assert (limit.ask(refused), limit.ask(under_way)) == (0.0, 0.0)
    limit.hold(10.0, "429")
    limit.done(refused, refused=True)
    assert limit.held == (10.0, "429")
    first, second = ticket_of(limit), ticket_of(limit)
    assert (limit.ask(first), limit.ask(second)) == (10.0, None)
    limit.hold(4.0)  # a later end wins
    assert limit.ask(first) == 10.0
    limit.done(under_way)  # sent before the gate was closed: says nothing about now
    clock.now += 10.0
    assert limit.held == (0.0, "")
    assert limit.ask(first) == 0.0
    assert limit.ask(second) is None
    limit.done(first)
    assert limit.ask(second) == 0.0
    assert through(limit)


def test_whoever_stands_first_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[str] = []
    limit = RateLimit(in_flight=1)
    busy, a, b = ticket_of(limit), ticket_of(limit), ticket_of(limit)
    monkeypatch.setattr(a, "wake", lambda: woken.append("a"))
    monkeypatch.setattr(b, "wake", lambda: woken.append("b"))
    assert (limit.ask(busy), limit.ask(a), limit.ask(b)) == (0.0, None, None)
    limit.leave(a)
    assert woken == ["b"]
    limit.done(busy)
    assert woken == ["b", "b"]


def test_waking_before_the_wait_is_not_missed() -> None:
    ticket = ticket_of(RateLimit())
    ticket.wake()
    ticket.wait(None)


def test_sixty_threads_never_pass_the_limit_and_all_get_through() -> None:
    limit, lock = RateLimit(in_flight=5), threading.Lock()
    flying, most, done = 0, 0, 0

    def work(seed: int) -> None:
        nonlocal flying, most, done
        chance = random.Random(seed)
        for _ in range(10):
            ticket = limit.ticket(1)
            while (wait_s := limit.ask(ticket)) != 0.0:
                ticket.wait(wait_s)
            with lock:
                flying += 1
                most = max(most, flying)
            time.sleep(chance.random() / 1000)
            with lock:
                flying -= 1
                done += 1
            if chance.random() < 0.1:
                limit.hold(0.001)
            limit.done(ticket)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (done, flying, limit.waiting) == (600, 0, 0)
    assert 1 < most <= 5


def test_one_limit_a_provider() -> None:
    rate_limits = RateLimits(4, 100, 1000)
    one = rate_limits.limit(ModelSpec.parse("openai:gpt-4o"))
    assert one is rate_limits.limit(ModelSpec.parse("openai:gpt-4o"))
    assert (one.in_flight, one.requests_per_minute, one.tokens_per_minute) == (4, 100, 1000)
    assert one is not rate_limits.limit(ModelSpec.parse("openai:gpt-4o-mini"))
    assert one is not rate_limits.limit(ModelSpec.parse("openai:gpt-4o@http://localhost/v1"))
    assert rate_limits.limit(ModelSpec.parse("embedded:")).in_flight is None
    settings = Settings.load({"concurrency": 3, "requests_per_minute": 7}, environ={})
    assert RateLimits.of(settings) is RateLimits.of(settings)
    assert RateLimits.of(settings) is not RateLimits.of(
        settings.model_copy(update={"concurrency": 4})
    )
    assert RateLimits.of(settings).limit(ModelSpec.parse("openai:x")).requests_per_minute == 7
