"""The steps by which a file of requests becomes a batch at the server, each of which may be the
last that a process makes."""

from pathlib import Path

from videoespresso.memory.batches import BatchRow, BatchTable
from videoespresso.models.openai_batch import BatchApi
from videoespresso.models.specs import ModelSpec


def requests_file(folder: Path, batch: BatchRow) -> Path:
    """Where a batch's requests lie until it is created."""
    return folder / f"requests-{batch.name}.jsonl"


class BatchSender:
    """Uploads, creates, and finds again what an earlier process uploaded or created.

    What is begun is written down before, what is done after. So a batch is created twice only if
    the server took a `create` and does not list the batch later.
    """

    def __init__(self, table: BatchTable, folder: Path) -> None:
        self._table, self._folder = table, folder
        self._apis: dict[str, BatchApi] = {}

    def api(self, spec: str) -> BatchApi:
        """The server of a model."""
        if spec not in self._apis:
            self._apis[spec] = BatchApi(ModelSpec.parse(spec))
        return self._apis[spec]

    def send(self, batch: BatchRow) -> bool:
        """From whatever step it is at to the created batch; False when there is nothing to send
        any more, neither here nor at the server."""
        if self._find(batch):
            return True
        file_id = batch.file_id or self._uploaded(batch)
        if not file_id:
            return False
        self._table.update(batch.name, file_id=file_id, step="creating")
        created = self.api(batch.spec).create(file_id, batch.name)
        self._created(batch, created.id, created.status)
        return True

    def forget(self, batch: BatchRow) -> None:
        """Deletes its requests here and at the server."""
        requests_file(self._folder, batch).unlink(missing_ok=True)
        known = next(b for b in self._table.batches(ended=True) if b.name == batch.name)
        if known.file_id:
            self.api(batch.spec).delete(known.file_id)

    def _find(self, batch: BatchRow) -> bool:
        """Whether an earlier process created it; its id is known from then on."""
        if batch.step != "creating":
            return False
        found = self.api(batch.spec).find(batch.name)
        if found is None:
            return False
        self._created(batch, found.id, found.status)
        return True

    def _uploaded(self, batch: BatchRow) -> str:
        path, api = requests_file(self._folder, batch), self.api(batch.spec)
        if batch.step == "uploading" and (file_id := api.find_file(batch.name)):
            return file_id
        if not path.exists():
            return ""
        self._table.update(batch.name, step="uploading")
        return api.upload(path, batch.name)

    def _created(self, batch: BatchRow, batch_id: str, status: str) -> None:
        self._table.update(batch.name, batch_id=batch_id, status=status, step="")
        requests_file(self._folder, batch).unlink(missing_ok=True)
