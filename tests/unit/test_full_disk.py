"""What is written line by line, on a disk that is full: an error that says what to do."""

from pathlib import Path

import pytest
from tests.helpers.full_disk import full_disk

from videoespresso.api.ask_many_records import AnswersFile, Failure, QuestionResult
from videoespresso.errors import MemoryStoreError, UserError
from videoespresso.models.batch_api.outbox import Outbox
from videoespresso.models.batch_api.store import BatchStore, RequestRow
from videoespresso.models.client.budget import Budget
from videoespresso.models.specs import ModelSpec

SPEC = ModelSpec.parse("openai:tester")
MOST = 300_000


class Outgoing:
    """An outbox, and what it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.budget = folder, Budget()
        self.store = BatchStore(folder / "batches.sqlite")
        self.outbox = Outbox(folder, self.store, self.budget)

    def add(self, key: str, size: int) -> None:
        self.budget.reserve(1.0, 1)
        row = RequestRow(key, "", "verifier", "text", "", 1.0, "[]", 0, 0)
        self.outbox.add(SPEC, b"x" * (size - 1) + b"\n", row)

    def is_as_new(self) -> bool:
        """Whether nothing is left of what was added, on the disk or of the budget."""
        left = (self.budget._counts.usd_reserved, self.budget._counts.calls_reserved)
        return left == (0.0, 0) and not self.store.batches() and not list(self.folder.glob("req*"))


@pytest.fixture
def outgoing(tmp_path: Path) -> Outgoing:
    return Outgoing(tmp_path)


def test_requests_that_cannot_be_written(outgoing: Outgoing) -> None:
    with full_disk(MOST):
        outgoing.add("a", MOST - 1000)
        with pytest.raises(MemoryStoreError, match="cannot be written") as caught:
            outgoing.add("b", MOST)
        assert "Make room" in caught.value.hint
    assert outgoing.is_as_new()
    outgoing.add("a", 1000)
    outgoing.outbox.close()
    assert [batch.status for batch in outgoing.store.batches()] == ["prepared"]


def test_requests_that_cannot_be_finished(outgoing: Outgoing) -> None:
    with full_disk(MOST):
        outgoing.add("a", MOST - 1000)
        outgoing.add("b", 2000)  # waits in memory
        with pytest.raises(MemoryStoreError, match="cannot be written"):
            outgoing.outbox.close()
        outgoing.outbox.discard()
    assert outgoing.is_as_new()


def test_requests_that_cannot_be_finished_are_discarded_all_the_same(outgoing: Outgoing) -> None:
    with full_disk(MOST):
        outgoing.add("a", MOST - 1000)
        outgoing.add("b", 2000)
        outgoing.outbox.discard()
    assert outgoing.is_as_new()


def asked(key: str, question: str) -> QuestionResult:
    return QuestionResult(
        key=key, line=1, question=question, error=Failure(kind="ModelError", text="down")
    )


def write(path: Path, *records: QuestionResult) -> set[str]:
    """Keys that were in the file before."""
    with AnswersFile.open(path, path.parent / "locks") as file:
        known = {key for key in ("a", "b") if file.failed(key) is not None}
        for record in records:
            file.add(record)
    return known


def test_an_answer_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with full_disk(1000), pytest.raises(UserError, match="cannot be written") as caught:
        write(path, asked("a", "Who?"), asked("b", "Who? " * 400))
    assert "the same command goes on" in caught.value.hint
    assert write(path, asked("b", "Who?")) == {"a"}, "what was written before is kept"
    assert len(path.read_bytes().splitlines()) == 2
