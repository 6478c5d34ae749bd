"""Model replies by content hash, so that a paid call is never paid twice.

One sqlite file in the cache folder, safe for several threads and processes. It holds replies and
never requests: no pixels, no prompts, no keys.
"""

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from videoespresso.errors import MemoryStoreError
from videoespresso.memory.disk import private_file, private_folder, read_only, unusable
from videoespresso.settings import cache_dir
from videoespresso.types import Record, Usage

log = logging.getLogger(__name__)

FORMAT = 1
"""Part of every key: raised when the meaning of a stored reply changes."""

REMEMBER_S = 7 * 24 * 3600.0
"""How long a model's missing ability is believed; servers get upgraded."""

_SHARDS = 65_536
"""Lock files. Two requests that share one wait for each other, the second for as long as a server
leaves the first without a reply: among 16 in flight, at 256 one call in 17 did, at 4,096 one in
270, and a test of two builds failed by it; here it is one in 4,000."""
_BUSY_S = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, spec TEXT NOT NULL, role TEXT NOT NULL, reply TEXT NOT NULL,
    made REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS inabilities (
    spec TEXT NOT NULL, ability TEXT NOT NULL, seen REAL NOT NULL, PRIMARY KEY (spec, ability)
);
"""


class StoredReply(Record):
    """A good reply. text: what the model said; how: the methods tried; usage: what it cost then;
    snapshot: which model the server said it was ("" in entries older than this field)."""

    text: str
    how: tuple[str, ...] = ()
    usage: Usage = Usage()
    snapshot: str = ""


class ReplyStats(Record):
    """What the file holds: replies, what they cost when they were made, and bytes on disk."""

    replies: int
    usage: Usage
    bytes: int
    by_spec: dict[str, int]


class Inability(Record):
    """What a model on a server was seen not to take, and when (seconds since 1970)."""

    spec: str
    ability: str
    seen: float


def reply_key(request: Mapping[str, Any]) -> str:
    """sha256 of everything a reply depends on, as canonical JSON; images come as pixel shas."""
    text = json.dumps({"format": FORMAT, **request}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class _Idle:
    """Open connections that nobody uses now.

    Opening one a call would be simpler, but whenever the last is closed sqlite writes its journal
    back and waits for the disk: 10 ms a reply. A connection is not given out any more when the
    file has been replaced, nor to a forked child.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._open: list[tuple[sqlite3.Connection, tuple[int, ...]]] = []
        weakref.finalize(self, _close, self._open)

    def take(self) -> sqlite3.Connection | None:
        """One that may be used, or None."""
        while True:
            with self._lock:
                if not self._open:
                    return None
                db, file = self._open.pop()
            if file == self._file():
                return db
            if file[0] == os.getpid():  # a parent's connection is the parent's to close
                db.close()

    def give(self, db: sqlite3.Connection) -> None:
        """Puts one back."""
        file = self._file()
        with self._lock:
            self._open.append((db, file))

    def _file(self) -> tuple[int, ...]:
        """Whose connection it is, to which file."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return (os.getpid(),)
        return os.getpid(), status.st_dev, status.st_ino


def _close(idle: list[tuple[sqlite3.Connection, tuple[int, ...]]]) -> None:
    while idle:
        idle.pop()[0].close()


class ReplyCache:
    """The store. It keeps a connection open for each thread that was in it at a time.

    shared: the file lies on storage of several machines, one of which writes at a time: no WAL,
    which needs memory they all see, and a reply that was put is on the disk.
    """

    def __init__(self, path: Path | None = None, *, shared: bool = False) -> None:
        self._shared = shared
        self.path = path or cache_dir() / "replies.sqlite"
        self._idle = _Idle(self.path)

    def get(self, key: str) -> StoredReply | None:
        """The reply under that key, or None."""
        with self._connect() as db:
            row = db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else StoredReply.model_validate_json(row[0])

    def put(self, key: str, spec: str, role: str, reply: StoredReply) -> None:
        """Stores a reply. The first one under a key stays: both cost the same money."""
        with self._connect() as db:
            db.execute(
                "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?)",
                (key, spec, role, reply.model_dump_json(), time.time()),
            )

    def drop(self, key: str) -> None:
        """Forgets a reply that is of no use any more, so that the next one can be stored."""
        with self._connect() as db:
            db.execute("DELETE FROM replies WHERE key = ?", (key,))

    def lock(self, key: str) -> AbstractContextManager[object]:
        """Held until its `with` ends, while a call is made: a second asker waits for the reply
        instead of paying.

        The operating system drops it when a process dies. Keys share 65,536 locks, so holding two
        at once can wait for oneself: hold one at a time. Raises MemoryStoreError.
        """
        shard = int(key[:8], 16) % _SHARDS
        path = self.path.with_suffix(".locks") / f"{shard:04x}.lock"
        lock = FileLock(path, thread_local=False, mode=0o600)
        try:
            private_folder(path.parent)
            return lock.acquire()
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> MemoryStoreError:
        return unusable("the reply cache", self.path, error)

    def inabilities(self, spec: str) -> frozenset[str]:
        """What the model was seen not to do within the last week."""
        with self._connect() as db:
            rows = db.execute(
                "SELECT ability FROM inabilities WHERE spec = ? AND seen > ?",
                (spec, time.time() - REMEMBER_S),
            ).fetchall()
        return frozenset(row[0] for row in rows)

    def all_inabilities(self) -> tuple[Inability, ...]:
        """Those of every model that are believed now, by model."""
        with self._connect() as db:
            rows = db.execute(
                "SELECT spec, ability, seen FROM inabilities WHERE seen > ? ORDER BY spec, seen",
                (time.time() - REMEMBER_S,),
            ).fetchall()
        return tuple(Inability(spec=s, ability=a, seen=seen) for s, a, seen in rows)

    def forget_inabilities(self) -> int:
        """After which every server is asked for everything again; how many there were."""
        with self._connect() as db:
            return int(db.execute("DELETE FROM inabilities").rowcount)

    def remember_inability(self, spec: str, ability: str) -> None:
        """Notes that the model cannot do something, e.g. "json_schema"."""
        with self._connect() as db:
            db.execute(
                "INSERT OR REPLACE INTO inabilities VALUES (?, ?, ?)", (spec, ability, time.time())
            )

    def stats(self) -> ReplyStats:
        """Counts, and what asking again would have cost."""
        with self._connect() as db:
            rows = db.execute("SELECT spec, reply FROM replies").fetchall()
        usage, by_spec = Usage(), dict[str, int]()
        for spec, reply in rows:
            usage += StoredReply.model_validate_json(reply).usage
            by_spec[spec] = by_spec.get(spec, 0) + 1
        size = self.path.stat().st_size
        return ReplyStats(replies=len(rows), usage=usage, bytes=size, by_spec=by_spec)

    def clear(self) -> int:
        """Forgets everything; returns how many replies there were."""
        with self._connect() as db:
            count = int(db.execute("DELETE FROM replies").rowcount)
        self.forget_inabilities()
        return count

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction. Raises MemoryStoreError when the file is unusable."""
        try:
            db = self._idle.take() or self._open()
            try:
                with db:
                    yield db
            except BaseException:
                db.close()
                raise
            self._idle.give(db)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _open(self) -> sqlite3.Connection:
        if read_only(self.path.parent):  # what is there is read, and nothing asked that is not
            return sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=ro&immutable=1",
                uri=True,
                check_same_thread=False,
            )
        private_folder(self.path.parent)
        private_file(self.path)
        try:
            return _opened(self.path, self._shared)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, full, read-only: not broken
                raise
        return self._renewed()

    def _renewed(self) -> sqlite3.Connection:
        """Moves a damaged file aside, unless another process has just done so."""
        with FileLock(self.path.with_suffix(".repair.lock"), mode=0o600):
            try:
                return _opened(self.path, self._shared)
            except sqlite3.DatabaseError:
                aside = self.path.with_suffix(f".broken-{time.time_ns()}")
                self.path.rename(aside)
                log.warning("the reply cache was damaged; moved to %s and started anew", aside)
                return _opened(self.path, self._shared)


def _opened(path: Path, shared: bool) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
    try:
        db.execute(f"PRAGMA synchronous = {'FULL' if shared else 'NORMAL'}")
        if db.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
            # turning the journal to WAL never waits for another connection: one process at a time
            with FileLock(path.with_suffix(".new.lock"), mode=0o600):
                db.execute(f"PRAGMA journal_mode = {'DELETE' if shared else 'WAL'}")
                db.executescript(_SCHEMA)
                db.execute(f"PRAGMA user_version = {FORMAT}")
    except sqlite3.Error:
        db.close()
        raise
    return db
