"""Requests on their way into a batch: one growing file a model, closed when it is full."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from videoespresso.errors import MemoryStoreError
from videoespresso.models.batch_api.openai import MOST_BYTES, MOST_REQUESTS, requests_file
from videoespresso.models.batch_api.store import BatchRow, BatchTable, RequestRow
from videoespresso.models.client.budget import Budget
from videoespresso.models.specs import ModelSpec


class Spool:
    """The files that are being collected. Not thread-safe: its owner has a lock.

    most_requests and most_bytes are the API's limits on one file; that it has one model, its rule.
    A file that is not complete dies with its process: its requests are asked for again. `add` and
    `close` raise MemoryStoreError for one that cannot be written, and its requests are forgotten.
    """

    def __init__(
        self,
        folder: Path,
        table: BatchTable,
        budget: Budget,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._folder, self._table, self._budget = folder, table, budget
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._files: dict[str, tuple[BatchRow, BinaryIO]] = {}
        self._counts: dict[str, int] = {}

    def add(self, spec: ModelSpec, line: bytes, row: RequestRow) -> None:
        """Writes a request; its cost must be reserved, and is given back when it fails."""
        name = str(spec)
        try:
            with self._writing(name):
                self._write(name, line, row)
        except MemoryStoreError:
            self._budget.settle(row.usd, None)
            raise

    def _write(self, name: str, line: bytes, row: RequestRow) -> None:
        if name in self._files:
            size = self._files[name][1].tell()
            if self._counts[name] >= self._most_requests or size + len(line) > self._most_bytes:
                self._close_file(name)
        if name not in self._files:
            batch = BatchRow(uuid.uuid4().hex, name, "collecting")
            self._files[name] = batch, requests_file(self._folder, batch).open("xb")
            self._counts[name] = 0
        batch, file = self._files[name]
        file.write(line)
        self._table.add(batch, row._replace(batch=batch.name))
        self._counts[name] += 1

    def close(self) -> None:
        """Closes all files: from now on they are sent, whatever happens."""
        for spec in list(self._files):
            with self._writing(spec):
                self._close_file(spec)

    def discard(self) -> None:
        """Deletes what is not closed, and gives its reserved cost back."""
        for spec in list(self._files):
            self._discard(spec)

    def take_over(self) -> None:
        """Deletes what an earlier process had not closed; what was sent counts as spent until its
        replies are in."""
        for batch in self._table.batches():
            if batch.status == "collecting":
                self._forget(batch)
            waiting = self._table.requests(batch.name, "sent")
            self._budget.reserve(sum(r.usd for r in waiting), len(waiting), made=True)
        unsent = {requests_file(self._folder, b) for b in self._table.batches() if not b.batch_id}
        for path in self._folder.glob("requests-*.jsonl"):
            if path not in unsent:
                path.unlink(missing_ok=True)

    def _close_file(self, spec: str) -> None:
        batch, file = self._files[spec]
        file.flush()
        os.fsync(file.fileno())
        file.close()
        del self._files[spec], self._counts[spec]
        self._table.prepare(batch.name)

    @contextmanager
    def _writing(self, spec: str) -> Iterator[None]:
        """A file that could not be written may end in half a line: it is not sent."""
        try:
            yield
        except OSError as error:
            self._discard(spec)
            raise MemoryStoreError(
                f"requests for a batch cannot be written to {self._folder}: {error.strerror}",
                hint="Make room; the same command goes on. What was sent goes on at the server.",
            ) from error

    def _discard(self, spec: str) -> None:
        """Deletes a file that is not closed, if there is one."""
        self._counts.pop(spec, None)
        batch, file = self._files.pop(spec, (None, None))
        if batch is None or file is None:
            return
        with suppress(OSError):  # on a full disk closing tries to write once more
            file.close()
        for request in self._table.requests(batch.name, "wanted"):
            self._budget.settle(request.usd, None)
        self._forget(batch)

    def _forget(self, batch: BatchRow) -> None:
        self._table.discard(batch.name)
        requests_file(self._folder, batch).unlink(missing_ok=True)
