"""Agent: a role on a model, asked one thing or many at a time.

How one reply comes about is ModelClient's (models/client/client.py).
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from pydantic import BaseModel

from videoespresso.errors import ModelError
from videoespresso.models.batch_api.collector import Deferred
from videoespresso.models.client.client import ModelClient
from videoespresso.models.client.messages import Called, Turn
from videoespresso.models.client.request import Prompt, Reply
from videoespresso.models.client.retry import Retries
from videoespresso.models.client.structured_output import Bounds

__all__ = ["Agent", "Called", "Prompt", "Reply", "Retries", "Turn"]

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V")

_SHEET_OVER = "sheets over "
"""Begins an inability: requests of more pictures than the number behind it."""


class Agent(ModelClient):
    """One role on one model."""

    def text_batch(
        self,
        prompt: Prompt,
        list_of_turns: Iterable[Sequence[Turn]],
        instead: Callable[[ModelError], Reply[str]] | None = None,
        on_reply: Callable[[], None] | None = None,
    ) -> list[Reply[str]]:
        """`text` for each, `concurrency` at a time, in the given order.

        instead: gives the reply of a request that failed, or raises. Turns are taken as they are
        needed, so a generator of them keeps few images in memory. After a failure no further
        request is started, those under way are finished and cached, and the first failure is
        raised. In batch mode all are asked for before Deferred is raised. on_reply: called in this
        thread as each reply is taken.
        """
        return _replies(
            self._batch(lambda turns: self.text(prompt, turns), list_of_turns, instead, on_reply)
        )

    def typed_batch(
        self,
        prompt: Prompt,
        list_of_turns: Iterable[Sequence[Turn]],
        schema: type[T],
        bounds: Bounds | None = None,
        instead: Callable[[ModelError], Reply[T]] | None = None,
    ) -> list[Reply[T]]:
        """`typed` for each, as `text_batch` does."""
        return _replies(
            self._batch(
                lambda turns: self.typed(prompt, turns, schema, bounds), list_of_turns, instead
            )
        )

    def split_batch(
        self,
        prompt: Prompt,
        list_of_turns: Iterable[Sequence[Turn]],
        schema: type[T],
        bounds: Bounds | None,
        instead: Callable[[ModelError], Reply[T]],
    ) -> list[Reply[T] | Deferred]:
        """`typed_batch` of requests whose parts are asked for where there is no good reply: each is
        in one batch at most, and Deferred is in the list."""
        return self._batch(
            lambda turns: self.typed(prompt, turns, schema, bounds, splits=True),
            list_of_turns,
            instead,
        )

    def _batch(
        self,
        ask: Callable[[Sequence[Turn]], Reply[V]],
        list_of_turns: Iterable[Sequence[Turn]],
        instead: Callable[[ModelError], Reply[V]] | None,
        on_reply: Callable[[], None] | None = None,
    ) -> list[Reply[V] | Deferred]:
        """`ask` for each, `concurrency` at a time, in the given order."""
        replies: list[Reply[V] | Deferred] = []
        waiting: deque[Future[Reply[V] | Deferred]] = deque()

        def one(turns: Sequence[Turn]) -> Reply[V] | Deferred:
            try:
                return ask(turns)
            except Deferred as deferred:
                return deferred
            except ModelError as error:
                if instead is None:
                    raise
                return instead(error)

        def take() -> None:
            replies.append(waiting.popleft().result())
            if on_reply is not None:
                on_reply()

        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                for turns in list_of_turns:
                    context = copy_context()  # tracing and callbacks follow into the thread
                    waiting.append(pool.submit(context.run, one, turns))
                    if len(waiting) > 2 * self.concurrency:
                        take()
                while waiting:
                    take()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return replies

    # ---- captions in sheets

    @property
    def sheet(self) -> int:
        """Frames that one request for captions holds (`sheet_size`), no more than the server was
        seen to take."""
        known = (w.removeprefix(_SHEET_OVER) for w in self._inabilities() if w[:12] == _SHEET_OVER)
        return max(1, min([self.frames_at_once, *map(int, known)]))

    def note_sheet(self, most: int) -> None:
        """Remembers that the server takes no more than so many pictures a request."""
        self._note_unable(f"{_SHEET_OVER}{max(1, most)}")


def _replies(came: Iterable[Reply[V] | Deferred]) -> list[Reply[V]]:
    """Raises Deferred when one is to come in a batch."""
    replies: list[Reply[V]] = []
    for reply in came:
        if isinstance(reply, Deferred):
            raise reply
        replies.append(reply)
    return replies
