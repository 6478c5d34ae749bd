"""An embedder on a server, used as a chat model is: paced, counted, within the budget, tried again;
and the vector of a text is never paid twice."""

import base64
import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from numpy.typing import NDArray

from videoespresso.memory.captions import Embedder
from videoespresso.memory.replies import ReplyCache, StoredReply, reply_key
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.messages import Turn
from videoespresso.models.client.rate_limit import Pace
from videoespresso.models.client.request import Prompt, Request
from videoespresso.models.client.retry import Retries, Turns
from videoespresso.models.client.structured_output import Said
from videoespresso.models.client.usage import Entry, Ledger, Meter
from videoespresso.models.embedders import OpenAIEmbedder, embedder
from videoespresso.types import Usage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

ROLE = "embedder"
_PROMPT = Prompt(ROLE, "", "")

Vector = NDArray[np.float32]


class PaidEmbedder:
    """What agents/base.py is to a chat model; for the arguments see there.

    Raises ModelError when the server cannot be reached or refuses, and BudgetExceeded before the
    call that would pass a limit; vectors that came until then are in the cache.
    """

    def __init__(
        self,
        inner: OpenAIEmbedder,
        *,
        ledger: Ledger | None = None,
        budget: Budget | None = None,
        replies: ReplyCache | None = None,
        pace: Pace | None = None,
        retries: Retries | None = None,
    ) -> None:
        self._inner, self._replies = inner, replies
        self._ledger, self._budget = ledger or Ledger(), budget or Budget()
        self._pace, self._retries = pace or Pace(), retries or Retries()

    @property
    def name(self) -> str:
        """The embedder's own: the vectors are the same."""
        return self._inner.name

    def charging(self, ledger: Ledger, budget: Budget) -> Self:
        """The same embedder with somebody else's ledger and budget."""
        mine = copy.copy(self)
        mine._ledger, mine._budget = ledger, budget
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
        kept = {text: self._kept(text) for text in texts}
        known = {text: vector for text, vector in kept.items() if vector is not None}
        missing = [text for text in texts if text not in known]
        for start in range(0, len(missing), self._inner.batch):
            known |= self._asked(missing[start : start + self._inner.batch])
        if not missing:
            self._ledger.record(Entry(ROLE, self.name, Usage(cached_calls=1), how=("cache",)))
        return known

    def _asked(self, texts: list[str]) -> dict[str, Vector]:
        """From the server, in one request."""
        inner = self._inner
        told = cast("BaseChatModel", inner)  # is asked for its spec and its price, never to chat
        request = Request(inner.spec, told, _PROMPT, (Turn("user", tuple(texts)),))
        meter = Meter(ROLE, request, self._budget, self._ledger)

        def ask() -> NDArray[np.float32]:
            rows, tokens = inner.counted(texts)
            meter.came = Said("", input_tokens=tokens)
            return rows

        try:
            with Turns(request, meter, self._pace, self._budget, self._retries, told={}) as turns:
                rows = turns.once(ask)
        finally:
            meter.close()
        usage = meter.usage
        found = dict(zip(texts, rows, strict=True))
        for text, vector in found.items():
            self._keep(text, vector, usage)
            usage = Usage()  # of all texts of a request the first bears its cost
        return found

    # ---- the cache

    def _key(self, text: str) -> str:
        return reply_key({"embedder": self.name, "text": text})

    def _kept(self, text: str) -> Vector | None:
        if self._replies is None or (kept := self._replies.get(self._key(text))) is None:
            return None
        return np.frombuffer(base64.b64decode(kept.text), "<f4").astype(np.float32)

    def _keep(self, text: str, vector: Vector, usage: Usage) -> None:
        if self._replies is not None:
            packed = base64.b64encode(vector.astype("<f4").tobytes()).decode()
            reply = StoredReply(text=packed, how=("embedding: ok",), usage=usage)
            self._replies.put(self._key(text), self.name, ROLE, reply)


def within_limits(
    spec: str,
    *,
    ledger: Ledger | None = None,
    budget: Budget | None = None,
    replies: ReplyCache | None = None,
    pace: Pace | None = None,
) -> Embedder:
    """The embedder a spec names; one on a server as a PaidEmbedder. Raises SettingsError."""
    found = embedder(spec)
    if not isinstance(found, OpenAIEmbedder):
        return found
    return PaidEmbedder(found, ledger=ledger, budget=budget, replies=replies, pace=pace)


def charging(embed: Embedder, ledger: Ledger, budget: Budget) -> Embedder:
    """The embedder with somebody else's ledger and budget; one in this process has none."""
    return embed.charging(ledger, budget) if isinstance(embed, PaidEmbedder) else embed
