"""One request's way to its model: in line, within the budget, metered, tried again."""

import logging
import random
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig

from videoespresso.errors import ModelError, ModelOutputError
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.errors import BusyError, UnsupportedError, model_errors
from videoespresso.models.client.rate_limit import Alarm, Pace, Place, TaskAlarm, Wake
from videoespresso.models.client.request import Request, said
from videoespresso.models.client.structured_output import Attempt, Climbed, Said
from videoespresso.models.client.usage import Meter


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


log = logging.getLogger(__name__)

V = TypeVar("V")
Steps = Generator[Attempt, Any, Climbed[V]]
Heard = Callable[[str], None]
"""Called with a reply as far as it is written; a second try begins anew."""


class Turns:
    """Drives a ladder to its end, one paced call after another. told: what a trace says of it.
    heard: asks for streams in `climb`, and is called as they come.

    Raises ModelError when the model cannot be reached or refuses, ModelOutputError when its reply
    is no use, BudgetExceeded before the call that would pass a limit, and while waiting for a turn
    when the seconds are over or the run is stopped.
    """

    def __init__(
        self,
        request: Request,
        meter: Meter,
        pace: Pace,
        budget: Budget,
        retries: Retries,
        *,
        told: RunnableConfig,
        heard: Heard | None = None,
    ) -> None:
        self.request, self.meter, self.told, self.heard = request, meter, told, heard
        self.pace, self.budget, self.retries = pace, budget, retries
        self._landed: tuple[Place, int | None] | None = None

    def __enter__(self) -> "Turns":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._land()

    def _land(self) -> None:
        """The call that came last is over in every respect."""
        if self._landed is not None:
            (place, tokens), self._landed = self._landed, None
            self.pace.done(place, tokens)

    def climb(self, steps: Steps[V]) -> Climbed[V]:
        """What the ladder ends with."""
        attempt = next(steps)
        while True:
            came = self._try(attempt)
            try:
                attempt = steps.send(came)
            except StopIteration as done:
                climbed: Climbed[V] = done.value
                return climbed

    async def aclimb(self, steps: Steps[V]) -> Climbed[V]:
        """`climb`, awaited."""
        attempt = next(steps)
        while True:
            came = await self._atry(attempt)
            try:
                attempt = steps.send(came)
            except StopIteration as done:
                climbed: Climbed[V] = done.value
                return climbed

    def once(self, call: Callable[[], V]) -> V:
        """What a call that is no chat gives, with retries; `call` tells the meter what came."""
        with self._line() as (place, alarm):
            for tried in count(1):
                try:
                    with self._turn(place, alarm, Attempt("text"), tried):
                        return call()
                except ModelError as error:
                    self._pause(place, error, tried)
        raise AssertionError("the last try returns or raises")

    def stream(self) -> Iterator[str]:
        """The words as they come; tried again only before the first of them."""
        attempt = Attempt("text")
        sent = self.request.wire(attempt)
        with self._line() as (place, alarm):
            for tried in count(1):
                try:
                    with self._turn(place, alarm, attempt, tried):
                        for chunk in self.request.model.stream(sent, self.told):
                            if piece := self.meter.piece(chunk):
                                yield piece
                    return
                except ModelError as error:
                    self._pause(place, error, tried, over=self.meter.pieces > 0)

    async def astream(self) -> AsyncIterator[str]:
        """`stream`, awaited."""
        attempt = Attempt("text")
        sent = self.request.wire(attempt)
        async with self._aline() as (place, alarm):
            for tried in count(1):
                try:
                    async with self._aturn(place, alarm, attempt, tried):
                        async for chunk in self.request.model.astream(sent, self.told):
                            if piece := self.meter.piece(chunk):
                                yield piece
                    return
                except ModelError as error:
                    self._pause(place, error, tried, over=self.meter.pieces > 0)

    def _try(self, attempt: Attempt) -> Said | UnsupportedError:
        """One rung, with retries: what came, or that the server does not take this form."""
        sent, request = self.request.wire(attempt), self.request
        with self._line() as (place, alarm):
            for tried in count(1):
                try:
                    runnable = request.runnable(attempt.rung)
                    with self._turn(place, alarm, attempt, tried):
                        self.meter.came = said(self._come(runnable, sent), attempt.rung)
                    break
                except (UnsupportedError, ModelOutputError) as error:
                    if self.heard is None or isinstance(error, ModelOutputError):
                        return _as_outcome(error)
                    self.heard = None  # it may be the stream that is refused, and not the form
                except ModelError as error:
                    self._pause(place, error, tried)
        return self.meter.came or Said("")

    def _come(self, runnable: Runnable[Any, Any], sent: list[BaseMessage]) -> Any:
        """What the model says, whole; heard while it is written, if somebody listens."""
        if self.heard is None:
            return runnable.invoke(sent, self.told)
        whole: Any = None
        for chunk in runnable.stream(sent, self.told):
            whole = chunk if whole is None else whole + chunk
            self.heard(said(whole).text)
        return whole

    async def _atry(self, attempt: Attempt) -> Said | UnsupportedError:
        sent, request = self.request.wire(attempt), self.request
        async with self._aline() as (place, alarm):
            for tried in count(1):
                try:
                    runnable = request.runnable(attempt.rung)
                    async with self._aturn(place, alarm, attempt, tried):
                        came = await runnable.ainvoke(sent, self.told)
                        self.meter.came = said(came, attempt.rung)
                    break
                except (UnsupportedError, ModelOutputError) as error:
                    return _as_outcome(error)
                except ModelError as error:
                    self._pause(place, error, tried)
        return self.meter.came or Said("")

    # ---- standing in line

    @contextmanager
    def _line(self) -> Iterator[tuple[Place, Alarm]]:
        alarm = Alarm()
        with self._standing(alarm.ring) as place:
            yield place, alarm

    @asynccontextmanager
    async def _aline(self) -> AsyncIterator[tuple[Place, TaskAlarm]]:
        alarm = TaskAlarm()
        with self._standing(alarm.ring) as place:
            yield place, alarm

    @contextmanager
    def _standing(self, ring: Wake) -> Iterator[Place]:
        """A place in the line, woken by the pace and by the budget, given up in the end."""
        place = self.pace.place(self.meter.expected_tokens, ring)
        with self.budget.watch(ring):
            try:
                yield place
            finally:
                self.pace.leave(place)

    @contextmanager
    def _turn(self, place: Place, alarm: Alarm, attempt: Attempt, tried: int) -> Iterator[None]:
        """Around one call: waits until it may be made."""
        usd = self.meter.most_usd(attempt)
        for wait_s in self._waits(place, usd):
            alarm.wait(wait_s)
        with self._flying(place, usd, tried):
            yield

    @asynccontextmanager
    async def _aturn(
        self, place: Place, alarm: TaskAlarm, attempt: Attempt, tried: int
    ) -> AsyncIterator[None]:
        usd = self.meter.most_usd(attempt)
        for wait_s in self._waits(place, usd):
            await alarm.wait(wait_s)
        with self._flying(place, usd, tried):
            yield

    def _waits(self, place: Place, usd: float) -> Iterator[float | None]:
        """Seconds to wait (None: until the alarm rings), again and again until the call may be
        made: its turn has come, and the budget, which is told of it, allows it."""
        self._land()
        while True:
            self.budget.alive()
            held_s, why = self.pace.held
            if held_s > self.retries.longest_s:
                raise BusyError(
                    why or f"{self.request.spec} asked to wait {held_s:.0f} s",
                    hint="Try again later.",
                    retryable=True,
                    retry_after_s=held_s,
                )
            wait_s = self.pace.ask(place)
            if wait_s == 0.0:
                try:
                    may = self.budget.start(usd, wait=True)
                except BaseException:
                    self.pace.undo(place)
                    raise
                if may:
                    return
                self.pace.undo(place)
                wait_s = None
            left = self.budget.seconds_left
            yield wait_s if left is None else left if wait_s is None else min(wait_s, left)

    @contextmanager
    def _flying(self, place: Place, usd: float, tried: int) -> Iterator[None]:
        """The call itself. A busy server's gate is closed before the place is free again."""
        before, refused, came = self.meter.usage, False, False
        try:
            with self.meter.call(usd), model_errors(self.request.spec):
                yield
            came = True
        except BusyError as error:
            refused = True
            wait_s = error.retry_after_s
            self.pace.hold(self.retries.backoff_s(tried) if wait_s is None else wait_s, str(error))
            raise
        finally:
            now = self.meter.usage
            tokens = now.input_tokens + now.output_tokens
            tokens -= before.input_tokens + before.output_tokens
            if came:
                self._landed = place, tokens or None
            else:
                self.pace.done(place, tokens or None, refused=refused)

    def _pause(self, place: Place, error: ModelError, tried: int, *, over: bool = False) -> None:
        """Keeps the place until the next try. Raises the error when there is to be none."""
        wait_s = None if over else self.retries.wait_s(tried, error)
        if wait_s is None:
            raise error
        log.info("try %d failed, waiting %.1f s: %s", tried, wait_s, error)
        self.pace.pause(place, wait_s)


def _as_outcome(error: ModelError) -> Said | UnsupportedError:
    """What the ladder is told: a refused form, or a reply which hit the length limit."""
    if isinstance(error, ModelOutputError):
        return Said(error.reply, cut=True)
    assert isinstance(error, UnsupportedError)
    return error
