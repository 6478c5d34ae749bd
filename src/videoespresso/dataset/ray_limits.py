"""Limits and pace of a run whose workers are many processes: one desk holds the real ones, so they
are those of the whole run. What each worker has of it is in desk_worker.py; nothing in either knows
how the two talk (cluster.py does). Whoever must wait sleeps until the desk rings.
"""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from videoespresso.errors import BudgetExceeded
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.rate_limit import RateLimit, RateLimits, Ticket
from videoespresso.models.client.usage import UsageEntry, UsageLog
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings
from videoespresso.types import Usage

Wake = Callable[[], None]

Asked = Callable[..., Any]
"""(name, *arguments): calls that method of the desk for this worker; raises where it is gone."""


class DeskBudget(Budget):
    """A worker's part of the desk's budget. seconds_left: of the run, when the worker began; the
    clock goes on here. Frames are limited by the sampling plan (build.open_dataset_context)."""

    def __init__(self, asked: Asked, settings: Settings, seconds_left: float | None) -> None:
        super().__init__(settings.budget_usd, settings.budget_calls, None, seconds_left)
        self._asked = asked

    def start(self, usd: float = 0.0, *, wait: bool = False) -> bool:
        """See `Budget`."""
        came = self._asked("start", usd, wait)
        self._raise(came)
        return bool(came)

    def finish(self, usd: float = 0.0, usage: Usage | None = None) -> None:
        """See `Budget`; who waits for it here is rung by the desk."""
        self._asked("finish", usd, usage)

    def _raise(self, came: object) -> None:
        if isinstance(came, BudgetExceeded):
            self._counts.reached = self.reached or str(came)
            raise came


class DeskPace(RateLimit):
    """The line before one provider, which is at the desk."""

    def __init__(self, spec: ModelSpec, asked: Asked, bells: "Bells") -> None:
        super().__init__()
        self._spec, self._asked, self._bells = spec, asked, bells

    def ticket(self, tokens: int) -> Ticket:
        """See `RateLimit`."""
        ticket = Ticket(0, tokens)
        ticket.number = self._bells.hang(ticket.wake)
        return ticket

    def ask(self, ticket: Ticket) -> float | None:
        """See `RateLimit`."""
        pause_s = max(0.0, ticket.not_before - time.monotonic())
        wait_s: float | None = self._asked("ask", self._spec, ticket.number, ticket.tokens, pause_s)
        return wait_s

    def done(self, ticket: Ticket, tokens: int | None = None, *, refused: bool = False) -> None:
        """See `RateLimit`."""
        self._asked("done", ticket.number, tokens, refused)

    def undo(self, ticket: Ticket) -> None:
        """See `RateLimit`."""
        self._asked("undo", ticket.number)

    def leave(self, ticket: Ticket) -> None:
        """See `RateLimit`."""
        self._bells.take_down(ticket.number)
        self._asked("leave", ticket.number)

    def hold(self, seconds: float, why: str = "") -> None:
        """See `RateLimit`."""
        self._asked("hold", self._spec, seconds, why)

    @property
    def held(self) -> tuple[float, str]:
        """See `RateLimit`."""
        seconds, why = self._asked("held", self._spec)
        return seconds, why


class Bells:
    """The alarms of a worker's callers, by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._bells: dict[int, Wake] = {}

    def hang(self, wake: Wake) -> int:
        """Its number from now on."""
        with self._lock:
            number = next(self._numbers)
            self._bells[number] = wake
        return number

    def take_down(self, number: int) -> None:
        """Nobody is there any more."""
        with self._lock:
            self._bells.pop(number, None)

    def ring(self, number: int) -> None:
        """Wakes that one, if there still."""
        with self._lock:
            wake = self._bells.get(number)
        if wake is not None:
            wake()


class DeskPaces(RateLimits):
    """One pace a provider, all at the desk; models in this process are not paced."""

    def __init__(self, asked: Asked, bells: Bells) -> None:
        super().__init__()
        self._asked, self._bells = asked, bells

    def limit(self, spec: ModelSpec) -> RateLimit:
        """See `RateLimits`."""
        return RateLimit() if spec.in_process else DeskPace(spec, self._asked, self._bells)


class DeskLedger(UsageLog):
    """A usage log whose lines go to the desk as well."""

    def __init__(self, told: Asked) -> None:
        super().__init__()
        self._told = told

    def record(self, entry: UsageEntry) -> None:
        """See `UsageLog`."""
        super().record(entry)
        self._told("entry", entry)


LISTEN_S: Final = 20.0
"""How long the desk keeps a worker's line open before it says that nothing happened."""


class Rung(NamedTuple):
    """What the desk tells a worker. places: whose alarms ring; ended: some call has ended; stop:
    the run is to end."""

    places: tuple[int, ...] = ()
    ended: bool = False
    stop: bool = False


class News(NamedTuple):
    """What the desk tells the run: stages done and found done since the last time, money, usage."""

    stages: Counter[str]
    known: Counter[str]
    spent: Usage
    reached: str
    usage: dict[str, Usage]


@dataclass
class _Seat:
    """One worker. flying: the most each call under way can cost. through: places whose calls were
    let through, left: those of them that nobody will ask for again."""

    places: dict[int, tuple[RateLimit, Ticket]] = field(default_factory=dict)
    flying: list[float] = field(default_factory=list)
    through: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)
    rung: set[int] = field(default_factory=set)
    ended: bool = False
    told: asyncio.Event = field(default_factory=asyncio.Event)


class Desk:
    """The real budget, rate_limits and usage log. All methods run on one event loop, one at a time.

    A worker that is gone (`lost`) gets nothing any more, and its calls under way count as made, for
    the most they can cost: its server may have billed them.
    """

    def __init__(self, settings: Settings) -> None:
        self._budget, self._usage_log = Budget.of(settings), UsageLog()
        self._paces = RateLimits(
            settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute
        )
        self._seats: dict[str, _Seat] = {}
        self._stages: Counter[str] = Counter()
        self._known: Counter[str] = Counter()
        self._stop = False

    async def sit(self, worker: str) -> float | None:
        """Registers a worker; the seconds that are left, None is no limit."""
        self._seats[worker] = _Seat()
        return self._budget.seconds_left

    async def listen(self, worker: str, stopped: bool) -> Rung | None:
        """What has happened, as soon as something has. None: the worker counts as lost.

        stopped: the worker knows already that the run is to end.
        """
        if (seat := self._seats.get(worker)) is None:
            return None
        if not (seat.rung or seat.ended or (self._stop and not stopped)):
            seat.told.clear()
            try:
                async with asyncio.timeout(LISTEN_S):
                    await seat.told.wait()
            except TimeoutError:
                pass
        rung = Rung(tuple(sorted(seat.rung)), seat.ended, self._stop)
        seat.rung, seat.ended = set(), False
        return rung if worker in self._seats else None

    async def lost(self, worker: str) -> None:
        """The worker is dead, or counts as such."""
        seat = self._seats.pop(worker, None)
        if seat is None:
            return
        seat.told.set()
        for number, (pace, place) in seat.places.items():
            if number in seat.through:
                pace.done(place)
            else:
                pace.leave(place)
        for usd in seat.flying:
            self._budget.finish(usd, Usage(calls=1, usd=usd))
        self._call_ended()

    async def stop(self) -> None:
        """The run is to end."""
        self._stop = True
        for seat in self._seats.values():
            seat.told.set()

    async def news(self) -> News:
        """See `News`."""
        told = News(
            self._stages,
            self._known,
            self._budget.spent,
            self._budget.reached,
            self._usage_log.by_role(),
        )
        self._stages, self._known = Counter(), Counter()
        return told

    # ---- what workers tell

    async def stage(self, worker: str, name: str, known: bool) -> None:
        """A stage was done, or found done."""
        (self._known if known else self._stages)[name] += 1

    async def entry(self, worker: str, entry: UsageEntry) -> None:
        """A line for the usage log."""
        self._usage_log.record(entry)

    async def heard(self, worker: str) -> None:
        """Asked for after telling: what a worker told before has come when this is answered."""

    # ---- the budget

    async def start(self, worker: str, usd: float, wait: bool) -> bool | BudgetExceeded:
        """See `Budget.start`; a refusal is returned, as errors change on their way."""
        if (seat := self._seats.get(worker)) is None:
            return BudgetExceeded("this worker was given up")
        try:
            may = self._budget.start(usd, wait=wait)
        except BudgetExceeded as error:
            return error
        if may:
            seat.flying.append(usd)
        return may

    async def finish(self, worker: str, usd: float, usage: Usage | None) -> None:
        """See `Budget.finish`; of a worker that is gone it has been counted."""
        if (seat := self._seats.get(worker)) is not None:
            seat.flying.remove(usd)
            self._budget.finish(usd, usage)
            self._call_ended()

    def _call_ended(self) -> None:
        for seat in self._seats.values():
            seat.ended = True
            seat.told.set()

    # ---- the rate_limits

    async def ask(
        self, worker: str, spec: ModelSpec, number: int, tokens: int, pause_s: float
    ) -> float | None:
        """See `RateLimit.ask`. number: the worker's own for its place. pause_s: of a retry."""
        if (seat := self._seats.get(worker)) is None:
            return LISTEN_S
        pace = self._paces.limit(spec)
        if number not in seat.places:

            def ring() -> None:
                seat.rung.add(number)
                seat.told.set()

            seat.places[number] = (pace, pace.ticket(tokens))
            seat.places[number][1].wake = ring  # type: ignore[method-assign]  # it waits elsewhere
        place = seat.places[number][1]
        place.not_before = time.monotonic() + pause_s if pause_s > 0.0 else 0.0
        wait_s = pace.ask(place)
        if wait_s == 0.0:
            seat.through.add(number)
        return wait_s

    async def done(self, worker: str, number: int, tokens: int | None, refused: bool) -> None:
        """See `RateLimit.done`."""
        if found := self._through(worker, number):
            found[0].done(found[1], tokens, refused=refused)

    async def undo(self, worker: str, number: int) -> None:
        """See `RateLimit.undo`."""
        if found := self._through(worker, number):
            found[0].undo(found[1])

    async def leave(self, worker: str, number: int) -> None:
        """See `RateLimit.leave`; a call that was let through may end after it."""
        seat = self._seats.get(worker)
        if seat is None or number not in seat.places:
            return
        if number in seat.through:
            seat.left.add(number)
        else:
            pace, place = seat.places.pop(number)
            pace.leave(place)

    async def hold(self, worker: str, spec: ModelSpec, seconds: float, why: str) -> None:
        """See `RateLimit.hold`."""
        self._paces.limit(spec).hold(seconds, why)

    async def held(self, worker: str, spec: ModelSpec) -> tuple[float, str]:
        """See `RateLimit.held`."""
        return self._paces.limit(spec).held

    def _through(self, worker: str, number: int) -> tuple[RateLimit, Ticket] | None:
        """A place whose call was let through, and now is not any more."""
        seat = self._seats.get(worker)
        if seat is None or number not in seat.through:
            return None
        seat.through.discard(number)
        if number in seat.left:
            seat.left.discard(number)
            return seat.places.pop(number)
        return seat.places[number]
