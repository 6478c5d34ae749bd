"""A budget: limits in dollars, calls, frames and seconds, enforced where the calls are made."""

import copy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from videoespresso.errors import BudgetExceeded
from videoespresso.settings import Settings
from videoespresso.types import Usage

_HINT = "What is known so far is kept; raise the limit ({limit}) to go on."


@dataclass
class _Counts:
    """What was spent and what is announced; the parts of a budget share one."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    spent: Usage = field(default_factory=Usage)
    used: Usage = field(default_factory=Usage)
    calls_in_flight: int = 0
    usd_in_flight: float = 0.0
    calls_reserved: int = 0
    usd_reserved: float = 0.0
    stopped: str = ""
    reached: str = ""
    listeners: dict[int, Callable[[], None]] = field(default_factory=dict)

    @property
    def usd(self) -> float:
        """Dollars spent and announced."""
        return (self.spent.usd or 0.0) + self.usd_in_flight + self.usd_reserved

    @property
    def calls(self) -> int:
        """Calls made and announced."""
        return self.spent.calls + self.calls_in_flight + self.calls_reserved

    def add(self, usage: Usage) -> None:
        """Adds up what is known: one unknown price must not hide all known ones."""
        known = usage if usage.usd is not None else usage.model_copy(update={"usd": 0.0})
        self.spent, self.used = self.spent + known, self.used + usage


class Budget:
    """Limits of one run, and what was spent. Thread-safe; the clock starts when it is made.

    A call is announced with `start` before it is made and settled with `finish` after, so that
    calls in flight count and N threads cannot pass a limit together. What is announced is the most
    a call can cost, so that a limit in dollars is not passed by what a reply costs in the end; a
    server that bills a call it never answered is the one thing not seen. max_frames counts frames
    decoded (`charge_frames`), max_seconds the wall clock. A price that is not known counts as
    zero here; such a model is refused when max_usd is set (usage.known_price).
    """

    def __init__(
        self,
        max_usd: float | None = None,
        max_calls: int | None = None,
        max_frames: int | None = None,
        max_seconds: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_usd = max_usd
        self.max_calls = max_calls
        self.max_frames = max_frames
        self.max_seconds = max_seconds
        self._clock = clock
        self._started = clock()
        self._frames = 0
        self._counts = _Counts()

    @classmethod
    def of(cls, settings: Settings) -> "Budget":
        """The budget that the settings ask for."""
        return cls(
            settings.budget_usd,
            settings.budget_calls,
            settings.budget_frames,
            settings.budget_seconds,
        )

    def part(self) -> Self:
        """One question's share: dollars, calls and seconds are counted with all the others',
        frames are its own, because they decide how closely its video is looked at."""
        share = copy.copy(self)
        share._frames = 0
        return share

    @property
    def spent(self) -> Usage:
        """What was charged so far; calls in flight are not in it."""
        return self._counts.spent

    @property
    def used(self) -> Usage:
        """As `spent`; `usd` is None as soon as one model's price is not known."""
        return self._counts.used

    @property
    def reached(self) -> str:
        """What the first refusal said; empty while no limit was reached."""
        return self._counts.reached

    @property
    def frames_left(self) -> int | None:
        """How many more frames may be looked at; None is no limit."""
        return None if self.max_frames is None else max(0, self.max_frames - self._frames)

    @property
    def seconds_left(self) -> float | None:
        """Wall-clock seconds until the limit; None is no limit."""
        if self.max_seconds is None:
            return None
        return max(0.0, self.max_seconds - (self._clock() - self._started))

    def charge_frames(self, frames: int) -> None:
        """Counts frames that were decoded; `frames_left` says how many more may be."""
        with self._counts.lock:
            self._frames += frames

    # ---- one call

    def start(self, usd: float = 0.0, *, wait: bool = False) -> bool:
        """Announces a call that costs at most `usd`. Raises BudgetExceeded if it may not be made.

        wait: False is returned, and nothing announced, when only calls in flight keep it from
        being made; what they leave over may do (`watch` tells when one has ended).
        """
        counts = self._counts
        with counts.lock:
            alone = counts.usd - counts.usd_in_flight + usd  # as if nothing were in flight
            if wait and not self._fits(usd) and alone <= (self.max_usd or 0.0):
                self._check_time()
                return False
            self._check(usd, 1)
            counts.calls_in_flight += 1
            counts.usd_in_flight += usd
            return True

    def finish(self, usd: float = 0.0, usage: Usage | None = None) -> None:
        """Settles a call announced with the same `usd`: what it really used, if it was answered.

        A call that failed counts as a call all the same: the server saw it.
        """
        counts = self._counts
        with counts.lock:
            counts.calls_in_flight -= 1
            # never a crumb of rounding that would look like a call in flight
            counts.usd_in_flight = counts.usd_in_flight - usd if counts.calls_in_flight else 0.0
            counts.add(usage or Usage(calls=1))
        self.notify()

    # ---- calls of a batch

    def reserve(self, usd: float, calls: int, *, made: bool = False) -> None:
        """Announces calls whose replies may take days (a batch): `settle` them one by one.

        Raises BudgetExceeded, and reserves nothing, when they do not fit. made: they are made
        already, by an earlier run; so they count, and are not refused.
        """
        counts = self._counts
        with counts.lock:
            if not made:
                self._check(usd, calls)
            counts.usd_reserved += usd
            counts.calls_reserved += calls

    def settle(self, usd: float, usage: Usage | None) -> None:
        """One reserved call has come (`usage`), or never will (None: it cost nothing)."""
        counts = self._counts
        with counts.lock:
            counts.calls_reserved -= 1
            counts.usd_reserved = counts.usd_reserved - usd if counts.calls_reserved else 0.0
            if usage is not None:
                counts.add(usage)
        self.notify()

    # ---- the end of a run

    def stop(self, why: str = "stopped") -> None:
        """No further call is made, and nobody waits for one: each gets BudgetExceeded."""
        self._counts.stopped = why
        self.notify()

    def resume(self) -> None:
        """Calls may be made again after a `stop`, as far as the limits have room by now."""
        with self._counts.lock:
            self._counts.stopped = self._counts.reached = ""

    def alive(self) -> None:
        """Raises BudgetExceeded when the seconds are over or the run was stopped."""
        with self._counts.lock:
            self._check_time()

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        """`wake` is called, from any thread, when a call has ended and when the run is stopped."""
        counts = self._counts
        with counts.lock:
            counts.listeners[id(wake)] = wake
        try:
            yield
        finally:
            with counts.lock:
                del counts.listeners[id(wake)]

    def notify(self) -> None:
        """Wakes whoever waits for what calls leave over."""
        with self._counts.lock:
            listeners = list(self._counts.listeners.values())
        for wake in listeners:
            wake()

    # ---- the limits, with the lock held

    def _check(self, usd: float, calls: int) -> None:
        self._check_time()
        batched = " or set aside for batches" if self._counts.calls_reserved else ""
        if not self._fits(usd):
            more = f", and the next call may cost ${usd:.4f}" if usd else ""
            spent = f"${self._counts.usd:.4f} of ${self.max_usd:g} spent{batched}{more}"
            self._refuse(spent, "budget_usd")
        made = self._counts.calls
        if self.max_calls is not None and made + calls > self.max_calls:
            self._refuse(f"{made} of {self.max_calls} model calls made{batched}", "budget_calls")

    def _fits(self, usd: float) -> bool:
        """Whether that many dollars may yet be announced; what is free never breaks a limit."""
        return self.max_usd is None or not usd or self._counts.usd + usd <= self.max_usd

    def _check_time(self) -> None:
        stopped = self._counts.stopped
        if stopped:
            self._counts.reached = self._counts.reached or stopped
            raise BudgetExceeded(stopped, hint="What is known so far is kept.")
        if self.seconds_left == 0.0:
            self._refuse(f"{self.max_seconds:g} seconds are over", "budget_seconds")

    def _refuse(self, what: str, limit: str) -> None:
        message = f"budget reached: {what}"
        self._counts.reached = self._counts.reached or message
        raise BudgetExceeded(message, hint=_HINT.format(limit=limit))
