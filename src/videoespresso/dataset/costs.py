"""What a video costs that nobody has asked about, measured where some replies were there already.

A reply from the cache, a caption from the memory and a stage from the journal cost nothing now, but
what they cost when they were made is what another video will cost.
"""

import copy
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from videoespresso.agents import captioner
from videoespresso.errors import BudgetExceeded
from videoespresso.graphs.context import Context
from videoespresso.graphs.dataset_context import Event
from videoespresso.memory.replies import ReplyCache, StoredReply
from videoespresso.models.budget import Budget
from videoespresso.models.ledger import Ledger
from videoespresso.models.pace import Pace
from videoespresso.types import FrameRef, Usage

ROLE_OF = {
    "generate": "generator",
    "verify": "verifier",
    "annotate": "annotator",
    "distract": "distractor",
}
"""Who is asked in a stage; in others nobody is."""


class Costs:
    """Counts, by role, what replies cost when they were made. Thread-safe.

    context: the one given, whose agents now tell which replies they took from the cache.
    """

    def __init__(self, context: Context) -> None:
        self._lock = threading.Lock()
        self._cached: dict[str, Usage] = {}
        self._journal: dict[str, Usage] = {}
        self._ledger: dict[str, Usage] = {}
        agents = {role: copy.copy(agent) for role, agent in context.agents.items()}
        for role, agent in agents.items():
            if agent.replies is not None:
                agent.replies = _Replies(agent.replies.path, partial(self._found, role))
        self.context = replace(context, agents=agents)

    def hear(self, event: Event) -> None:
        """Counts a stage that was in a journal."""
        role = ROLE_OF.get(event.stage)
        if role and event.known:
            self._add(self._journal, role, event.cost)

    def remembered(self, frames: Iterable[FrameRef]) -> None:
        """Counts captions that the memory holds; one whose reply the cache has lost is not."""
        asked = copy.copy(self.context.agents["captioner"])
        asked.ledger, asked.budget, asked.pace = Ledger(), Budget(max_calls=0), Pace()
        for frame in frames:
            with suppress(BudgetExceeded):
                captioner.caption(asked, [self.context.store.image(frame)])

    def take(self) -> dict[str, Usage]:
        """All since the last time. A journal keeps no seconds: its calls are taken to have been as
        long as the role's others."""
        with self._lock:
            cached, self._cached = self._cached, {}
            journal, self._journal = self._journal, {}
        before, self._ledger = self._ledger, self.context.ledger.by_role()
        found = {}
        for role in sorted({*self._ledger, *cached, *journal}):
            fresh = self._ledger.get(role, Usage()) - before.get(role, Usage())
            timed = fresh + cached.get(role, Usage())
            whole = timed + journal.get(role, Usage())
            seconds = timed.seconds * whole.calls / timed.calls if timed.calls else 0.0
            found[role] = whole.model_copy(update={"seconds": seconds})
        return found

    def _found(self, role: str, usage: Usage) -> None:
        self._add(self._cached, role, usage)

    def _add(self, sums: dict[str, Usage], role: str, usage: Usage) -> None:
        with self._lock:
            sums[role] = sums.get(role, Usage()) + usage


class _Replies(ReplyCache):
    """The cache; `found` hears what a reply cost that was there before, once a reply: the same
    question asked twice is paid once."""

    def __init__(self, path: Path, found: Callable[[Usage], None]) -> None:
        super().__init__(path)
        self._found = found
        self._told: set[str] = set()

    def get(self, key: str) -> StoredReply | None:
        """See `ReplyCache`."""
        kept = super().get(key)
        if kept is not None and key not in self._told:
            self._told.add(key)
            self._found(kept.usage)
        return kept

    def put(self, key: str, spec: str, role: str, reply: StoredReply) -> None:
        """See `ReplyCache`."""
        self._told.add(key)  # it is in the ledger
        super().put(key, spec, role, reply)
