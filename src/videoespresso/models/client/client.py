"""ModelClient: one role's way to one chat model, the only place that talks to it.

Replies are cached, calls counted, budgets kept, failures retried and converted, and typed replies
read - here, once, for every role. The order of one call is in models/client/__init__.py.
"""

import copy
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Self, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel

from videoespresso.memory.replies import ReplyCache, StoredReply
from videoespresso.models import served
from videoespresso.models.batch_api.collector import BatchCollector
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.errors import redact
from videoespresso.models.client.interruption import finished
from videoespresso.models.client.messages import Called, Turn, as_one_image
from videoespresso.models.client.rate_limit import RateLimit
from videoespresso.models.client.reading import read, spoken, was_cut
from videoespresso.models.client.request import IMAGES, OneImageError, Prompt, Reply, Request
from videoespresso.models.client.retry import Listener, Retries, Sender
from videoespresso.models.client.structured_output import (
    METHODS,
    Ask,
    Bounds,
    Method,
    Parsed,
    plain_text,
    shortened,
    structured_output,
    tool_calls,
)
from videoespresso.models.client.usage import UsageEntry, UsageLog
from videoespresso.models.profiles import sheet_size, takes_one_image
from videoespresso.models.specs import ModelSpec, server_mark, server_name
from videoespresso.types import Usage

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V")


class ModelClient:
    """One role on one model.

    replies: the cache, None to ask anew each time. budget: checked before each call, charged
    after. one_image: the model takes one image a request, so several become a labelled grid
    (default: by the model's name, or once its server said so). sheet: frames a request for captions
    may hold, 0 for what is known of the provider. concurrency: calls at a time in a batch;
    in-process models get one, they use all cores already, or as many as they answer together.
    rate_limit: the line before the provider, shared by all clients on it; by default nobody is
    waited for.
    collector: batch mode (models/batch_api/collector.py; needs replies): what is not in the cache
    raises Deferred instead of being asked.
    timeout_s: how long a call may take, of providers whose clients are not held to it themselves.
    reached: shared by the clients on one model, of which it is not known whether it can answer:
    the first that asks finds out, and raises SettingsError where it cannot (`served.check`).

    Every method raises ModelError when the model cannot be reached or refuses, ModelOutputError
    when its reply is no use, and BudgetExceeded before the call that would pass a limit.
    """

    def __init__(
        self,
        role: str,
        spec: ModelSpec,
        model: BaseChatModel,
        *,
        usage_log: UsageLog,
        replies: ReplyCache | None = None,
        budget: Budget | None = None,
        one_image: bool | None = None,
        sheet: int = 0,
        concurrency: int = 4,
        retries: Retries | None = None,
        rate_limit: RateLimit | None = None,
        collector: BatchCollector | None = None,
        timeout_s: float | None = None,
        reached: threading.Event | None = None,
    ) -> None:
        self.role = role
        self.reached = reached
        self.model = model
        self.usage_log = usage_log
        self.replies = replies
        self.budget = budget or Budget()
        self.one_image = takes_one_image(spec) if one_image is None else one_image
        self.frames_at_once = 1 if spec.in_process else sheet or sheet_size(spec)
        self.concurrency = getattr(model, "batch_size", 1) if spec.in_process else concurrency
        self.retries = retries or Retries()
        self.rate_limit = rate_limit or RateLimit()
        self.collector = collector
        self.timeout_s = timeout_s
        self._listener: Listener | None = None
        self._unable: set[str] = set()
        self._name(spec)

    def _name(self, spec: ModelSpec) -> None:
        """Under which spec the model is asked, counted and remembered."""
        self.spec = spec
        self._model_name = str(spec)
        self._public_name = redact(self._model_name)

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

    def text(self, prompt: Prompt, turns: Sequence[Turn]) -> Reply[str]:
        """The model's words."""
        return self._reply(self._request(prompt, turns), plain_text)

    def typed(
        self,
        prompt: Prompt,
        turns: Sequence[Turn],
        schema: type[T],
        bounds: Bounds | None = None,
        *,
        splits: bool = False,
    ) -> Reply[T]:
        """The model's reply as a `schema`. bounds: what the turns say of it ("Step.frame": the
        numbers of the frames that are shown): models that are held to a schema are held to them,
        and no list is longer than they say, or than MOST_ITEMS. splits: see `Request`."""
        reply = self._reply(
            replace(self._request(prompt, turns, schema, bounds=bounds), splits=splits),
            lambda ask: structured_output(schema, self._methods(), ask, self._note_unable),
        )
        return replace(reply, value=shortened(reply.value, bounds))

    def called(
        self, prompt: Prompt, turns: Sequence[Turn], tools: Sequence[dict[str, Any]]
    ) -> Reply[Called]:
        """Which of the tools the model wants called; ask `can_call` first.

        Raises UnsupportedError, a ModelError, when the server takes no tools; that is remembered.
        """
        return self._reply(
            self._request(prompt, turns, Called, tuple(tools)),
            lambda ask: tool_calls(ask, self._note_unable),
        )

    def reach(self) -> None:
        """Raises SettingsError where the model cannot answer; nothing is paid."""
        served.check([self.spec])
        if check := getattr(self.model, "check_weights", None):  # `hf:` and its like
            check()
        if self.reached is not None:
            self.reached.set()

    def known_text(self, prompt: Prompt, turns: Sequence[Turn]) -> str:
        """The cached reply to `text`; "" where there is none. Nothing is asked."""
        cached = self._cached(self._request(prompt, turns))
        return "" if cached is None else str(cached.value)

    def keep_text(self, prompt: Prompt, turns: Sequence[Turn], text: str) -> None:
        """Stores what `text` would reply, when it came with the reply to something larger, in which
        its cost is counted."""
        if self.replies is not None:
            stored = StoredReply(text=text, how=("sheet: ok",), usage=Usage(), snapshot="")
            self.replies.put(self._request(prompt, turns).key, self._model_name, self.role, stored)

    def with_listener(self, listener: Listener) -> Self:
        """The same client; the listener gets the text of a reply while it is written. Not of a
        cached one."""
        mine = copy.copy(self)
        mine._listener = listener
        return mine

    def closely(self) -> Self:
        """The same client, whose model looks at pictures as closely as it can: without the spec's
        `detail`."""
        query = "&".join(f"{k}={v}" for k, v in self.spec.options.items() if k != "detail")
        if query == self.spec.model.partition("?")[2]:
            return self
        mine = copy.copy(self)
        mine._name(replace(self.spec, model=self.spec.name + (f"?{query}" if query else "")))
        return mine

    @property
    def can_call(self) -> bool:
        """Whether the model's class can be given tools, and its server never refused them."""
        can = type(self.model).bind_tools is not BaseChatModel.bind_tools
        return can and "calls" not in self._inabilities()

    # ---- how a request is made

    def _request(
        self,
        prompt: Prompt,
        turns: Sequence[Turn],
        schema: type[BaseModel] | None = None,
        tools: tuple[dict[str, Any], ...] = (),
        bounds: Bounds | None = None,
    ) -> Request:
        lacks = frozenset() if self.spec.in_process else frozenset(self._inabilities())
        one_image = self.one_image or IMAGES in lacks
        sent = as_one_image(turns) if one_image else tuple(turns)
        return Request(self.spec, self.model, prompt, sent, schema, tools, lacks, bounds)

    def _methods(self) -> tuple[Method, ...]:
        """The methods worth paying for; in-process models write text and nothing else."""
        if self.spec.in_process:
            return ("prompt",)
        unable = self._inabilities()
        return tuple(method for method in METHODS if method == "prompt" or method not in unable)

    def _reply(self, request: Request, parse: Callable[[Ask], Parsed[V]]) -> Reply[V]:
        """The reply; asked again with a grid of a server that turns out to take one image."""
        try:
            return self._once(request, parse)
        except OneImageError:
            self._note_unable(IMAGES)
            return self._once(replace(request, turns=as_one_image(request.turns)), parse)

    def _once(self, request: Request, parse: Callable[[Ask], Parsed[V]]) -> Reply[V]:
        """From the cache, or asked once while other askers of the same wait for the reply."""
        if self.replies is None:
            return self._ask(request, parse)
        if cached := self._cached(request):
            return cached
        if self.collector is not None:  # raises Deferred, unless it must be asked online
            method: Method = "text" if request.schema is None else self._methods()[0]
            self.collector.defer(self.role, request, "calls" if request.tools else method)
        with self.replies.lock(request.key):
            return self._cached(request) or self._ask(request, parse)

    def _ask(self, request: Request, parse: Callable[[Ask], Parsed[V]]) -> Reply[V]:
        """From the model; a good reply is stored."""
        if self.reached is not None and not self.reached.is_set():
            self.reach()
        keeping = nullcontext() if self.spec.in_process else finished()
        with (
            keeping,
            Sender(
                self.role,
                request,
                usage_log=self.usage_log,
                budget=self.budget,
                rate_limit=self.rate_limit,
                retries=self.retries,
                trace=self._trace(request),
                listener=self._listener,
                unable=self._note_unable,
                timeout_s=self.timeout_s,
            ) as sender,
        ):
            parsed, usage = parse(sender.attempt), sender.usage
            usage.how = parsed.how
            if self.replies is not None:
                stored = StoredReply(
                    text=parsed.raw, how=parsed.how, usage=usage.total, snapshot=usage.snapshot
                )
                self.replies.put(request.key, self._model_name, self.role, stored)
        return Reply(parsed.value, parsed.raw, usage.total, parsed.how, usage.total, usage.snapshot)

    def _cached(self, request: Request) -> Reply[Any] | None:
        """The cached reply, read anew; one which no longer fits its schema is asked again."""
        if self.replies is None or (stored := self.replies.get(request.key)) is None:
            return None
        value: Any = spoken(stored.text).strip()
        if request.schema is not None:
            value, fault = read(request.schema, stored.text, cut=was_cut(stored.how))
            if value is None:
                self.replies.drop(request.key)
                if self.collector is not None:
                    self.collector.unfit(request.key, fault)
                return None
        usage, how = Usage(cached_calls=1), ("cache", *stored.how)
        before = UsageEntry(
            self.role, self._model_name, stored.usage, image_tokens=request.image_tokens
        )
        self.usage_log.record(
            UsageEntry(self.role, self._model_name, usage, how=how, stored=before)
        )
        return Reply(value, stored.text, usage, how, stored.usage, stored.snapshot)

    def _trace(self, request: Request) -> RunnableConfig:
        """What a trace says of a call, if somebody traces."""
        metadata = {"role": self.role, "spec": self._public_name, "prompt": request.prompt.sha}
        return {"run_name": self.role, "tags": [self.role], "metadata": metadata}

    # ---- what the model cannot do

    @property
    def _server(self) -> str:
        """Whose inabilities are remembered: the same model may be served twice."""
        return server_name(self.spec, getattr(self.model, "openai_api_base", None))

    def _inabilities(self) -> set[str]:
        """What this client saw, and what is remembered of its model on that server."""
        known = set(self._unable)
        if self.replies is not None:
            known |= self.replies.inabilities(self._server)
        return known

    def _note_unable(self, what: str) -> None:
        self._unable.add(what)
        if self.replies is not None:
            self.replies.remember_inability(self._server, what)
