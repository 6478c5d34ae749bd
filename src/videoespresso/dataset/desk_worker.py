"""A worker's end of the desk (desk.py): a budget and paces that put every question to it."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from videoespresso.errors import BudgetExceeded
from videoespresso.models.budget import Budget
from videoespresso.models.ledger import Entry, Ledger
from videoespresso.models.pace import Pace, Paces, Place, Wake
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import Settings
from videoespresso.types import Usage

Asked = Callable[..., Any]
"""(name, *arguments): calls that method of the desk for this worker; raises where it is gone."""


class DeskBudget(Budget):
    """A worker's part of the desk's budget. seconds_left: of the run, when the worker began; the
    clock goes on here. Frames are limited by the sampling plan (build.open_dataset_context)."""

    def __init__(self, asked: Asked, settings: Settings, seconds_left: float | None) -> None:
        super().__init__(settings.budget_usd, settings.budget_calls, None, seconds_left)
        self._asked = asked

    def check(self) -> None:
        """See `Budget`."""
        self._raise(self._asked("check"))

    def start(self, usd: float = 0.0, *, wait: bool = False) -> bool:
        """See `Budget`."""
        came = self._asked("start", usd, wait)
        self._raise(came)
        return bool(came)

    def finish(self, usd: float = 0.0, usage: Usage | None = None) -> None:
        """See `Budget`; who waits for it here is rung by the desk."""
        self._asked("finish", usd, usage)

    def charge(self, usage: Usage) -> None:
        """See `Budget`."""
        self._asked("charge", usage)

    def call_ended(self) -> None:
        """Wakes whoever waits for what calls leave over."""
        self._tell()

    def _raise(self, came: object) -> None:
        if isinstance(came, BudgetExceeded):
            self.reached = self.reached or str(came)
            raise came


class DeskPace(Pace):
    """The line before one provider, which is at the desk."""

    def __init__(self, spec: ModelSpec, asked: Asked, bells: "Bells") -> None:
        super().__init__()
        self._spec, self._asked, self._bells = spec, asked, bells

    def place(self, tokens: int, wake: Wake) -> Place:
        """See `Pace`."""
        return Place(self._bells.hang(wake), tokens, wake)

    def ask(self, place: Place) -> float | None:
        """See `Pace`."""
        pause_s = max(0.0, place.not_before - time.monotonic())
        wait_s: float | None = self._asked("ask", self._spec, place.number, place.tokens, pause_s)
        return wait_s

    def done(self, place: Place, tokens: int | None = None, *, refused: bool = False) -> None:
        """See `Pace`."""
        self._asked("done", place.number, tokens, refused)

    def undo(self, place: Place) -> None:
        """See `Pace`."""
        self._asked("undo", place.number)

    def leave(self, place: Place) -> None:
        """See `Pace`."""
        self._bells.take_down(place.number)
        self._asked("leave", place.number)

    def hold(self, seconds: float, why: str = "") -> None:
        """See `Pace`."""
        self._asked("hold", self._spec, seconds, why)

    @property
    def held(self) -> tuple[float, str]:
        """See `Pace`."""
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


class DeskPaces(Paces):
    """One pace a provider, all at the desk; models in this process are not paced."""

    def __init__(self, asked: Asked, bells: Bells) -> None:
        super().__init__()
        self._asked, self._bells = asked, bells

    def pace(self, spec: ModelSpec) -> Pace:
        """See `Paces`."""
        return Pace() if spec.in_process else DeskPace(spec, self._asked, self._bells)


class DeskLedger(Ledger):
    """A ledger whose lines go to the desk as well."""

    def __init__(self, told: Asked) -> None:
        super().__init__()
        self._told = told

    def record(self, entry: Entry) -> None:
        """See `Ledger`."""
        super().record(entry)
        self._told("entry", entry)
