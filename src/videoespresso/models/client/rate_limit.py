"""How fast a provider is called: one line for all callers, so that none of them overruns it."""

import os
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable
from itertools import count

from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings

WINDOW_S = 60.0
"""Requests and tokens are counted over the last minute, whenever it began: providers differ in
when theirs begins, and none sees more than the limit in any of them."""

_WINDOWS = os.name == "nt"
"""It hands over Ctrl-C only between two waits."""

_LOCK = threading.Lock()
_SHARED: dict[tuple[int, int | None, int | None], "RateLimits"] = {}


class _Counted:
    """A call of the last minute."""

    __slots__ = ("at", "tokens")

    def __init__(self, at: float, tokens: int) -> None:
        self.at, self.tokens = at, tokens


class Ticket:
    """A caller's place in the line, kept over its retries: who came first goes first.

    tokens: what the call is expected to take. not_before: a moment of the limit's clock.
    """

    def __init__(self, number: int, tokens: int) -> None:
        self.number, self.tokens = number, tokens
        self.not_before = 0.0
        self.closings = -1
        self.counted: _Counted | None = None
        self._woken = threading.Event()

    def __lt__(self, other: "Ticket") -> bool:
        return self.number < other.number

    def wake(self) -> None:
        """Ends the wait, or the next one; from any thread."""
        self._woken.set()

    def wait(self, seconds: float | None) -> None:
        """Until woken, or until the seconds are over; None is no end. It may end earlier."""
        if _WINDOWS:
            seconds = min(1.0 if seconds is None else seconds, 1.0)
        self._woken.wait(seconds)
        self._woken.clear()


class RateLimit:
    """The line before one provider. Thread-safe.

    in_flight: calls at a time. requests_per_minute, tokens_per_minute: over any minute, counted
    when a call is let through; tokens are an estimate until the reply says what they were. None
    is no limit. A call larger than the whole minute's tokens goes when the minute is empty.

    Nobody polls: a caller learns how long to wait, or waits until its ticket is woken. First come,
    first served, retries at the place they had. `hold` closes the gate for everybody; when it
    opens one call goes alone, and the others follow once it was not refused.
    """

    def __init__(
        self,
        *,
        in_flight: int | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.in_flight = in_flight
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = count()
        self._line: list[Ticket] = []
        self._flying = 0
        self._recent: deque[_Counted] = deque()
        self._recent_tokens = 0
        self._opens = 0.0
        self._why = ""
        self._closings = 0
        self._alone = False

    def ticket(self, tokens: int) -> Ticket:
        """The next number. It holds up nobody until `ask` is called with it."""
        return Ticket(next(self._numbers), tokens)

    def ask(self, ticket: Ticket) -> float | None:
        """0.0: the call is let through, and `done` must follow. Else seconds until it is worth
        asking again, None for "when woken"; the ticket is in the line from now on."""
        with self._lock:
            now = self._clock()
            if ticket.not_before > now:  # sits out its own pause beside the line
                self._remove(ticket)
                return ticket.not_before - now
            if ticket not in self._line:
                insort(self._line, ticket)
            if self._line[0] is not ticket:
                return None
            if self._opens > now:
                return self._opens - now
            most = 1 if self._alone else self.in_flight
            if most is not None and self._flying >= most:
                return None
            wait_s = self._window_s(ticket.tokens, now)
            if wait_s > 0.0:
                return wait_s
            self._let_through(ticket, now)
            return 0.0

    def done(self, ticket: Ticket, tokens: int | None = None, *, refused: bool = False) -> None:
        """The call has ended. tokens: what it took, None for what was estimated. refused: the
        server is too busy; call `hold` before this, else the next is let through meanwhile."""
        with self._lock:
            self._flying -= 1
            if ticket.counted is not None and tokens is not None:
                if ticket.counted.at > self._clock() - WINDOW_S:
                    self._recent_tokens += tokens - ticket.counted.tokens
                    ticket.counted.tokens = tokens
                ticket.counted = None
            if not refused and ticket.closings == self._closings:
                self._alone = False
            self._wake_first()

    def undo(self, ticket: Ticket) -> None:
        """The call was let through and will not be made."""
        with self._lock:
            self._flying -= 1
            if ticket.counted is not None:
                if ticket.counted in self._recent:
                    self._recent.remove(ticket.counted)
                    self._recent_tokens -= ticket.counted.tokens
                ticket.counted = None
            self._wake_first()

    def leave(self, ticket: Ticket) -> None:
        """Gives the place up, whether it is in the line or not."""
        with self._lock:
            self._remove(ticket)

    def pause(self, ticket: Ticket, seconds: float) -> None:
        """Keeps one caller back: its own pause between two tries."""
        ticket.not_before = self._clock() + seconds

    def hold(self, seconds: float, why: str = "") -> None:
        """Nobody is let through for that long: the server asked for it. A later end wins."""
        with self._lock:
            self._opens = max(self._opens, self._clock() + seconds)
            self._why = why
            self._closings += 1
            self._alone = True

    @property
    def held(self) -> tuple[float, str]:
        """Seconds until the gate opens, and why it was closed; (0.0, "") when it is open."""
        with self._lock:
            left = self._opens - self._clock()
            return (left, self._why) if left > 0.0 else (0.0, "")

    @property
    def waiting(self) -> int:
        """How many stand in the line."""
        return len(self._line)

    def _let_through(self, ticket: Ticket, now: float) -> None:
        self._line.pop(0)
        self._flying += 1
        ticket.closings = self._closings
        if self.requests_per_minute is not None or self.tokens_per_minute is not None:
            ticket.counted = _Counted(now, ticket.tokens)
            self._recent.append(ticket.counted)
            self._recent_tokens += ticket.tokens
        self._wake_first()

    def _window_s(self, tokens: int, now: float) -> float:
        """Seconds until a call of that many tokens fits into the last minute."""
        recent = self._recent
        while recent and recent[0].at <= now - WINDOW_S:
            self._recent_tokens -= recent.popleft().tokens
        expires = now
        if self.requests_per_minute is not None and len(recent) >= self.requests_per_minute:
            expires = recent[len(recent) - self.requests_per_minute].at + WINDOW_S
        if self.tokens_per_minute is not None:
            over = self._recent_tokens + tokens - self.tokens_per_minute
            for counted in recent:
                if over <= 0:
                    break
                over -= counted.tokens
                expires = max(expires, counted.at + WINDOW_S)
        return expires - now

    def _remove(self, ticket: Ticket) -> None:
        if ticket in self._line:
            self._line.remove(ticket)
            self._wake_first()

    def _wake_first(self) -> None:
        if self._line:
            self._line[0].wake()


class RateLimits:
    """One limit a provider: all agents on the same model at the same address share it.

    in_flight, requests_per_minute and tokens_per_minute are each provider's, not the sum of all.
    Models in this process have none.
    """

    def __init__(
        self,
        in_flight: int | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> None:
        self._limits = (in_flight, requests_per_minute, tokens_per_minute)
        self._lock = threading.Lock()
        self._by_model: dict[ModelSpec, RateLimit] = {}

    @classmethod
    def of(cls, settings: Settings) -> "RateLimits":
        """The limits that the settings ask for, one for the whole process: questions asked at
        the same time have contexts of their own and call the same provider."""
        limits = settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute
        with _LOCK:
            return _SHARED.setdefault(limits, cls(*limits))

    def limit(self, spec: ModelSpec) -> RateLimit:
        """The line before that model."""
        if spec.in_process:
            return RateLimit()
        with self._lock:
            if spec not in self._by_model:
                in_flight, requests, tokens = self._limits
                self._by_model[spec] = RateLimit(
                    in_flight=in_flight, requests_per_minute=requests, tokens_per_minute=tokens
                )
            return self._by_model[spec]
