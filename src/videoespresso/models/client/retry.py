"""One request's way to its model: in line, within the budget, counted, tried again."""

import logging
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig

from videoespresso.errors import ModelError, ModelOutputError
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.errors import BusyError, LateError, UnsupportedError, model_errors
from videoespresso.models.client.http import HELD, late, within
from videoespresso.models.client.interruption import endable
from videoespresso.models.client.messages import ModelReply, model_reply
from videoespresso.models.client.rate_limit import RateLimit, Ticket
from videoespresso.models.client.request import IMAGES, OneImageError, Request, inability
from videoespresso.models.client.structured_output import Attempt
from videoespresso.models.client.usage import RequestUsage, UsageLog

log = logging.getLogger(__name__)

Listener = Callable[[str], bool | None]
"""Called with a reply as far as it is written. False: nothing of it is shown yet, so that a second
try may begin anew; what is shown once is not taken back."""


@dataclass(frozen=True)
class Retries:
    """Bounded exponential backoff with jitter; a server's Retry-After is honoured.

    tries: calls in all. base_s doubles from try to try up to longest_s. A server that asks for
    more than longest_s is not waited for: the error is raised, and says how long it asked.
    """

    tries: int = 4
    base_s: float = 1.0
    longest_s: float = 60.0

    def wait_s(self, tried: int, error: ModelError) -> float | None:
        """Seconds to wait after `tried` failed calls, or None to give up."""
        if not error.retryable or tried >= self.tries:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self.longest_s else None
        # jitter: N threads refused together must not come back together
        return self.backoff_s(tried) * random.uniform(0.5, 1.0)

    def backoff_s(self, tried: int) -> float:
        """Seconds after `tried` failed calls when the server names none."""
        return min(self.longest_s, self.base_s * 2.0 ** (tried - 1))


@cache
def _say_late(spec: str) -> None:
    """Once a model: with too short a time each try would end like the first."""
    log.warning("%s did not answer in time and is asked again from zero: raise timeout_s", spec)


class Sender:
    """Makes the calls of one request, one after another, while it is entered.

    trace: what a trace says of a call. listener: asks for streams, and is called as they come.
    unable: called with what the server turns out not to take. timeout_s: how long a call may take
    whose client is not held to it itself.

    Raises ModelError when the model cannot be reached or refuses, BudgetExceeded before the call
    that would pass a limit, and while waiting for a turn when the seconds are over or the run is
    stopped.
    """

    def __init__(
        self,
        role: str,
        request: Request,
        *,
        usage_log: UsageLog,
        budget: Budget,
        rate_limit: RateLimit,
        retries: Retries,
        trace: RunnableConfig | None = None,
        listener: Listener | None = None,
        unable: Callable[[str], None] = lambda _: None,
        timeout_s: float | None = None,
    ) -> None:
        self.usage = RequestUsage(role, request, budget, usage_log)
        self._request, self._budget, self._retries = request, budget, retries
        self._limit, self._timeout_s = rate_limit, timeout_s
        self._trace, self._listener, self._unable = trace, listener, unable
        self._answered: Ticket | None = None
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()
        self.usage.close()

    def _release(self) -> None:
        """Ends the call that was answered last. Its ticket counts as in flight until the reply
        is stored, so that a killed process loses no more replies than may be in flight."""
        if self._answered is not None:
            self._limit.done(self._answered, self._tokens)
            self._answered = None

    @property
    def _tokens(self) -> int | None:
        """What the last call took; None when that is not known."""
        return self.usage.last.input_tokens + self.usage.last.output_tokens or None

    def attempt(self, attempt: Attempt) -> ModelReply | UnsupportedError:
        """Asks in one form, with retries: what came, or that the server does not take the form.
        Asked again without what it says it does not take; raises OneImageError where that is more
        than one image."""
        while True:
            try:
                messages = self._request.messages(attempt)
                runnable = self._request.runnable(attempt.method)
                return self.send(partial(self._invoke, runnable, messages, attempt), attempt)
            except ModelOutputError as error:
                return ModelReply(error.reply, cut=True)
            except UnsupportedError as error:
                lack = inability(error)
                if lack == IMAGES and len(self._request.sizes) > 1:
                    raise OneImageError(str(error), hint=error.hint) from None
                if lack and lack != IMAGES and lack not in self._request.lacks:
                    self._request = replace(self._request, lacks=self._request.lacks | {lack})
                    self._unable(lack)
                    continue
                if self._listener is None:
                    return error
                self._listener = None  # it may be the stream that is refused, and not the form

    def _invoke(
        self, runnable: Runnable[Any, Any], messages: list[BaseMessage], attempt: Attempt
    ) -> ModelReply:
        """The whole reply; the listener gets it while it is written."""
        calls, self._shown = attempt.method == "calls", False
        if self._listener is None:
            return model_reply(runnable.invoke(messages, self._trace), calls=calls)
        whole: Any = None
        for chunk in runnable.stream(messages, self._trace):
            if late():
                raise TimeoutError("the reply did not end in time")
            whole = chunk if whole is None else whole + chunk
            text = model_reply(whole).text
            self._shown |= self._listener(text) is not False and bool(text.strip())
        return model_reply(whole, calls=calls)

    def send(self, call: Callable[[], ModelReply], attempt: Attempt | None = None) -> ModelReply:
        """What the call gives, which is made when its turn has come, and again when it failed in a
        way that may pass, as long as nothing of it was shown."""
        usd = self.usage.most_usd(attempt or Attempt("text"))
        with self._in_line() as ticket:
            for tried in count(1):
                try:
                    with endable():
                        self._admit(ticket, usd)
                    with self._counted(ticket, usd, tried) as seconds:
                        self.usage.reply = reply = in_time(call, seconds)
                    return reply
                except (UnsupportedError, ModelOutputError):
                    raise
                except ModelError as error:
                    wait_s = self._retries.wait_s(tried, error)
                    if wait_s is None or self._shown:
                        raise
                    if isinstance(error, LateError):
                        _say_late(str(self._request.spec))
                    log.info("try %d failed, waiting %.1f s: %s", tried, wait_s, error)
                    self._limit.pause(ticket, wait_s)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _in_line(self) -> Iterator[Ticket]:
        """A ticket, woken by the rate limit and by the budget, given up in the end."""
        ticket = self._limit.ticket(self.usage.expected_tokens)
        with self._budget.watch(ticket.wake):
            try:
                yield ticket
            finally:
                self._limit.leave(ticket)

    def _admit(self, ticket: Ticket, usd: float) -> None:
        """Waits until the call may be made: its turn has come, and the budget, to which it is
        announced, allows it."""
        self._release()
        while True:
            self._budget.alive()
            held_s, why = self._limit.held
            if held_s > self._retries.longest_s:
                raise BusyError(
                    why or f"{self._request.spec} asked to wait {held_s:.0f} s",
                    hint="Try again later.",
                    retryable=True,
                    retry_after_s=held_s,
                )
            wait_s = self._limit.ask(ticket)
            if wait_s == 0.0:
                may = False
                try:
                    may = self._budget.start(usd, wait=True)
                finally:
                    if not may:
                        self._limit.undo(ticket)
                if may:
                    return
                wait_s = None
            limits = (wait_s, self._budget.seconds_left)
            ticket.wait(min((s for s in limits if s is not None), default=None))

    @contextmanager
    def _counted(self, ticket: Ticket, usd: float, tried: int) -> Iterator[float | None]:
        """Around the call itself: the seconds in which others must end it. A busy server's gate is
        closed before the ticket is free."""
        spec, left_s = self._request.spec, self._budget.seconds_left
        own = spec.in_process or spec.provider in HELD  # ends by itself
        given = [s for s in (left_s, None if own else self._timeout_s) if s is not None]
        seconds = min(given, default=None)
        try:
            with self.usage.call(usd), model_errors(spec), within(seconds):
                yield None if own else seconds
        except BaseException as error:
            if isinstance(error, BusyError):
                wait_s = error.retry_after_s
                backoff_s = self._retries.backoff_s(tried)
                self._limit.hold(backoff_s if wait_s is None else wait_s, str(error))
            self._limit.done(ticket, self._tokens, refused=isinstance(error, BusyError))
            raise
        self._answered = ticket


V = TypeVar("V")


def in_time(call: Callable[[], V], seconds: float | None) -> V:
    """What the call gives or raises. Raises TimeoutError after that many seconds.

    A call that is late goes on in its thread, which no process waits for, until its client or its
    server ends it: a thread cannot be ended from outside. What it gives then is nobody's.
    """
    if seconds is None:
        return call()
    done, context = Future[V](), copy_context()

    def run() -> None:
        try:
            done.set_result(context.run(call))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name="model call", daemon=True).start()
    return done.result(timeout=seconds)
