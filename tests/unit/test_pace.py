"""The line before a provider: limits, order, the gate, threads."""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from itertools import permutations

import pytest

from videoespresso.models.client.rate_limit import WINDOW_S, Alarm, Pace, Paces, Place, TaskAlarm
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings


class Clock:
    """A clock that moves when told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def nobody() -> None:
    """Wakes nobody."""


def placed(pace: Pace, tokens: int = 10, wake: Callable[[], None] = nobody) -> Place:
    return pace.place(tokens, wake)


def through(pace: Pace, tokens: int = 10) -> bool:
    """Asks once, and makes the call if it may be made."""
    place = placed(pace, tokens)
    if pace.ask(place) == 0.0:
        pace.done(place)
        return True
    pace.leave(place)
    return False


def run(pace: Pace, clock: Clock, wanted: list[int]) -> list[tuple[float, int]]:
    """Lets calls of these tokens through one after another: when, and how many tokens."""
    went = []
    for tokens in wanted:
        place = placed(pace, tokens)
        while (wait_s := pace.ask(place)) != 0.0:
            assert wait_s is not None
            clock.now += wait_s
        went.append((clock.now, tokens))
        pace.done(place)
    return went


def test_no_limit_is_no_limit() -> None:
    pace = Pace()
    assert all(through(pace) for _ in range(1000))
    assert pace.waiting == 0


def test_calls_in_flight() -> None:
    pace = Pace(in_flight=2)
    first, second, third = (placed(pace) for _ in range(3))
    assert (pace.ask(first), pace.ask(second), pace.ask(third)) == (0.0, 0.0, None)
    pace.done(second)
    assert pace.ask(third) == 0.0


def test_requests_in_any_minute() -> None:
    clock = Clock()
    pace = Pace(requests_per_minute=10, clock=clock)
    went = [at for at, _ in run(pace, clock, [1] * 35)]
    for k, start in enumerate(went):
        assert sum(start <= at < start + WINDOW_S for at in went[k:]) <= 10
    assert went[-1] - went[0] == pytest.approx(3 * WINDOW_S)  # and no slower than it need be


@pytest.mark.parametrize("seed", range(5))
def test_tokens_in_any_minute(seed: int) -> None:
    clock, chance = Clock(), random.Random(seed)
    pace = Pace(tokens_per_minute=1000, clock=clock)
    went = run(pace, clock, [chance.randint(1, 400) for _ in range(100)])
    for k, (start, _) in enumerate(went):
        assert sum(n for at, n in went[k:] if at < start + WINDOW_S) <= 1000
    tokens = sum(n for _, n in went)
    # no window is left with room for the largest call
    assert went[-1][0] - went[0][0] <= (tokens / 600 + 1) * WINDOW_S


def test_what_the_server_reports_settles_the_estimate() -> None:
    clock = Clock()
    pace = Pace(tokens_per_minute=1000, clock=clock)
    first = placed(pace, 900)
    assert pace.ask(first) == 0.0
    waiting = placed(pace, 500)
    assert pace.ask(waiting) == WINDOW_S
    pace.done(first, 400)
    assert pace.ask(waiting) == 0.0
    pace.done(waiting, 700)  # more than was thought: the minute is overdrawn and the next waits
    clock.now += 30
    assert pace.ask(placed(pace, 1)) == WINDOW_S - 30


def test_a_call_larger_than_the_minute_goes_when_the_minute_is_empty() -> None:
    clock = Clock()
    pace = Pace(tokens_per_minute=100, clock=clock)
    assert [at - 1000.0 for at, _ in run(pace, clock, [500, 500, 1])] == [0.0, 60.0, 120.0]


def test_a_call_that_was_not_made_is_not_counted() -> None:
    pace = Pace(in_flight=1, requests_per_minute=1, tokens_per_minute=10)
    place = placed(pace)
    assert pace.ask(place) == 0.0
    pace.undo(place)
    assert through(pace)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_first_come_first_served_whoever_asks_first(order: tuple[int, ...]) -> None:
    pace = Pace(in_flight=1)
    busy = placed(pace)
    assert pace.ask(busy) == 0.0
    places = [placed(pace) for _ in range(4)]
    for k in order:
        assert pace.ask(places[k]) is None
    pace.done(busy)
    went = []
    while len(went) < 4:
        free = [k for k in order if k not in went and pace.ask(places[k]) == 0.0]
        assert len(free) == 1
        went += free
        pace.done(places[free[0]])
    assert went == [0, 1, 2, 3]


def test_a_small_call_does_not_overtake_a_large_one() -> None:
    clock = Clock()
    pace = Pace(tokens_per_minute=100, clock=clock)
    assert through(pace, 60)
    large, small = placed(pace, 80), placed(pace, 1)
    assert pace.ask(large) == WINDOW_S
    assert pace.ask(small) is None
    pace.leave(large)
    assert pace.ask(small) == 0.0


def test_a_retry_keeps_its_place_and_holds_up_nobody_meanwhile() -> None:
    clock = Clock()
    pace = Pace(in_flight=1, clock=clock)
    first = placed(pace)
    assert pace.ask(first) == 0.0
    second, third = placed(pace), placed(pace)
    assert pace.ask(second) is None
    pace.done(first)
    pace.pause(first, 5.0)
    assert pace.ask(first) == 5.0
    assert pace.ask(second) == 0.0
    assert pace.ask(third) is None
    clock.now += 5.0
    assert pace.ask(first) is None
    pace.done(second)
    assert pace.ask(third) is None
    assert pace.ask(first) == 0.0


def test_the_gate_is_closed_for_everybody_and_opens_for_one() -> None:
    clock = Clock()
    pace = Pace(in_flight=4, clock=clock)
    refused, under_way = placed(pace), placed(pace)
    assert (pace.ask(refused), pace.ask(under_way)) == (0.0, 0.0)
    pace.hold(10.0, "429")
    pace.done(refused, refused=True)
    assert pace.held == (10.0, "429")
    first, second = placed(pace), placed(pace)
    assert (pace.ask(first), pace.ask(second)) == (10.0, None)
    pace.hold(4.0)  # a later end wins
    assert pace.ask(first) == 10.0
    pace.done(under_way)  # sent before the gate was closed: says nothing about now
    clock.now += 10.0
    assert pace.held == (0.0, "")
    assert pace.ask(first) == 0.0
    assert pace.ask(second) is None
    pace.done(first)
    assert pace.ask(second) == 0.0
    assert through(pace)


def test_whoever_stands_first_is_woken() -> None:
    woken: list[str] = []
    pace = Pace(in_flight=1)
    busy = placed(pace)
    assert pace.ask(busy) == 0.0
    a = placed(pace, wake=lambda: woken.append("a"))
    b = placed(pace, wake=lambda: woken.append("b"))
    assert (pace.ask(a), pace.ask(b)) == (None, None)
    pace.leave(a)
    assert woken == ["b"]
    pace.done(busy)
    assert woken == ["b", "b"]


def test_an_alarm_rung_before_the_wait_is_not_missed() -> None:
    alarm = Alarm()
    alarm.ring()
    alarm.wait(None)

    async def tasks() -> None:
        waiting = TaskAlarm()
        threading.Thread(target=waiting.ring).start()
        await waiting.wait(None)
        await waiting.wait(0.0)

    asyncio.run(tasks())


def test_sixty_threads_never_pass_the_limit_and_all_get_through() -> None:
    pace, lock = Pace(in_flight=5), threading.Lock()
    flying, most, done = 0, 0, 0

    def work(seed: int) -> None:
        nonlocal flying, most, done
        chance, alarm = random.Random(seed), Alarm()
        for _ in range(10):
            place = pace.place(1, alarm.ring)
            while (wait_s := pace.ask(place)) != 0.0:
                alarm.wait(wait_s)
            with lock:
                flying += 1
                most = max(most, flying)
            time.sleep(chance.random() / 1000)
            with lock:
                flying -= 1
                done += 1
            if chance.random() < 0.1:
                pace.hold(0.001)
            pace.done(place)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (done, flying, pace.waiting) == (600, 0, 0)
    assert 1 < most <= 5


def test_one_pace_a_provider() -> None:
    paces = Paces(4, 100, 1000)
    one = paces.pace(ModelSpec.parse("openai:gpt-4o"))
    assert one is paces.pace(ModelSpec.parse("openai:gpt-4o"))
    assert (one.in_flight, one.requests_per_minute, one.tokens_per_minute) == (4, 100, 1000)
    assert one is not paces.pace(ModelSpec.parse("openai:gpt-4o-mini"))
    assert one is not paces.pace(ModelSpec.parse("openai:gpt-4o@http://localhost/v1"))
    assert paces.pace(ModelSpec.parse("embedded:")).in_flight is None
    settings = Settings.load({"concurrency": 3, "requests_per_minute": 7}, environ={})
    assert Paces.of(settings) is Paces.of(settings)
    assert Paces.of(settings) is not Paces.of(settings.model_copy(update={"concurrency": 4}))
    assert Paces.of(settings).pace(ModelSpec.parse("openai:x")).requests_per_minute == 7
