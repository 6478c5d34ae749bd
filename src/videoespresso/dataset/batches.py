"""Dataset mode through OpenAI's Batch API: rounds of doing, sending and waiting."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from videoespresso.agents.deferred import BatchCollector, BatchState
from videoespresso.dataset.folder import Folder
from videoespresso.errors import UserError
from videoespresso.graphs.context import Context
from videoespresso.models.openai_batch import batchable


class Round(Protocol):
    """What a round came to. deferred: replies that are still to come."""

    @property
    def deferred(self) -> int: ...


Done = TypeVar("Done", bound=Round)


@dataclass(frozen=True)
class Batch:
    """How to work with batches. wait: for their replies, asking every `poll_s` seconds; else what
    is sent is left, and the same call goes on another day. tell: hears how the batches are."""

    wait: bool = True
    poll_s: float = 60.0
    tell: Callable[[list[BatchState]], None] = lambda _states: None


def in_batches(once: Callable[[], Done], folder: Folder, context: Context, batch: Batch) -> Done:
    """Rounds of doing what can be done, sending what must be asked, and waiting for the replies.

    A round asks one stage's questions at least, so there are about as many as there are stages.
    Models without a Batch API are asked online. Raises UserError when that would be all of them.
    """
    if not any(batchable(agent.spec, agent.model) for agent in context.agents.values()):
        raise UserError(
            "none of these models has a Batch API: every call would be made online, at full price",
            hint="Give a role a model of OpenAI's (--profile openai), or leave --batch away.",
        )
    replies = context.agents["generator"].replies
    assert replies is not None, "dataset mode has a reply cache"
    collector = BatchCollector(folder.work / "batches", replies, context.budget, context.ledger)
    for agent in context.agents.values():
        agent.deferred = collector
    try:
        collector.poll()  # what came since an earlier call
        while True:
            built = once()
            if not built.deferred:
                return built
            batch.tell(collector.submit())
            if not batch.wait:
                return built
            while collector.waiting:
                time.sleep(batch.poll_s)
                batch.tell(collector.poll())
    finally:
        collector.close()
