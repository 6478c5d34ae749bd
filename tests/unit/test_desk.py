"""Limits and pace of many workers at one desk, without a cluster: the desk on an event loop of its
own, the workers threads that ask it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from videoespresso.dataset.ray_limits import Bells, Desk, DeskBudget, DeskLedger, DeskPaces, Rung
from videoespresso.errors import BudgetExceeded
from videoespresso.models.client.usage import UsageEntry
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings
from videoespresso.types import Usage

SPEC = ModelSpec.parse("openai:tester@http://127.0.0.1:9/v1")


class Office:
    """A desk and the way to it."""

    def __init__(self, **given: Any) -> None:
        self.settings = Settings.load(given, environ={})
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.desk = Desk(self.settings)

    def ask(self, name: str, *arguments: Any) -> Any:
        method = getattr(self.desk, name)(*arguments)
        return asyncio.run_coroutine_threadsafe(method, self.loop).result(60)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Clerk:
    """A worker's end: budget, rate_limits, and the thread that listens."""

    def __init__(self, office: Office, name: str) -> None:
        self.office, self.name = office, name
        self.bells = Bells()
        self.budget = DeskBudget(self.ask, office.settings, self.ask("sit"))
        self.pace = DeskPaces(self.ask, self.bells).limit(SPEC)
        self.stopped = False
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def ask(self, name: str, *arguments: Any) -> Any:
        return self.office.ask(name, self.name, *arguments)

    def listen(self) -> None:
        while (rung := self.ask("listen", self.stopped)) is not None:
            assert isinstance(rung, Rung)
            self.stopped = self.stopped or rung.stop
            for number in rung.places:
                self.bells.ring(number)
            if rung.ended:
                self.budget.notify()

    def call(self, usd: float = 0.0, work: Any = lambda: None) -> None:
        """As retry.py does it: in line, announced, made; done is told after leaving."""
        place = self.pace.ticket(100)
        with self.budget.watch(place.wake):
            try:
                while True:
                    wait_s = self.pace.ask(place)
                    if wait_s == 0.0:
                        try:
                            may = self.budget.start(usd, wait=True)
                        except BudgetExceeded:
                            self.pace.undo(place)
                            raise
                        if may:
                            break
                        self.pace.undo(place)
                        wait_s = None
                    place.wait(wait_s)
                work()
                self.budget.finish(usd, Usage(calls=1, usd=usd / 2))
            finally:
                self.pace.leave(place)
        self.pace.done(place, 100)


@pytest.fixture
def opened() -> Iterator[Any]:
    """Makes an office with workers; all are gone afterwards."""
    made: list[Any] = []

    def make(workers: int, **given: Any) -> tuple[Office, list[Clerk]]:
        office = Office(**given)
        clerks = [Clerk(office, f"w{k}") for k in range(workers)]
        made.append((office, clerks))
        return office, clerks

    yield make
    for office, clerks in made:
        for clerk in clerks:
            office.ask("lost", clerk.name)
            clerk.thread.join(60)
        office.close()


def at_once(clerks: list[Clerk], each: int, work: Any) -> list[BaseException]:
    """`each` threads a worker; what they raised."""
    raised: list[BaseException] = []

    def run(clerk: Clerk) -> None:
        try:
            work(clerk)
        except BudgetExceeded as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(c,)) for c in clerks for _ in range(each)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a caller was never let through"
    return raised


class Counted:
    """What is under way at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.all = 0

    def __call__(self) -> None:
        with self.lock:
            self.now += 1
            self.all += 1
            self.most = max(self.most, self.now)
        time.sleep(0.01)
        with self.lock:
            self.now -= 1


def test_calls_of_all_workers_together_are_no_more_than_allowed(opened: Any) -> None:
    office, clerks = opened(3, budget_calls=10, concurrency=8)
    counted = Counted()
    raised = at_once(clerks, 8, lambda clerk: clerk.call(work=counted))
    assert counted.all == 10
    assert len(raised) == 14
    assert office.ask("news").spent.calls == 10
    assert "10 of 10" in office.ask("news").reached


def test_calls_at_a_time_are_of_all_workers_together(opened: Any) -> None:
    _, clerks = opened(3, concurrency=2)
    counted = Counted()
    assert at_once(clerks, 5, lambda clerk: clerk.call(work=counted)) == []
    assert counted.all == 15
    assert counted.most == 2


def test_dollars_wait_for_what_the_calls_of_others_leave_over(opened: Any) -> None:
    office, clerks = opened(2, budget_usd=1.0, concurrency=8)
    counted = Counted()
    # announced 0.4, costing 0.2: never more than two under way, and four fit in all
    raised = at_once(clerks, 4, lambda clerk: clerk.call(0.4, counted))
    assert counted.most <= 2
    assert counted.all == 4
    assert len(raised) == 4
    assert office.ask("news").spent.usd == pytest.approx(0.8)


def test_requests_a_minute_are_counted_over_all_workers(opened: Any) -> None:
    _, clerks = opened(2, requests_per_minute=3, concurrency=8)
    asked = [clerk.pace.ask(clerk.pace.ticket(1)) for clerk in clerks * 2]
    assert asked[:3] == [0.0, 0.0, 0.0]
    assert 50.0 < asked[3] <= 60.0


def test_a_gate_that_one_worker_closes_is_closed_for_all(opened: Any) -> None:
    _, (one, other) = opened(2, concurrency=8)
    one.pace.hold(30.0, "too many requests")
    held_s, why = other.pace.held
    assert 20.0 < held_s <= 30.0
    assert why == "too many requests"


def test_calls_of_a_dead_worker_count_and_its_places_are_free(opened: Any) -> None:
    office, (dead, other) = opened(2, budget_usd=1.0, budget_calls=5, concurrency=1)
    place = dead.pace.ticket(1)
    assert dead.pace.ask(place) == 0.0
    assert dead.budget.start(0.7)
    office.ask("lost", dead.name)
    spent = office.ask("news").spent
    assert (spent.calls, spent.usd) == (1, pytest.approx(0.7))
    other.call(0.2)
    with pytest.raises(BudgetExceeded, match="given up"):
        dead.budget.start(0.0)
    dead.budget.finish(0.7, Usage(calls=1, usd=0.7))  # it was not dead: it is not counted twice
    assert office.ask("news").spent.calls == 2


def test_stop_is_heard_and_usage_is_added_up(opened: Any) -> None:
    office, clerks = opened(2)
    for clerk in clerks:
        entry = UsageEntry("captioner", str(SPEC), Usage(calls=1, usd=0.5))
        DeskLedger(clerk.ask).record(entry)
        clerk.ask("stage", "write", False)
    news = office.ask("news")
    assert news.usage["captioner"].calls == 2
    assert news.stages == {"write": 2}
    assert office.ask("news").stages == {}
    office.ask("stop")
    until = time.monotonic() + 60
    while not all(clerk.stopped for clerk in clerks) and time.monotonic() < until:
        time.sleep(0.01)
    assert all(clerk.stopped for clerk in clerks)
