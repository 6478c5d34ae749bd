"""Dataset mode through OpenAI's Batch API: rounds of doing, sending and waiting."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from videoespresso.dataset.folder import Folder
from videoespresso.dataset.run import Built
from videoespresso.errors import BudgetExceeded, UserError
from videoespresso.graphs.context import Context
from videoespresso.models.batch_api.collector import BatchCollector, BatchState
from videoespresso.models.batch_api.openai import batchable
from videoespresso.models.client.budget import Budget


@dataclass(frozen=True)
class Batch:
    """How to work with batches. wait: for their replies, asking every `poll_s` seconds; else what
    is sent is left, and the same call goes on another day. tell: called with how the batches
    are, whenever that was asked."""

    wait: bool = True
    poll_s: float = 60.0
    tell: Callable[[list[BatchState]], None] = lambda _states: None


def in_batches(once: Callable[[], Built], folder: Folder, context: Context, batch: Batch) -> Built:
    """Rounds of doing what can be done, sending what must be asked, and waiting for the replies.

    A round asks one stage's questions at least, so there are about as many as there are stages.
    Models without a Batch API are asked online. What fits a limit is sent and waited for before
    BudgetExceeded is raised. Raises UserError when all models would be asked online.
    """
    if not any(batchable(agent.spec, agent.model) for agent in context.agents.values()):
        raise UserError(
            "none of these models has a Batch API: every call would be made online, at full price",
            hint="Give a role a model of OpenAI's (--profile openai), or leave --batch away.",
        )
    replies = context.agents["generator"].replies
    assert replies is not None, "dataset mode has a reply cache"
    collector = BatchCollector(folder.work / "batches", replies, context.budget, context.usage_log)
    for agent in context.agents.values():
        agent.collector = collector
    try:
        batch.tell(collector.poll())  # replies since an earlier call
        while True:
            result = _round(once)
            if not isinstance(result, BudgetExceeded) and not result.deferred:
                return result
            batch.tell(collector.submit())
            leave = not batch.wait or context.budget.seconds_left == 0
            if isinstance(result, BudgetExceeded):
                if leave or not collector.waiting:
                    raise _with_waiting(result, collector.waiting)
            elif leave:
                return result
            _wait(collector, context.budget, batch)
            context.budget.resume()  # what replies cost less than was reserved may be spent
    finally:
        collector.close()


def _round(once: Callable[[], Built]) -> Built | BudgetExceeded:
    """What a round came to, or the limit that ended it: what it collected until then is good."""
    try:
        return once()
    except BudgetExceeded as limit:
        return limit


def _wait(collector: BatchCollector, budget: Budget, batch: Batch) -> None:
    """Until all replies are in, or the run's seconds are over."""
    while collector.waiting and budget.seconds_left != 0:
        left = budget.seconds_left
        time.sleep(batch.poll_s if left is None else min(batch.poll_s, left))
        batch.tell(collector.poll())


def _with_waiting(limit: BudgetExceeded, waiting: int) -> BudgetExceeded:
    """The limit, with what is still to come within it."""
    if not waiting:
        return limit
    return BudgetExceeded(f"{limit}; {waiting} replies are to come in batches", hint=limit.hint)
