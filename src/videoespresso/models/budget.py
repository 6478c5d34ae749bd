"""A budget: limits in dollars, calls, frames and seconds, enforced where the calls are made."""

import threading
import time
from collections.abc import Callable

from videoespresso.errors import BudgetExceeded
from videoespresso.settings import Settings
from videoespresso.types import Usage

_HINT = "What is known so far is kept; raise the limit ({limit}) to go on."


class Budget:
    """Limits of one run, and what was spent. Thread-safe; the clock starts when it is made.

    A call is announced with `start` before it is made and settled with `finish` after, so that
    calls in flight count and N threads cannot pass a limit together. max_frames counts frames
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

    def start(self, usd: float = 0.0) -> None:
        """Announces a call expected to cost `usd`. Raises BudgetExceeded if it may not be made."""
        with self._lock:
            self._check(usd)
            self._calls_in_flight += 1
            self._usd_in_flight += usd

    def finish(self, usd: float = 0.0, usage: Usage | None = None) -> None:
        """Settles a call announced with the same `usd`: what it really used, if it was answered.

        A call that failed counts as a call all the same: the server saw it.
        """
        with self._lock:
            self._calls_in_flight -= 1
            self._usd_in_flight -= usd
            self._add(usage or Usage(calls=1))

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

    def _check(self, usd: float | None) -> None:
        """The limits, with the lock held. usd: the call's expected price, None for any call."""
        spent = (self._spent.usd or 0.0) + self._usd_in_flight
        if self.max_usd is not None and (
            (usd is None and spent > 0.0 and spent >= self.max_usd)
            or (usd and spent + usd > self.max_usd)  # what is free never breaks a dollar limit
        ):
            self._refuse(f"${spent:.4f} of ${self.max_usd:g} spent", "budget_usd")
        calls = self._spent.calls + self._calls_in_flight
        if self.max_calls is not None and calls >= self.max_calls:
            self._refuse(f"{calls} of {self.max_calls} model calls made", "budget_calls")
        if self.seconds_left == 0.0:
            self._refuse(f"{self.max_seconds:g} seconds are over", "budget_seconds")

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

    def start(self, usd: float = 0.0) -> None:
        self._whole.start(usd)

    def finish(self, usd: float = 0.0, usage: Usage | None = None) -> None:
        self._whole.finish(usd, usage)

    def charge(self, usage: Usage) -> None:
        self._whole.charge(usage)
