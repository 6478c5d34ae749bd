"""Batch mode: requests that need no reply today are collected, sent as one file, and paid by half.

collector = BatchCollector(folder, replies, budget, usage_log)
agent = Agent(..., replies=replies, collector=collector)
agent.typed(...)     # raises Deferred; what follows from its reply waits with it
collector.submit()   # when nothing more can be done
collector.poll()     # now and then, for days and from any process: the folder is enough
agent.typed(...)     # from the reply cache
"""

import json
import threading
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout
from langchain_core.language_models import BaseChatModel

from videoespresso.errors import MemoryStoreError, ModelOutputError
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.batch_api.openai import (
    ENDED,
    ENDPOINT,
    MOST_BYTES,
    MOST_REQUESTS,
    Offline,
    batchable,
)
from videoespresso.models.batch_api.outbox import Outbox
from videoespresso.models.batch_api.results import Results
from videoespresso.models.batch_api.store import BatchRow, BatchStore, RequestRow
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.request import Request
from videoespresso.models.client.structured_output import Attempt, Method
from videoespresso.models.client.usage import UsageLog, known_price, most_usd
from videoespresso.types import Record

ROUNDS = 2
"""Batches a request may be in without a good reply; then it is asked online, at the full price. One
that failed before anything was executed does not count."""


class Deferred(Exception):
    """Not an error: the reply is asked for in a batch and will be in the reply cache later.

    No VideoEspressoError, so that nothing that handles failures takes it for one. key: the
    request's in the reply cache.
    """

    def __init__(self, key: str) -> None:
        super().__init__("asked in a batch")
        self.key = key


class BatchState(Record):
    """How a batch is. name: ours; batch_id: the server's, "" before it has one. status: the
    server's word, or "prepared" (will be sent) or "ended". reason: why it failed, if it did."""

    name: str
    batch_id: str
    spec: str
    status: str
    requests: int
    good: int
    bad: int
    reason: str = ""


class BatchCollector:
    """Collects requests, sends them through OpenAI's Batch API and fills the reply cache.

    folder: where ids and states are kept (store.py); one collector at a time uses it.
    Images are in the requests as data URLs, for that is the API: a file of requests lies in the
    folder until its batch is created and is deleted then, and at the server when the batch has
    ended; pixels stay nowhere but in the frame store. Files of replies are left to the server,
    which deletes them after 30 days. No API key is written anywhere.

    budget: the most each request can cost is reserved when it is deferred, so that no batch can
    pass a limit; what its reply cost is charged when it comes. A killed process loses nothing that
    was submitted: whatever step it died in is found at the server by the name the batch carries.
    Thread-safe. Raises MemoryStoreError when the folder is in use or unusable.
    """

    def __init__(
        self, folder: Path, replies: ReplyCache, budget: Budget, usage_log: UsageLog,
        *, rounds: int = ROUNDS, most_requests: int = MOST_REQUESTS, most_bytes: int = MOST_BYTES,
    ) -> None:  # fmt: skip
        self.folder, self.budget, self.rounds = folder, budget, rounds
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        self._owner = FileLock(folder / "collector.lock", thread_local=False)
        try:
            self._owner.acquire(timeout=0)
        except Timeout as error:
            raise MemoryStoreError(
                f"the batches in {folder} are in another process's hands",
                hint="Wait until it ends, or choose another folder.",
            ) from error
        self._store = BatchStore(folder / "batches.sqlite")
        self._results = Results(self._store, replies, budget, usage_log)
        self._outbox = Outbox(folder, self._store, budget, most_requests, most_bytes)
        self._outbox.take_over()
        self._offline: dict[int, tuple[BaseChatModel, Offline]] = {}

    # ---- what an agent calls

    def defer(self, role: str, request: Request, method: Method) -> None:
        """Takes the request and raises Deferred; returns when it must be asked online.

        Online go models without a Batch API, and requests which had no good reply in `rounds`
        batches. Raises BudgetExceeded when the request may not be made, and ModelOutputError for
        one that is to be split, after its first batch.
        """
        if not batchable(request.spec, request.model):
            return
        schema = self._results.schema_hash(request.schema)
        with self._lock:
            known = self._store.request(request.key)
            if known is not None:
                if known.state in ("wanted", "sent"):
                    raise Deferred(request.key)
                if request.splits and known.rounds:
                    raise ModelOutputError(f"no good reply came in a batch: {known.reason}")
                if known.rounds >= self.rounds:
                    return
            line = self._line(request, method)
            if line is None:
                return
            per_token = known_price(request, self.budget)
            usd = most_usd(
                per_token and per_token.in_batch(request.spec.provider), request, Attempt(method)
            )
            self.budget.reserve(usd, 1)
            self._outbox.add(
                request.spec,
                line,
                RequestRow(
                    request.key, "", role, method, schema, usd, json.dumps(request.sizes),
                    request.image_tokens, request.input_tokens,
                    rounds=known.rounds if known else 0, reason=known.reason if known else "",
                ),
            )  # fmt: skip
        raise Deferred(request.key)

    def unfit(self, key: str, reason: str) -> None:
        """The reply that came for the key does not fit after all: its next round is due."""
        with self._lock:
            known = self._store.request(key)
            if known is not None and known.state == "good":
                self._store.settle(key, reason)

    # ---- what the builder calls

    @property
    def waiting(self) -> int:
        """Requests in batches that have not ended."""
        with self._lock:
            return sum(self._store.count(b.name).get("sent", 0) for b in self._store.batches())

    def submit(self) -> list[BatchState]:
        """Sends everything collected, and what an earlier process could not finish sending.

        Raises ModelError when the server cannot be reached or refuses, and instead of sending when
        it failed whole batches of a model too often (results.py); call it again later.
        """
        with self._lock:
            self._results.check_refusals()
            self._outbox.close()
            self._send_prepared()
            return [self._state(batch) for batch in self._store.batches()]

    def poll(self) -> list[BatchState]:
        """Asks how the batches are and takes in the replies of those that have ended.

        Replies go into the reply cache under their requests' keys; what an expired or cancelled
        batch had done is kept. Batches that ended now are in the list a last time. Raises
        ModelError when the server cannot be reached; what was taken in is kept.
        """
        with self._lock:
            self._send_prepared()
            open_ones = [batch for batch in self._store.batches() if batch.batch_id]
            for batch in open_ones:
                self._poll(batch)
            names = {batch.name for batch in open_ones}
            batches = self._store.batches(ended=True)
            return [self._state(batch) for batch in batches if batch.name in names]

    def close(self) -> None:
        """Deletes what was not submitted and lets another collector have the folder."""
        with self._lock:
            self._outbox.discard()
            self._store.close()
            self._owner.release()

    # ---- collecting

    def _line(self, request: Request, method: Method) -> bytes | None:
        """The request as a line of a batch's file; None when it is no chat completion."""
        model = request.model
        if id(model) not in self._offline:
            self._offline[id(model)] = model, Offline(model)
        _, offline = self._offline[id(model)]
        messages = request.messages(Attempt(method))
        path, body = offline.sent(
            lambda model: replace(request, model=model).runnable(method).invoke(messages)
        )
        if f"/v1{path}" != ENDPOINT:
            return None
        if not body.get("stream"):
            body.pop("stream", None)  # said by ChatOpenAI; a batch knows no streams
        line = {"custom_id": request.key, "method": "POST", "url": ENDPOINT, "body": body}
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"

    # ---- sending and taking in

    def _send_prepared(self) -> None:
        for batch in self._store.batches():
            if batch.status == "prepared" and not self._outbox.send(batch):
                self._results.end(batch, "its file was lost before it was sent", rounds=0)

    def _poll(self, batch: BatchRow) -> None:
        api = self._outbox.api(batch.spec)
        now = api.get(batch.batch_id)
        if now is not None and now.status not in ENDED:
            self._store.update(batch.name, status=now.status)
            return
        if now is None:
            self._results.end(batch, "the server does not know the batch any more")
        else:
            self._results.take_in(batch, api, now)
        self._outbox.forget(batch)

    def _state(self, batch: BatchRow) -> BatchState:
        count = self._store.count(batch.name)
        return BatchState(
            name=batch.name,
            batch_id=batch.batch_id,
            spec=batch.spec,
            status=batch.status,
            requests=sum(count.values()),
            good=count.get("good", 0),
            bad=count.get("bad", 0),
            reason=batch.reason,
        )
