"""An embedder on a server, used as a chat model is: rate limit, budget, usage, retries; and the
vector of a text is never paid twice."""

import base64
import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from numpy.typing import NDArray

from videoespresso.memory.captions import Embedder
from videoespresso.memory.replies import ReplyCache, StoredReply, reply_key
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.interruption import finished
from videoespresso.models.client.messages import ModelReply, Turn
from videoespresso.models.client.rate_limit import RateLimit
from videoespresso.models.client.request import Prompt, Request
from videoespresso.models.client.retry import Retries, Sender
from videoespresso.models.client.usage import UsageEntry, UsageLog
from videoespresso.models.embedders import OpenAIEmbedder, embedder
from videoespresso.models.specs import ModelSpec
from videoespresso.types import Usage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

ROLE = "embedder"
_PROMPT = Prompt(ROLE, "", "")

Vector = NDArray[np.float32]


class PaidEmbedder:
    """What client/client.py is to a chat model; for the arguments see there.

    Raises ModelError when the server cannot be reached or refuses, and BudgetExceeded before the
    call that would pass a limit; vectors that came until then are in the cache.
    """

    def __init__(
        self,
        inner: OpenAIEmbedder,
        *,
        usage_log: UsageLog | None = None,
        budget: Budget | None = None,
        replies: ReplyCache | None = None,
        rate_limit: RateLimit | None = None,
        retries: Retries | None = None,
    ) -> None:
        self._inner, self._replies = inner, replies
        self._usage_log, self._budget = usage_log or UsageLog(), budget or Budget()
        self._rate_limit, self._retries = rate_limit or RateLimit(), retries or Retries()

    @property
    def name(self) -> str:
        """The embedder's own: the vectors are the same."""
        return self._inner.name

    def charging(self, usage_log: UsageLog, budget: Budget) -> Self:
        """The same embedder with somebody else's usage log and budget."""
        mine = copy.copy(self)
        mine._usage_log, mine._budget = usage_log, budget
        return mine

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) float32, as every Embedder; each different text is asked for once."""
        filled = list(dict.fromkeys(text for text in texts if text.strip()))
        known = self._vectors(filled or ["."])  # a text, for the width
        width = len(next(iter(known.values())))
        rows = np.zeros((len(texts), width), np.float32)
        for row, text in zip(rows, texts, strict=True):
            if text.strip():
                row[:] = known[text]
        return rows

    def _vectors(self, texts: list[str]) -> dict[str, Vector]:
        cached = {text: self._cached(text) for text in texts}
        known = {text: vector for text, vector in cached.items() if vector is not None}
        missing = [text for text in texts if text not in known]
        for start in range(0, len(missing), self._inner.batch):
            known |= self._request(missing[start : start + self._inner.batch])
        if not missing:
            entry = UsageEntry(ROLE, self.name, Usage(cached_calls=1), how=("cache",))
            self._usage_log.record(entry)
        return known

    def _request(self, texts: list[str]) -> dict[str, Vector]:
        """From the server, in one request."""
        inner = self._inner
        model = cast("BaseChatModel", inner)  # has a spec and a price, and never chats
        request = Request(inner.spec, model, _PROMPT, (Turn("user", tuple(texts)),))
        rows: list[Vector] = []

        def call() -> ModelReply:
            vectors, tokens = inner.counted(texts)
            rows[:] = vectors
            return ModelReply("", input_tokens=tokens)

        sender = Sender(
            ROLE,
            request,
            usage_log=self._usage_log,
            budget=self._budget,
            rate_limit=self._rate_limit,
            retries=self._retries,
        )
        with finished():
            with sender:
                sender.send(call)
            usage = sender.usage.total
            vectors = dict(zip(texts, rows, strict=True))
            for text, vector in vectors.items():
                self._store(text, vector, usage)
                usage = Usage()  # of all texts of a request the first bears its cost
        return vectors

    # ---- the cache

    def _key(self, text: str) -> str:
        return reply_key({"embedder": self.name, "text": text})

    def _cached(self, text: str) -> Vector | None:
        if self._replies is None or (stored := self._replies.get(self._key(text))) is None:
            return None
        return np.frombuffer(base64.b64decode(stored.text), "<f4").astype(np.float32)

    def _store(self, text: str, vector: Vector, usage: Usage) -> None:
        if self._replies is not None:
            packed = base64.b64encode(vector.astype("<f4").tobytes()).decode()
            reply = StoredReply(text=packed, how=("embedding: ok",), usage=usage)
            self._replies.put(self._key(text), self.name, ROLE, reply)


def within_limits(
    spec: str | ModelSpec,
    *,
    usage_log: UsageLog | None = None,
    budget: Budget | None = None,
    replies: ReplyCache | None = None,
    rate_limit: RateLimit | None = None,
) -> Embedder:
    """The embedder a spec names; one on a server as a PaidEmbedder. Raises SettingsError."""
    embed = embedder(spec)
    if not isinstance(embed, OpenAIEmbedder):
        return embed
    return PaidEmbedder(
        embed, usage_log=usage_log, budget=budget, replies=replies, rate_limit=rate_limit
    )


def charging(embed: Embedder, usage_log: UsageLog, budget: Budget) -> Embedder:
    """The embedder with somebody else's usage log and budget; one in this process has none."""
    return embed.charging(usage_log, budget) if isinstance(embed, PaidEmbedder) else embed
