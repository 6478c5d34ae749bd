"""A budget: limits in dollars, calls, frames and seconds, enforced where the calls are made."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from videoespresso.errors import BudgetExceeded
from videoespresso.settings import Settings
from videoespresso.types import Usage

_HINT = "What is known so far is kept; raise the limit ({limit}) to go on."


class Budget:
    """Limits of one run, and what was spent. Thread-safe; the clock starts when it is made.

    A call is announced with `start` before it is made and settled with `finish` after, so that
    calls in flight count and N threads cannot pass a limit together. What is announced is the most
    a call can cost, so that a limit in dollars is not passed by what a reply costs in the end; a
    server that bills a call it never answered is the one thing not seen. max_frames counts frames
    decoded (`charge_frames`), max_seconds the wall clock. A price that is not known counts as
    zero here; the agent refuses such a model when max_usd is set.
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
        self._lock = threading.Lock()
        self._spent = Usage()
        self._frames = 0
        self._calls_in_flight = 0
        self._usd_in_flight = 0.0
        self._usd_reserved = 0.0
        self._calls_reserved = 0
        self._stopped = ""
        self._listeners: dict[int, Callable[[], None]] = {}
        self.reached = ""
        """What was said at the first refusal; empty while no limit was reached."""

    @classmethod
    def of(cls, settings: Settings) -> "Budget":
        """The budget that the settings ask for."""
        return cls(
            settings.budget_usd,
            settings.budget_calls,
            settings.budget_frames,
            settings.budget_seconds,
        )

    def part(self) -> "Budget":
        """One question's share: dollars, calls and seconds are counted with all the others',
        frames are its own, because they decide how closely its video is looked at."""
        return _Part(self)

    @property
    def spent(self) -> Usage:
        """What was charged so far; calls in flight are not in it."""
        return self._spent

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

    def check(self) -> None:
        """Raises BudgetExceeded if no further call may be made."""
        with self._lock:
            self._check(None)

    def start(self, usd: float = 0.0, *, wait: bool = False) -> bool:
        """Announces a call that costs at most `usd`. Raises BudgetExceeded if it may not be made.

        wait: False is returned, and nothing announced, when only calls in flight keep it from
        being made; what they leave over may do (`watch` tells when one has ended).
        """
        with self._lock:
            alone = self._usd - self._usd_in_flight + usd  # as if nothing were in flight
            if wait and not self._fits(usd) and alone <= (self.max_usd or 0.0):
                self._check_time()
                return False
            self._check(usd)
            self._calls_in_flight += 1
            self._usd_in_flight += usd
            return True

    def finish(self, usd: float = 0.0, usage: Usage | None = None) -> None:
        """Settles a call announced with the same `usd`: what it really used, if it was answered.

        A call that failed counts as a call all the same: the server saw it.
        """
        with self._lock:
            self._calls_in_flight -= 1
            # never a crumb of rounding that would look like a call in flight
            self._usd_in_flight = self._usd_in_flight - usd if self._calls_in_flight else 0.0
            self._add(usage or Usage(calls=1))
        self._tell()

    def reserve(self, usd: float, calls: int, *, made: bool = False) -> None:
        """Announces calls whose replies may take days (a batch): `settle` them one by one.

        Raises BudgetExceeded, and reserves nothing, when they do not fit. made: they are made
        already, by an earlier run; so they count, and are not refused.
        """
        with self._lock:
            if not made:
                self._check(usd, calls)
            self._usd_reserved += usd
            self._calls_reserved += calls

    def settle(self, usd: float, usage: Usage | None) -> None:
        """One reserved call has come (`usage`), or never will (None: it cost nothing)."""
        with self._lock:
            self._calls_reserved -= 1
            self._usd_reserved = self._usd_reserved - usd if self._calls_reserved else 0.0
            if usage is not None:
                self._add(usage)
        self._tell()

    def stop(self, why: str = "stopped") -> None:
        """No further call is made, and nobody waits for one: each gets BudgetExceeded."""
        self._stopped = why
        self._tell()

    def resume(self) -> None:
        """Calls may be made again after a `stop`, as far as the limits have room by now."""
        with self._lock:
            self._stopped = self.reached = ""

    def alive(self) -> None:
        """Raises BudgetExceeded when the seconds are over or the run was stopped."""
        with self._lock:
            self._check_time()

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        """`wake` is called, from any thread, when a call has ended and when the run is stopped."""
        with self._lock:
            self._listeners[id(wake)] = wake
        try:
            yield
        finally:
            with self._lock:
                del self._listeners[id(wake)]

    def charge(self, usage: Usage) -> None:
        """Adds what was used outside `start` and `finish`. Never raises: it is spent already."""
        with self._lock:
            self._add(usage)

    def charge_frames(self, frames: int) -> None:
        """Counts frames that were decoded; `frames_left` says how many more may be."""
        with self._lock:
            self._frames += frames

    def _add(self, usage: Usage) -> None:
        # the budget adds up what is known: one unknown price must not hide all known ones
        known = usage if usage.usd is not None else usage.model_copy(update={"usd": 0.0})
        self._spent = self._spent + known

    def _check(self, usd: float | None, calls: int = 1) -> None:
        """The limits, with the lock held. usd: the calls' price, None for any call."""
        self._check_time()
        batched = " or set aside for batches" if self._calls_reserved else ""
        if not self._fits(usd):
            more = f", and the next call may cost ${usd:.4f}" if usd else ""
            told = f"${self._usd:.4f} of ${self.max_usd:g} spent{batched}{more}"
            self._refuse(told, "budget_usd")
        made = self._spent.calls + self._calls_in_flight + self._calls_reserved
        if self.max_calls is not None and made + calls > self.max_calls:
            self._refuse(f"{made} of {self.max_calls} model calls made{batched}", "budget_calls")

    def _fits(self, usd: float | None) -> bool:
        """Whether that many dollars may yet be announced; what is free never breaks a limit."""
        if self.max_usd is None:
            return True
        if usd is None:
            return self._usd <= 0.0 or self._usd < self.max_usd
        return not usd or self._usd + usd <= self.max_usd

    @property
    def _usd(self) -> float:
        """Dollars spent and announced."""
        return (self._spent.usd or 0.0) + self._usd_in_flight + self._usd_reserved

    def _check_time(self) -> None:
        if self._stopped:
            self.reached = self.reached or self._stopped
            raise BudgetExceeded(self._stopped, hint="What is known so far is kept.")
        if self.seconds_left == 0.0:
            self._refuse(f"{self.max_seconds:g} seconds are over", "budget_seconds")

    def _tell(self) -> None:
        with self._lock:
            listeners = list(self._listeners.values())
        for wake in listeners:
            wake()

    def _refuse(self, what: str, limit: str) -> None:
        message = f"budget reached: {what}"
        self.reached = self.reached or message
        raise BudgetExceeded(message, hint=_HINT.format(limit=limit))


class _Part(Budget):
    """See `Budget.part`."""

    def __init__(self, whole: Budget) -> None:
        super().__init__(whole.max_usd, whole.max_calls, whole.max_frames, whole.max_seconds)
        self._whole = whole

    @property
    def spent(self) -> Usage:
        return self._whole.spent

    @property
    def seconds_left(self) -> float | None:
        return self._whole.seconds_left

    def check(self) -> None:
        self._whole.check()

    def start(self, usd: float = 0.0, *, wait: bool = False) -> bool:
        return self._whole.start(usd, wait=wait)

    def finish(self, usd: float = 0.0, usage: Usage | None = None) -> None:
        self._whole.finish(usd, usage)

    def charge(self, usage: Usage) -> None:
        self._whole.charge(usage)

    def reserve(self, usd: float, calls: int, *, made: bool = False) -> None:
        self._whole.reserve(usd, calls, made=made)

    def settle(self, usd: float, usage: Usage | None) -> None:
        self._whole.settle(usd, usage)

    def stop(self, why: str = "stopped") -> None:
        self._whole.stop(why)

    def resume(self) -> None:
        self._whole.resume()

    def alive(self) -> None:
        self._whole.alive()

    @contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        with self._whole.watch(wake):
            yield
