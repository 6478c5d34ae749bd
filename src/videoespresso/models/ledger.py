"""The ledger: every model call of a run, by role, with the sizes of the images it carried."""

import threading
from typing import NamedTuple

from videoespresso.types import Usage


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
    """Entries in the order in which they finished. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def record(self, entry: Entry) -> None:
        """Adds an entry."""
        with self._lock:
            self._entries.append(entry)

    def entries(self) -> tuple[Entry, ...]:
        """All entries so far."""
        with self._lock:
            return tuple(self._entries)

    def by_role(self) -> dict[str, Usage]:
        """What each role used, roles in alphabetical order."""
        sums: dict[str, Usage] = {}
        for entry in self.entries():
            sums[entry.role] = sums.get(entry.role, Usage()) + entry.usage
        return dict(sorted(sums.items()))

    def total(self) -> Usage:
        """What the run used; `usd` is None as soon as one model's price is not known."""
        return sum((entry.usage for entry in self.entries()), Usage())

    def image_tokens(self) -> dict[str, int]:
        """Estimated image tokens a role, whether or not the server reported totals."""
        sums: dict[str, int] = {}
        for entry in self.entries():
            sums[entry.role] = sums.get(entry.role, 0) + entry.image_tokens
        return dict(sorted(sums.items()))
