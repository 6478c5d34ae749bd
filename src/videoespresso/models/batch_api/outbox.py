"""Requests on their way into a batch: one growing file a model, closed when it is full, uploaded,
and deleted when its batch is created."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from videoespresso.errors import MemoryStoreError
from videoespresso.models.batch_api.openai import MOST_BYTES, MOST_REQUESTS, BatchApi
from videoespresso.models.batch_api.store import BatchRow, BatchStore, RequestRow
from videoespresso.models.client.budget import Budget
from videoespresso.models.specs import ModelSpec


class Outbox:
    """The files that are being collected or sent. Not thread-safe: its owner has a lock.

    most_requests and most_bytes are the API's limits on one file; that it has one model, its rule.
    A file that is not complete dies with its process: its requests are asked for again. `add` and
    `close` raise MemoryStoreError for one that cannot be written, and its requests are forgotten.
    """

    def __init__(
        self,
        folder: Path,
        store: BatchStore,
        budget: Budget,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._folder, self._store, self._budget = folder, store, budget
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._files: dict[str, tuple[BatchRow, BinaryIO]] = {}
        self._counts: dict[str, int] = {}
        self._apis: dict[str, BatchApi] = {}

    def path(self, batch: BatchRow) -> Path:
        """Where a batch's requests lie until it is created."""
        return self._folder / f"requests-{batch.name}.jsonl"

    # ---- collecting

    def add(self, spec: ModelSpec, line: bytes, row: RequestRow) -> None:
        """Writes a request; its cost must be reserved, and is given back when it fails."""
        try:
            with self._writing(str(spec)):
                self._write(str(spec), line, row)
        except MemoryStoreError:
            self._budget.settle(row.usd, None)
            raise

    def _write(self, spec: str, line: bytes, row: RequestRow) -> None:
        if spec in self._files:
            size = self._files[spec][1].tell()
            if self._counts[spec] >= self._most_requests or size + len(line) > self._most_bytes:
                self._close_file(spec)
        if spec not in self._files:
            batch = BatchRow(uuid.uuid4().hex, spec, "collecting")
            self._files[spec] = batch, self.path(batch).open("xb")
            self._counts[spec] = 0
        batch, file = self._files[spec]
        file.write(line)
        self._store.add(batch, row._replace(batch=batch.name))
        self._counts[spec] += 1

    def close(self) -> None:
        """Closes all files: from now on they are sent, whatever happens."""
        for spec in list(self._files):
            with self._writing(spec):
                self._close_file(spec)

    def _close_file(self, spec: str) -> None:
        batch, file = self._files[spec]
        file.flush()
        os.fsync(file.fileno())
        file.close()
        del self._files[spec]
        self._store.prepare(batch.name)

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

    def discard(self) -> None:
        """Deletes what is not closed, and gives its reserved cost back."""
        for spec in list(self._files):
            self._discard(spec)

    def _discard(self, spec: str) -> None:
        batch, file = self._files.pop(spec, (None, None))
        if batch is None or file is None:
            return
        with suppress(OSError):  # on a full disk closing tries to write once more
            file.close()
        for request in self._store.requests(batch.name, "wanted"):
            self._budget.settle(request.usd, None)
        self._forget(batch)

    def _forget(self, batch: BatchRow) -> None:
        self._store.discard(batch.name)
        self.path(batch).unlink(missing_ok=True)

    def take_over(self) -> None:
        """Deletes what an earlier process had not closed; what was sent counts as spent until its
        replies are in."""
        for batch in self._store.batches():
            if batch.status == "collecting":
                self._forget(batch)
            waiting = self._store.requests(batch.name, "sent")
            self._budget.reserve(sum(r.usd for r in waiting), len(waiting), made=True)
        unsent = {self.path(batch) for batch in self._store.batches() if not batch.batch_id}
        for path in self._folder.glob("requests-*.jsonl"):
            if path not in unsent:
                path.unlink(missing_ok=True)

    # ---- sending

    def api(self, spec: str) -> BatchApi:
        """The server of a model."""
        if spec not in self._apis:
            self._apis[spec] = BatchApi(ModelSpec.parse(spec))
        return self._apis[spec]

    def send(self, batch: BatchRow) -> bool:
        """From whatever step it is at to the created batch; False when there is nothing to send
        any more, neither here nor at the server.

        What is begun is written down before, what is done after. So a batch is created twice only
        if the server took a `create` and does not list the batch later.
        """
        api, path, file_id = self.api(batch.spec), self.path(batch), batch.file_id
        created = api.find(batch.name) if batch.step == "creating" else None
        if created is None:
            if not file_id and batch.step == "uploading":
                file_id = api.find_file(batch.name)
            if not file_id:
                if not path.exists():
                    return False
                self._store.update(batch.name, step="uploading")
                file_id = api.upload(path, batch.name)
            self._store.update(batch.name, file_id=file_id, step="creating")
            created = api.create(file_id, batch.name)
        self._store.update(batch.name, batch_id=created.id, status=created.status, step="")
        path.unlink(missing_ok=True)
        return True

    def forget(self, batch: BatchRow) -> None:
        """Deletes the requests of a batch that has ended, here and at the server."""
        self.path(batch).unlink(missing_ok=True)
        if batch.file_id:
            self.api(batch.spec).delete(batch.file_id)
