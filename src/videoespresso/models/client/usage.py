"""What calls take: of one request over all its tries, and of a run by role."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from videoespresso.errors import SettingsError
from videoespresso.models.chat import MAX_TOKENS
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.errors import CutError
from videoespresso.models.client.messages import ModelReply
from videoespresso.models.client.prices import Price, price, text_tokens
from videoespresso.models.client.request import Request
from videoespresso.models.client.structured_output import Attempt
from videoespresso.types import Usage

KEPT = 1000
"""Entries kept for reading; the sums are of all, so that a run of days takes no more memory."""


class UsageEntry(NamedTuple):
    """One call, or one reply taken from the cache.

    images: (width, height) in pixels of each image as sent; a grid is one image. image_tokens:
    an estimate of what they cost (prices.py). reported: the token counts in `usage` are
    the server's own, not estimates. how: the methods tried, as in Reply.how. stored: of a reply
    from the cache, the entry as it was, or would be, without one.
    """

    role: str
    spec: str
    usage: Usage
    images: tuple[tuple[int, int], ...] = ()
    image_tokens: int = 0
    reported: bool = False
    how: tuple[str, ...] = ()
    stored: "UsageEntry | None" = None


class Needed(NamedTuple):
    """Usage, and estimated image tokens."""

    usage: Usage
    image_tokens: int


class UsageLog:
    """Sums over all entries, and the last of them as they were (`kept`). Thread-safe."""

    def __init__(self, kept: int = KEPT) -> None:
        self._lock = threading.Lock()
        self._last: deque[UsageEntry] = deque(maxlen=kept)
        self._usage: dict[str, Usage] = {}
        self._image_tokens: dict[str, int] = {}
        self._needed: dict[str, Needed] = {}

    def record(self, entry: UsageEntry) -> None:
        """Adds an entry."""
        role = entry.role
        with self._lock:
            self._last.append(entry)
            self._usage[role] = self._usage.get(role, Usage()) + entry.usage
            self._image_tokens[role] = self._image_tokens.get(role, 0) + entry.image_tokens
            usage, image_tokens = self._needed.get(role, Needed(Usage(), 0))
            full = entry.stored or entry
            self._needed[role] = Needed(usage + full.usage, image_tokens + full.image_tokens)

    def entries(self) -> tuple[UsageEntry, ...]:
        """The last entries, in the order in which they finished; all while they are few."""
        with self._lock:
            return tuple(self._last)

    def by_role(self) -> dict[str, Usage]:
        """What each role used, roles in alphabetical order."""
        with self._lock:
            return dict(sorted(self._usage.items()))

    def total(self) -> Usage:
        """What the run used; `usd` is None as soon as one model's price is not known."""
        return sum(self.by_role().values(), Usage())

    def needed(self) -> dict[str, Needed]:
        """What each role would have used had no reply come from the cache."""
        with self._lock:
            return dict(sorted(self._needed.items()))

    def image_tokens(self) -> dict[str, int]:
        """Estimated image tokens a role, whether or not the server reported totals."""
        with self._lock:
            return dict(sorted(self._image_tokens.items()))


EXPECTED_OUTPUT = 200
"""Tokens a reply is expected to have before it came: a typical piece of evidence."""


class RequestUsage:
    """Counts one request, over all its calls; `close` writes the one entry, whatever happened.

    Raises SettingsError when there is a limit in dollars and no known price.
    """

    def __init__(self, role: str, request: Request, budget: Budget, log: UsageLog) -> None:
        self.total = Usage()
        self.last = Usage()
        self.reply: ModelReply | None = None
        self.how: tuple[str, ...] = ()
        self.snapshot = str(getattr(request.model, "identity", ""))
        self._role, self._request = role, request
        self._budget, self._log = budget, log
        self._price = known_price(request, budget)
        self._image_tokens = 0
        self._reported = True

    @property
    def expected_tokens(self) -> int:
        """An estimate of what a call takes, in and out: for its provider's tokens per minute."""
        return self._request.input_tokens + EXPECTED_OUTPUT

    def most_usd(self, attempt: Attempt) -> float:
        """No less than the attempt can cost."""
        return most_usd(self._price, self._request, attempt)

    @contextmanager
    def call(self, usd: float) -> Iterator[None]:
        """Around one call announced to the budget with `usd`; `reply` is set inside it.

        A call that fails counts as a call too; one that was cut at its limit was paid for.
        """
        self.reply, started = None, time.perf_counter()
        try:
            yield
        except CutError as error:
            self.reply = ModelReply(error.reply, True, error.input_tokens, error.output_tokens)
            raise
        finally:
            self.last = Usage(calls=1, seconds=time.perf_counter() - started)
            if self.reply is not None:
                self.last = self.last.model_copy(update=self._tokens(self.reply))
                self.snapshot = self.reply.snapshot or self.snapshot
            self._budget.finish(usd, self.last)
            self.total += self.last

    def _tokens(self, reply: ModelReply) -> dict[str, Any]:
        """Tokens, images and dollars of an answered call; estimated where not reported."""
        self._reported = self._reported and reply.input_tokens > 0
        self._image_tokens += self._request.image_tokens
        request = self._request
        return token_usage(reply, request.input_tokens, len(request.sizes), self._price)

    def close(self) -> None:
        """Writes the entry, if any call was made."""
        if self.total.calls:
            self._log.record(
                UsageEntry(
                    role=self._role,
                    spec=str(self._request.spec),
                    usage=self.total,
                    images=self._request.sizes if self.total.images else (),
                    image_tokens=self._image_tokens,
                    reported=self._reported,
                    how=self.how,
                )
            )


def known_price(request: Request, budget: Budget) -> Price | None:
    """The price of the request's model. Raises SettingsError when a limit in dollars needs one
    and there is none."""
    per_token = price(request.spec)
    if per_token is None and budget.max_usd is not None:
        raise SettingsError(
            f"{request.spec} has no known price, so a limit in dollars cannot be kept",
            hint="Limit budget_calls or budget_seconds instead, or choose another model.",
        )
    return per_token


def most_usd(per_token: Price | None, request: Request, attempt: Attempt) -> float:
    """No less than an attempt can cost: every byte a token, and a reply as long as allowed."""
    if per_token is None or not (per_token.input or per_token.output):
        return 0.0
    longest = getattr(request.model, "max_tokens", None) or MAX_TOKENS
    return per_token.usd(request.most_tokens(attempt), longest)


def token_usage(
    reply: ModelReply, input_tokens: int, images: int, per_token: Price | None
) -> dict[str, Any]:
    """Fields of the Usage of an answered call. input_tokens: an estimate, taken when the server
    reported none; tokens out are estimated from the text then."""
    tokens_in = reply.input_tokens or input_tokens
    tokens_out = reply.output_tokens or text_tokens([reply.text])
    return {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "images": images,
        "usd": per_token.usd(tokens_in, tokens_out) if per_token else None,
    }
