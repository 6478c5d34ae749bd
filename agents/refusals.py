"""Batches that a server refuses as a whole: they are sent again, but not for ever."""

from videoespresso.errors import ModelError

TRIES = 3
"""Times in a row that all batches of a model may fail before anything of them is executed."""


class Refusals:
    """Counts them, a model by itself. Not thread-safe: its owner has a lock.

    That a server takes some batches of several and refuses the others (its queue is full) is no
    reason to give up: the others get in when those have ended.
    """

    def __init__(self) -> None:
        self._now: dict[str, list[str]] = {}
        self._in_a_row: dict[str, int] = {}

    def ended(self, spec: str, refused: str) -> None:
        """A batch of the model has ended. refused: why nothing was executed, "" if it was."""
        self._now.setdefault(spec, []).append(refused)

    def check(self) -> None:
        """Between two sendings. Raises ModelError when a model's batches failed too often."""
        ended, self._now = self._now, {}
        for spec, refused in ended.items():
            self._in_a_row[spec] = self._in_a_row.get(spec, 0) + 1 if all(refused) else 0
            if self._in_a_row[spec] >= TRIES:
                raise ModelError(
                    f"the batches of {spec} failed {TRIES} times before anything was done; the "
                    f"last time {refused[-1]}",
                    hint="Nothing was paid for them. Wait until the account has fewer batches in "
                    "its queue, or build fewer videos at a time; the same command goes on.",
                )
