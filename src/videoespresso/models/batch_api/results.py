"""The replies of a batch, read as the ladder reads them, into the reply cache."""

import hashlib
import json
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ValidationError

from videoespresso.errors import ModelError
from videoespresso.memory.replies import ReplyCache, StoredReply
from videoespresso.models.batch_api.openai import BatchApi, Offline
from videoespresso.models.batch_api.store import BatchRow, BatchTable, RequestRow
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.errors import model_errors, redact
from videoespresso.models.client.prices import price
from videoespresso.models.client.request import said
from videoespresso.models.client.structured_output import Rung, Said, json_schema, read
from videoespresso.models.client.usage import Entry, Ledger, taken
from videoespresso.models.specs import ModelSpec
from videoespresso.types import Usage

if TYPE_CHECKING:
    from openai.types import Batch


TRIES = 3
"""Times in a row that all batches of a model may fail before anything of them is executed."""


class Refusals:
    """Counts them, a model by itself. Not thread-safe: its owner has a lock.

    That a server takes some batches of several and refuses the others (its queue is full) is no
    reason to give up: the others get in when those have ended.
    """

    def __init__(self) -> None:
        self._now: dict[str, list[str]] = {}
        self._in_a_row: dict[str, int] = {}

    def ended(self, spec: str, refused: str) -> None:
        """A batch of the model has ended. refused: why nothing was executed, "" if it was."""
        self._now.setdefault(spec, []).append(refused)

    def check(self) -> None:
        """Between two sendings. Raises ModelError when a model's batches failed too often."""
        ended, self._now = self._now, {}
        for spec, refused in ended.items():
            self._in_a_row[spec] = self._in_a_row.get(spec, 0) + 1 if all(refused) else 0
            if self._in_a_row[spec] >= TRIES:
                raise ModelError(
                    f"the batches of {spec} failed {TRIES} times before anything was done; the "
                    f"last time {refused[-1]}",
                    hint="Nothing was paid for them. Wait until the account has fewer batches in "
                    "its queue, or build fewer videos at a time; the same command goes on.",
                )


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


class Receiver:
    """Takes in what a batch brought; what is no use is noted with its reason for another round.

    A reply that was taken in is not taken in again, so a killed process can begin anew.
    """

    def __init__(
        self, table: BatchTable, replies: ReplyCache, budget: Budget, ledger: Ledger
    ) -> None:
        self._table, self._replies = table, replies
        self._budget, self._ledger = budget, ledger
        self._schemas: dict[str, type[BaseModel]] = {}

    def form(self, schema: type[BaseModel] | None) -> str:
        """A hash by which a schema is known, "" for none; the class is remembered under it.

        A process that never asked for a schema takes a reply of that form unread: the agent that
        wants it reads it, and sends it back if it does not fit (`BatchCollector.unfit`).
        """
        if schema is None:
            return ""
        text = json.dumps([schema.__qualname__, json_schema(schema)], sort_keys=True)
        form = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._schemas[form] = schema
        return form

    def take_in(self, batch: BatchRow, api: BatchApi, found: "Batch") -> str:
        """Everything of a batch that has ended, and the end of those requests without a reply.

        Why it failed before anything was executed, "" if it did not: such a batch is no round of
        its requests.
        """
        offline = Offline(api.model)
        for file_id in (found.output_file_id, found.error_file_id):
            for text in api.lines(file_id) if file_id else ():
                self._take(batch, offline, text)
        faults = found.errors.data if found.errors and found.errors.data else []
        why = redact("; ".join(fault.message or fault.code or "?" for fault in faults))
        told = _ENDS.get(found.status, "no reply came")
        told = f"{told}: {why}" if why else told
        refused = found.status == "failed" and not self._executed(batch)
        self.end(
            batch,
            told,
            rounds=0 if refused or found.status == "cancelled" else 1,
            failed=found.status != "completed",
        )
        return told if refused else ""

    def end(self, batch: BatchRow, reason: str, *, rounds: int = 1, failed: bool = True) -> None:
        """The batch is over: what has not come will not. rounds: what that counts."""
        for row in self._table.requests(batch.name, "sent"):
            self._table.bad(row.key, reason, rounds)
            self._budget.settle(row.usd, None)
        self._table.update(batch.name, status="ended", reason=reason if failed else "")

    def _executed(self, batch: BatchRow) -> bool:
        """Whether something came of any of its requests."""
        return set(self._table.count(batch.name)) != {"sent"}

    def _take(self, batch: BatchRow, offline: Offline, text: str) -> None:
        """One line. One that cannot be read leaves its request without a reply."""
        try:
            line = _Line.model_validate_json(text)
        except ValidationError:
            return
        row = self._table.request(line.custom_id)
        if row is None or row.batch != batch.name or row.state != "sent":
            return
        spec = ModelSpec.parse(batch.spec)
        if line.response is None:
            error = line.error or _Error()
            reason = ": ".join(part for part in (error.code, error.message) if part)
            self._table.bad(row.key, redact(reason) or "an error without a word")
            self._budget.settle(row.usd, None)
            return
        try:
            with model_errors(spec):
                message = offline.read(line.response.status_code, line.response.body)
        except ModelError as error:
            self._table.bad(row.key, str(error))
            self._budget.settle(row.usd, Usage(calls=1))
            return
        self._read(spec, row, said(message, cast("Rung", row.rung)))

    def _read(self, spec: ModelSpec, row: RequestRow, came: Said) -> None:
        """Stores the reply if it is good. Paid for it is in either case."""
        sizes = tuple((width, height) for width, height in json.loads(row.sizes))
        per_token = price(spec)
        per_token = per_token and per_token.in_batch(spec.provider)
        usage = Usage(calls=1, **taken(came, row.input_tokens, len(sizes), per_token))
        fault = self._fault(row, came)
        how = ("batch", f"{row.rung}: {fault or 'ok'}")
        if not fault:
            kept = StoredReply(text=came.text, how=how, usage=usage, snapshot=came.snapshot)
            self._replies.put(row.key, str(spec), row.role, kept)
            self._table.good(row.key)
        else:
            self._table.bad(row.key, fault)
        self._budget.settle(row.usd, usage)
        reported = came.input_tokens > 0
        entry = Entry(row.role, str(spec), usage, sizes, row.image_tokens, reported, how)
        self._ledger.record(entry)

    def _fault(self, row: RequestRow, came: Said) -> str:
        """What is wrong with a reply, "" when it will do."""
        if not came.text.strip():
            return "the reply is empty"
        if schema := self._schemas.get(row.form):
            value, note = read(schema, came)
            return note if value is None else ""
        return "the reply was cut at the length limit" if row.form and came.cut else ""
