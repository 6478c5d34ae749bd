"""What a batch brought, read as replies to calls are read, into the reply cache."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from videoespresso.errors import ModelError
from videoespresso.memory.replies import ReplyCache, StoredReply
from videoespresso.models.batch_api.openai import BatchApi, Offline
from videoespresso.models.batch_api.store import BatchRow, BatchStore, RequestRow
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.errors import model_errors, redact
from videoespresso.models.client.messages import ModelReply, model_reply
from videoespresso.models.client.prices import price
from videoespresso.models.client.reading import read
from videoespresso.models.client.structured_output import json_schema
from videoespresso.models.client.usage import UsageEntry, UsageLog, token_usage
from videoespresso.models.specs import ModelSpec
from videoespresso.types import Usage

if TYPE_CHECKING:
    from openai.types import Batch


TRIES = 3
"""Times in a row that all batches of a model may fail before anything of them is executed."""

_ENDS = {
    "failed": "the batch failed",
    "expired": "the batch expired",
    "cancelled": "the batch was cancelled",
}


class _Response(BaseModel):
    status_code: int
    body: Any = None


class _Error(BaseModel):
    code: str | None = None
    message: str | None = None


class _Line(BaseModel):
    """A line of an output or error file."""

    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


class Results:
    """Takes in what a batch brought; what is no use is noted with its reason for another round.
    Not thread-safe: its owner has a lock.

    A reply that was taken in is not taken in again, so a killed process can begin anew.
    """

    def __init__(
        self, store: BatchStore, replies: ReplyCache, budget: Budget, usage_log: UsageLog
    ) -> None:
        self._store, self._replies = store, replies
        self._budget, self._usage_log = budget, usage_log
        self._schemas: dict[str, type[BaseModel]] = {}
        self._ended: dict[str, list[str]] = {}
        self._refused_in_a_row: dict[str, int] = {}

    def schema_hash(self, schema: type[BaseModel] | None) -> str:
        """A hash by which a schema is known, "" for none; the class is remembered under it.

        A process that never asked for a schema takes a reply to it unread: the agent that wants
        it reads it, and sends it back if it does not fit (`BatchCollector.unfit`).
        """
        if schema is None:
            return ""
        text = json.dumps([schema.__qualname__, json_schema(schema)], sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._schemas[name] = schema
        return name

    def check_refusals(self) -> None:
        """Between two sendings. Raises ModelError when all batches of a model failed TRIES times
        before anything of them was executed.

        That a server takes some batches of several and refuses the others (its queue is full) is
        no reason to give up: the others get in when those have ended.
        """
        ended, self._ended = self._ended, {}
        for spec, refusals in ended.items():
            in_a_row = self._refused_in_a_row.get(spec, 0) + 1 if all(refusals) else 0
            self._refused_in_a_row[spec] = in_a_row
            if in_a_row >= TRIES:
                raise ModelError(
                    f"the batches of {spec} failed {TRIES} times before anything was done; the "
                    f"last time {refusals[-1]}",
                    hint="Nothing was paid for them. Wait until the account has fewer batches in "
                    "its queue, or build fewer videos at a time; the same command goes on.",
                )

    def take_in(self, batch: BatchRow, api: BatchApi, ended: "Batch") -> None:
        """Everything of a batch that has ended, and the end of those requests without a reply. One
        that failed before anything was executed is no round of its requests."""
        offline = Offline(api.model)
        for file_id in (ended.output_file_id, ended.error_file_id):
            for line in api.lines(file_id) if file_id else ():
                self._take_line(batch, offline, line)
        faults = ended.errors.data if ended.errors and ended.errors.data else []
        why = redact("; ".join(fault.message or fault.code or "?" for fault in faults))
        reason = _ENDS.get(ended.status, "no reply came")
        reason = f"{reason}: {why}" if why else reason
        executed = set(self._store.count(batch.name)) != {"sent"}
        refused = ended.status == "failed" and not executed
        self.end(
            batch,
            reason,
            rounds=0 if refused or ended.status == "cancelled" else 1,
            failed=ended.status != "completed",
        )
        self._ended.setdefault(batch.spec, []).append(reason if refused else "")

    def end(self, batch: BatchRow, reason: str, *, rounds: int = 1, failed: bool = True) -> None:
        """The batch is over: what has not come will not. rounds: what that counts."""
        for row in self._store.requests(batch.name, "sent"):
            self._settle(row, None, reason, rounds)
        self._store.update(batch.name, status="ended", reason=reason if failed else "")

    def _settle(self, row: RequestRow, usage: Usage | None, fault: str, rounds: int = 1) -> None:
        """What became of a request. usage: what it cost, None for nothing."""
        self._store.settle(row.key, fault, rounds)
        self._budget.settle(row.usd, usage)

    def _take_line(self, batch: BatchRow, offline: Offline, text: str) -> None:
        """One that cannot be read leaves its request without a reply."""
        try:
            line = _Line.model_validate_json(text)
        except ValidationError:
            return
        row = self._store.request(line.custom_id)
        if row is None or row.batch != batch.name or row.state != "sent":
            return
        if line.response is None:
            error = line.error or _Error()
            reason = ": ".join(part for part in (error.code, error.message) if part)
            self._settle(row, None, redact(reason) or "an error without a word")
            return
        spec = ModelSpec.parse(batch.spec)
        try:
            with model_errors(spec):
                message = offline.read(line.response.status_code, line.response.body)
        except ModelError as error:
            self._settle(row, Usage(calls=1), str(error))
            return
        self._take_reply(spec, row, model_reply(message, calls=row.method == "calls"))

    def _take_reply(self, spec: ModelSpec, row: RequestRow, reply: ModelReply) -> None:
        """Stores the reply if it is good. Paid for it is in either case."""
        sizes = tuple((width, height) for width, height in json.loads(row.sizes))
        per_token = price(spec)
        per_token = per_token and per_token.in_batch(spec.provider)
        usage = Usage(calls=1, **token_usage(reply, row.input_tokens, len(sizes), per_token))
        fault = self._fault(row, reply)
        how = ("batch", f"{row.method}: {fault or 'ok'}")
        if not fault:
            stored = StoredReply(text=reply.text, how=how, usage=usage, snapshot=reply.snapshot)
            self._replies.put(row.key, str(spec), row.role, stored)
        self._settle(row, usage, fault)
        reported = reply.input_tokens > 0
        self._usage_log.record(
            UsageEntry(row.role, str(spec), usage, sizes, row.image_tokens, reported, how)
        )

    def _fault(self, row: RequestRow, reply: ModelReply) -> str:
        """What is wrong with a reply, "" when it will do."""
        if reply.refusal:
            return f"the model refused to answer: {reply.refusal}"
        if not reply.text.strip():
            return "the reply is empty"
        if schema := self._schemas.get(row.schema):
            value, note = read(schema, reply.text, cut=reply.cut)
            return note if value is None else ""
        return "the reply was cut at the length limit" if row.schema and reply.cut else ""
