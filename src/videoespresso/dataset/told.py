"""What is said at the end of a run: why videos were left out, what failed, what was refused."""

from collections import Counter
from dataclasses import dataclass, field

from videoespresso.dataset.work import Outcome
from videoespresso.items import path_text

KEPT = 100
"""Of each kind, at most."""


@dataclass
class Told:
    """Gathered from outcomes as they come.

    left_out: videos that became one reject as a whole (unreadable, a duplicate, beyond the
    captioner), whose paths and reasons are in `reasons`. refused: rejects by criterion.
    """

    left_out: int = 0
    reasons: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def take(self, outcome: Outcome) -> None:
        """Adds what is to be said of a video."""
        path = path_text(outcome.path)
        whole = [r["reason"] for r in outcome.rejects.values() if r["group"] is None]
        self.left_out += bool(whole)
        self._add(self.reasons, *(r if path in r else f"{path}: {r}" for r in whole[:1]))
        self._add(
            self.failures, *(f"{f['video']}: {f['reason']}" for f in outcome.failures.values())
        )
        if outcome.busy:
            self._add(self.busy, f"{path}: another process is at work on it")
        self.refused.update(r["criterion"] for r in outcome.rejects.values())

    def _add(self, said: list[str], *more: str) -> None:
        said += more[: max(0, KEPT - len(said))]
