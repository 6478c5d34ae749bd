"""Agent: the only place that talks to a chat model.

Replies are cached, calls counted, budgets kept, failures retried and converted, and typed replies
climbed for (ladder.py) - here, once, for every role.
"""

import copy
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Self, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel

from videoespresso.errors import ModelError
from videoespresso.memory.replies import ReplyCache, StoredReply
from videoespresso.models.batch_api.collector import BatchCollector, Deferred
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.errors import redact
from videoespresso.models.client.messages import Turn, as_one_image
from videoespresso.models.client.rate_limit import Pace
from videoespresso.models.client.request import Called, Prompt, Reply, Request, calling, converse
from videoespresso.models.client.retry import Heard, Retries, Steps, Turns
from videoespresso.models.client.structured_output import LADDER, Climbed, Rung, Said, climb, read
from videoespresso.models.client.usage import Entry, Ledger, Meter
from videoespresso.models.profiles import takes_one_image
from videoespresso.models.specs import ModelSpec, server_mark
from videoespresso.types import Usage

__all__ = ["Agent", "Called", "Prompt", "Reply", "Retries", "Turn"]

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V")


class Agent:
    """One role on one model.

    replies: the cache, None to ask anew each time. budget: checked before each call, charged
    after. one_image: the model takes one image a request, so several become a labelled grid
    (default: by the model's name). concurrency: calls at a time in `text_batch`; in-process
    models get one, they use all cores already, or as many as they answer together. pace: the line
    before the provider, shared by all agents on it; by default nobody is waited for. deferred:
    batch mode (models/batch_api/collector.py; needs replies): what is not in the cache raises
    Deferred instead of being asked; streams are asked.

    Every method raises ModelError when the model cannot be reached or refuses, ModelOutputError
    when its reply is no use, and BudgetExceeded before the call that would pass a limit.
    """

    def __init__(
        self,
        role: str,
        spec: ModelSpec,
        model: BaseChatModel,
        *,
        ledger: Ledger,
        replies: ReplyCache | None = None,
        budget: Budget | None = None,
        one_image: bool | None = None,
        concurrency: int = 4,
        retries: Retries | None = None,
        pace: Pace | None = None,
        deferred: BatchCollector | None = None,
    ) -> None:
        self.role = role
        self.spec = spec
        self.model = model
        self.ledger = ledger
        self.replies = replies
        self.budget = budget or Budget()
        self.one_image = takes_one_image(spec) if one_image is None else one_image
        self.concurrency = getattr(model, "batch_size", 1) if spec.in_process else concurrency
        self.retries = retries or Retries()
        self.pace = pace or Pace()
        self.deferred = deferred
        self._heard: Heard | None = None
        self._unable: set[str] = set()

    @property
    def identity(self) -> dict[str, str]:
        """Who answers, for keys: the spec, weights in this process, and a mark of the server where
        the spec names none and the environment does."""
        server = server_mark(self.spec, getattr(self.model, "openai_api_base", None))
        return {
            "model": str(self.spec),
            "weights": str(getattr(self.model, "identity", "")),
            **({"server": server} if server else {}),
        }

    # ---- what roles call

    def text(self, prompt: Prompt, turns: Sequence[Turn]) -> Reply[str]:
        """The model's words."""
        return self._run(self._request(prompt, turns), converse())

    def typed(self, prompt: Prompt, turns: Sequence[Turn], schema: type[T]) -> Reply[T]:
        """The model's reply as a `schema`."""
        return self._run(
            self._request(prompt, turns, schema), climb(schema, self._rungs(), self._note_unable)
        )

    def called(
        self, prompt: Prompt, turns: Sequence[Turn], tools: Sequence[dict[str, Any]]
    ) -> Reply[Called]:
        """Which of the tools the model wants called; ask `can_call` first.

        Raises UnsupportedError, a ModelError, when the server takes no tools; that is remembered.
        """
        request = self._request(prompt, turns, Called, tuple(tools))
        return self._run(request, calling(self._note_unable))

    def heard_by(self, heard: Heard) -> Self:
        """The same agent, `heard` called with the text of a reply while it is written. Not of a
        cached one, and not of an awaited one."""
        mine = copy.copy(self)
        mine._heard = heard
        return mine

    @property
    def can_call(self) -> bool:
        """Whether the model's class can be given tools, and its server never refused them."""
        known = set(self._unable)
        if self.replies is not None:
            known |= self.replies.inabilities(str(self.spec))
        has_it = type(self.model).bind_tools is not BaseChatModel.bind_tools
        return has_it and "calls" not in known

    def text_batch(
        self,
        prompt: Prompt,
        list_of_turns: Iterable[Sequence[Turn]],
        instead: Callable[[ModelError], Reply[str]] | None = None,
    ) -> list[Reply[str]]:
        """`text` for each, `concurrency` at a time, in the given order.

        instead: what to take for the reply of a request that failed, unless it raises the error.
        Turns are taken as they are needed, so a generator of them keeps few images in memory.
        After a failure no further request is started; those under way are finished (and cached,
        so that a second try pays only for the rest), then the first failure is raised. In batch
        mode all are asked for before Deferred is raised.
        """
        replies: list[Reply[str]] = []
        later: list[Deferred] = []
        waiting: deque[Future[Reply[str]]] = deque()

        def ask(turns: Sequence[Turn]) -> Reply[str]:
            try:
                return self.text(prompt, turns)
            except ModelError as error:
                if instead is None:
                    raise
                return instead(error)

        def take(future: Future[Reply[str]]) -> None:
            try:
                replies.append(future.result())
            except Deferred as deferred:
                later[:] = [deferred]

        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                for turns in list_of_turns:
                    context = copy_context()  # tracing and callbacks follow into the thread
                    waiting.append(pool.submit(context.run, ask, turns))
                    if len(waiting) > 2 * self.concurrency:
                        take(waiting.popleft())
                for future in waiting:
                    take(future)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        if later:
            raise later[0]
        return replies

    async def atext(self, prompt: Prompt, turns: Sequence[Turn]) -> Reply[str]:
        """`text`, awaited."""
        return await self._arun(self._request(prompt, turns), converse())

    async def atyped(self, prompt: Prompt, turns: Sequence[Turn], schema: type[T]) -> Reply[T]:
        """`typed`, awaited."""
        return await self._arun(
            self._request(prompt, turns, schema), climb(schema, self._rungs(), self._note_unable)
        )

    def stream_text(self, prompt: Prompt, turns: Sequence[Turn]) -> Iterator[str]:
        """The model's words as they come; a cached reply comes in one piece.

        Retried only before the first piece: what was shown cannot be taken back. Does not wait
        for another asker of the same question.
        """
        request = self._request(prompt, turns)
        if hit := self._hit(request):
            yield hit.raw
            return
        with self._meter(request) as meter, self._turns(request, meter) as way:
            yield from way.stream()
            self._keep(request, meter, meter.streamed())

    async def astream_text(self, prompt: Prompt, turns: Sequence[Turn]) -> AsyncIterator[str]:
        """`stream_text`, awaited."""
        request = self._request(prompt, turns)
        if hit := self._hit(request):
            yield hit.raw
            return
        with self._meter(request) as meter, self._turns(request, meter) as way:
            async for piece in way.astream():
                yield piece
            self._keep(request, meter, meter.streamed())

    # ---- how a request is made

    def _request(
        self,
        prompt: Prompt,
        turns: Sequence[Turn],
        schema: type[BaseModel] | None = None,
        tools: tuple[dict[str, Any], ...] = (),
    ) -> Request:
        sent = as_one_image(turns) if self.one_image else tuple(turns)
        return Request(self.spec, self.model, prompt, sent, schema, tools)

    def _told(self, request: Request) -> RunnableConfig:
        """What a trace says of a call, if somebody traces."""
        metadata = {"role": self.role, "spec": redact(str(self.spec)), "prompt": request.prompt.sha}
        return {"run_name": self.role, "tags": [self.role], "metadata": metadata}

    def _rungs(self) -> tuple[Rung, ...]:
        """The rungs worth paying for; in-process models write text and nothing else."""
        if self.spec.in_process:
            return ("prompt",)
        unable = set(self._unable)
        if self.replies is not None:
            unable |= self.replies.inabilities(str(self.spec))
        return tuple(rung for rung in LADDER if rung == "prompt" or rung not in unable)

    def _run(self, request: Request, steps: Steps[V]) -> Reply[V]:
        """From the cache, or asked once while other askers of the same wait for the reply."""
        if self.replies is None:
            return self._ask(request, steps)
        if hit := self._hit(request):
            return hit
        self._defer(request)
        with self.replies.lock(request.key):
            return self._hit(request) or self._ask(request, steps)

    async def _arun(self, request: Request, steps: Steps[V]) -> Reply[V]:
        if self.replies is None:
            return await self._aask(request, steps)
        if hit := self._hit(request):
            return hit
        self._defer(request)
        async with self.replies.alock(request.key):
            return self._hit(request) or await self._aask(request, steps)

    def _defer(self, request: Request) -> None:
        """In batch mode: raises Deferred, unless the request must be asked online."""
        if self.deferred is not None:
            rung: Rung = "text" if request.schema is None else self._rungs()[0]
            self.deferred.defer(self.role, request, "calls" if request.tools else rung)

    def _ask(self, request: Request, steps: Steps[V]) -> Reply[V]:
        with self._meter(request) as meter, self._turns(request, meter) as turns:
            return self._keep(request, meter, turns.climb(steps))

    async def _aask(self, request: Request, steps: Steps[V]) -> Reply[V]:
        with self._meter(request) as meter, self._turns(request, meter) as turns:
            return self._keep(request, meter, await turns.aclimb(steps))

    def _turns(self, request: Request, meter: Meter) -> Turns:
        return Turns(
            request,
            meter,
            self.pace,
            self.budget,
            self.retries,
            told=self._told(request),
            heard=self._heard,
        )

    @contextmanager
    def _meter(self, request: Request) -> Iterator[Meter]:
        meter = Meter(self.role, request, self.budget, self.ledger)
        try:
            yield meter
        finally:
            meter.close()

    def _hit(self, request: Request) -> Reply[Any] | None:
        """The cached reply, read anew; one which no longer fits its schema is asked again."""
        if self.replies is None or (kept := self.replies.get(request.key)) is None:
            return None
        value: Any = kept.text.strip()
        if request.schema is not None:
            value, fault = read(request.schema, Said(kept.text))
            if value is None:
                self.replies.drop(request.key)
                if self.deferred is not None:
                    self.deferred.unfit(request.key, fault)
                return None
        usage, how = Usage(cached_calls=1), ("cache", *kept.how)
        self.ledger.record(Entry(self.role, str(self.spec), usage, how=how))
        return Reply(value, kept.text, usage, how, kept.usage, kept.snapshot)

    def _keep(self, request: Request, meter: Meter, climbed: Climbed[V]) -> Reply[V]:
        """Stores a good reply."""
        meter.how = climbed.how
        if self.replies is not None:
            kept = StoredReply(
                text=climbed.raw, how=climbed.how, usage=meter.usage, snapshot=meter.snapshot
            )
            self.replies.put(request.key, str(self.spec), self.role, kept)
        usage = meter.usage
        return Reply(climbed.value, climbed.raw, usage, climbed.how, usage, meter.snapshot)

    def _note_unable(self, rung: Rung) -> None:
        self._unable.add(rung)
        if self.replies is not None:
            self.replies.remember_inability(str(self.spec), rung)
