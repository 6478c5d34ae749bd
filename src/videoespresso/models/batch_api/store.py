"""What was handed to a batch API and is still to come: one sqlite file, read again after days.

It holds keys, numbers and ids; no prompts, no pixels, no API keys.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from videoespresso.errors import MemoryStoreError

FORMAT = 1
"""Of the tables; a file of another format is refused."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY, spec TEXT NOT NULL, status TEXT NOT NULL, step TEXT NOT NULL DEFAULT '',
    file_id TEXT NOT NULL DEFAULT '', batch_id TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS requests (
    key TEXT PRIMARY KEY, batch TEXT NOT NULL, role TEXT NOT NULL, rung TEXT NOT NULL,
    form TEXT NOT NULL, usd REAL NOT NULL, sizes TEXT NOT NULL, image_tokens INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'wanted',
    rounds INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS by_batch ON requests (batch, state);
"""

State = Literal["wanted", "sent", "good", "bad"]


class BatchRow(NamedTuple):
    """A batch. name: ours. status: "collecting", "prepared", then the server's words. step: what
    was begun at the server and not known to be done ("uploading", "creating")."""

    name: str
    spec: str
    status: str
    step: str = ""
    file_id: str = ""
    batch_id: str = ""
    reason: str = ""


class RequestRow(NamedTuple):
    """A request. method: as in structured_output.py (column `rung`). schema: a hash of the one its
    reply must fit, "" for words (column `form`). usd: the most it can cost. sizes: those of its
    images as JSON. rounds: batches it was in without a good reply."""

    key: str
    batch: str
    role: str
    method: str
    schema: str
    usd: float
    sizes: str
    image_tokens: int
    input_tokens: int
    state: State = "wanted"
    rounds: int = 0
    reason: str = ""


class BatchStore:
    """The file. Not thread-safe: its owner has a lock. Raises MemoryStoreError when unusable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._errors():
            self._db = sqlite3.connect(path, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            if self._db.execute("PRAGMA user_version").fetchone()[0] not in (0, FORMAT):
                raise sqlite3.DatabaseError("it was written by another version")
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def add(self, batch: BatchRow, request: RequestRow) -> None:
        """A request in a batch that is being collected; its earlier rounds are kept."""
        with self._transaction() as db:
            db.execute(f"INSERT OR IGNORE INTO batches VALUES ({_marks(batch)})", batch)
            db.execute(f"INSERT OR REPLACE INTO requests VALUES ({_marks(request)})", request)

    def request(self, key: str) -> RequestRow | None:
        """The request of that key."""
        with self._errors():
            row = self._db.execute("SELECT * FROM requests WHERE key = ?", (key,)).fetchone()
        return None if row is None else RequestRow(*row)

    def batches(self, *, ended: bool = False) -> list[BatchRow]:
        """All batches, those that have ended only when asked for, in the order of their making."""
        where = "" if ended else "WHERE status != 'ended'"
        with self._errors():
            rows = self._db.execute(f"SELECT * FROM batches {where} ORDER BY rowid").fetchall()
        return [BatchRow(*row) for row in rows]

    def requests(self, batch: str, state: State) -> list[RequestRow]:
        """The requests of a batch in that state."""
        query = "SELECT * FROM requests WHERE batch = ? AND state = ? ORDER BY rowid"
        with self._errors():
            return [RequestRow(*row) for row in self._db.execute(query, (batch, state))]

    def count(self, batch: str) -> dict[str, int]:
        """Requests of a batch by state."""
        query = "SELECT state, COUNT(*) FROM requests WHERE batch = ? GROUP BY state"
        with self._errors():
            return dict(self._db.execute(query, (batch,)).fetchall())

    def update(self, batch: str, **columns: str) -> None:
        """Writes columns of a batch."""
        sets = ", ".join(f"{name} = ?" for name in columns)
        with self._transaction() as db:
            db.execute(f"UPDATE batches SET {sets} WHERE name = ?", (*columns.values(), batch))

    def prepare(self, batch: str) -> None:
        """The file is complete: from now on the batch is sent, whatever happens."""
        with self._transaction() as db:
            db.execute("UPDATE batches SET status = 'prepared' WHERE name = ?", (batch,))
            db.execute("UPDATE requests SET state = 'sent' WHERE batch = ?", (batch,))

    def discard(self, batch: str) -> None:
        """Forgets a batch that was never sent; requests that were in earlier ones are bad again."""
        with self._transaction() as db:
            db.execute("DELETE FROM requests WHERE batch = ? AND rounds = 0", (batch,))
            db.execute("UPDATE requests SET state = 'bad' WHERE batch = ?", (batch,))
            db.execute("DELETE FROM batches WHERE name = ?", (batch,))

    def settle(self, key: str, fault: str, rounds: int = 1) -> None:
        """The reply has come and is in the reply cache; with a fault, none of use has come in
        that many rounds."""
        update = "UPDATE requests SET state = ?, reason = ?, rounds = rounds + ? WHERE key = ?"
        state, more = ("bad", rounds) if fault else ("good", 0)
        with self._transaction() as db:
            db.execute(update, (state, fault, more, key))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._errors(), self._db:
            yield self._db

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise MemoryStoreError(
                f"the state of batches {self.path} cannot be used: {error}",
                hint="Check the disk. Batches already sent go on at the server.",
            ) from error


def _marks(row: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(row))
