"""The ledger: every model call of a run, by role, with the sizes of the images it carried."""

import threading
from collections import deque
from typing import NamedTuple

from videoespresso.types import Usage

KEPT = 1000
"""Entries kept for reading; the sums are of all, so that a run of days takes no more memory."""


class Entry(NamedTuple):
    """One call, or one reply taken from the cache.

    images: (width, height) in pixels of each image as sent; a grid is one image. image_tokens:
    an estimate of what they cost (models/prices.py). reported: the token counts in `usage` are
    the server's own, not estimates. how: the rungs tried, as in Reply.how.
    """

    role: str
    spec: str
    usage: Usage
    images: tuple[tuple[int, int], ...] = ()
    image_tokens: int = 0
    reported: bool = False
    how: tuple[str, ...] = ()


class Ledger:
    """Sums over all entries, and the last of them as they were (`kept`). Thread-safe."""

    def __init__(self, kept: int = KEPT) -> None:
        self._lock = threading.Lock()
        self._last: deque[Entry] = deque(maxlen=kept)
        self._usage: dict[str, Usage] = {}
        self._image_tokens: dict[str, int] = {}

    def record(self, entry: Entry) -> None:
        """Adds an entry."""
        role = entry.role
        with self._lock:
            self._last.append(entry)
            self._usage[role] = self._usage.get(role, Usage()) + entry.usage
            self._image_tokens[role] = self._image_tokens.get(role, 0) + entry.image_tokens

    def entries(self) -> tuple[Entry, ...]:
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

    def image_tokens(self) -> dict[str, int]:
        """Estimated image tokens a role, whether or not the server reported totals."""
        with self._lock:
            return dict(sorted(self._image_tokens.items()))
