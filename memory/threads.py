"""Chats, kept: LangGraph checkpoints in one sqlite file, small and safe with several processes.

Of a thread the newest checkpoint is kept, which holds all its turns; of all threads the newest
MOST_THREADS that were used within KEEP_DAYS. One process at a time has a thread open.
"""

import contextlib
import re
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout
from langgraph.checkpoint.sqlite import SqliteSaver

from videoespresso.errors import MemoryStoreError, UserError
from videoespresso.memory.disk import private_file, private_folder, writer_lock
from videoespresso.types import Record

MOST_THREADS = 100
"""A list a person can still read; a thread of 50 turns takes some 100 kB."""
KEEP_DAYS = 90
_BUSY_S = 30.0
_WAL_PAGES = 100
"""Pages of 4 kB in sqlite's journal before they move into the file: its default holds 4 MB."""
_NAME = re.compile(r"[0-9a-f]{6,32}")


class ThreadInfo(Record):
    """A kept thread: when it was last used (Unix seconds), its videos' paths, how many turns."""

    name: str
    used_s: float
    videos: tuple[str, ...]
    turns: int
    last: str


class ThreadStore:
    """The threads in a folder. Use it in a `with` statement, or close it.

    `saver` is what a graph is compiled with. Raises MemoryStoreError when the file is unusable.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "threads.sqlite"
        try:
            private_folder(folder)
            private_file(self.file)
            private_file(folder / "history")
            # check_same_thread: nodes may run in other threads; the saver has a lock of its own
            self._db = sqlite3.connect(self.file, timeout=_BUSY_S, check_same_thread=False)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error
        self.saver = SqliteSaver(self._db)
        try:
            with writer_lock(folder / "new.lock"):  # turning the journal to WAL does not wait
                self.saver.setup()
            self._db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable(error) from error

    def new_name(self) -> str:
        """A name no thread has: six characters, so that it can be typed."""
        name = secrets.token_hex(3)
        return self.new_name() if self._exists(name) else name

    @contextlib.contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """While a thread is open. Raises UserError when another process has it open: two would
        each lose the turns of the other."""
        lock = FileLock(self._lock_file(name), timeout=0, mode=0o600)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(
                f"the chat {name} is open in another process",
                hint="Leave it there first, or begin a new chat.",
            ) from None
        try:
            yield
        finally:
            lock.release()
            if not self._exists(name):  # names are never used again, so nobody waits for it
                self._lock_file(name).unlink(missing_ok=True)

    def values(self, name: str) -> dict[str, Any]:
        """The newest state of a thread. Raises UserError for one that does not exist."""
        kept = self.saver.get_tuple(config(name)) if _NAME.fullmatch(name) else None
        if kept is None:
            raise UserError(f"no chat {name!r}", hint="`/threads` in a chat lists those kept.")
        return dict(kept.checkpoint["channel_values"])

    def infos(self) -> list[ThreadInfo]:
        """All threads with at least one turn, the one used last first."""
        chats = []
        for name in self._names():
            kept = self.saver.get_tuple(config(name))
            if kept is None or not (turns := kept.checkpoint["channel_values"].get("turns")):
                continue
            chats.append(
                ThreadInfo(
                    name=name,
                    used_s=datetime.fromisoformat(kept.checkpoint["ts"]).timestamp(),
                    videos=tuple(kept.checkpoint["channel_values"]["videos"]),
                    turns=len(turns),
                    last=turns[-1]["said"],
                )
            )
        return sorted(chats, key=lambda info: -info.used_s)

    def settle(self, name: str) -> None:
        """Removes a thread's checkpoints but the newest, after each turn."""
        newest = "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = :name)"
        with self.saver.cursor() as cursor:
            for table in ("writes", "checkpoints"):
                cursor.execute(
                    f"DELETE FROM {table} WHERE thread_id = :name AND checkpoint_id < {newest}",
                    {"name": name},
                )

    def prune(self, now_s: float | None = None) -> list[str]:
        """Removes threads beyond MOST_THREADS or unused for KEEP_DAYS; returns their names.

        One that is open in another process stays."""
        oldest = (time.time() if now_s is None else now_s) - KEEP_DAYS * 86400
        return self._remove(
            info.name
            for rank, info in enumerate(self.infos())
            if rank >= MOST_THREADS or info.used_s < oldest
        )

    def clear(self) -> list[str]:
        """Removes all threads but those that are open in another process; returns their names."""
        return self._remove(self._names())

    def _remove(self, names: Iterable[str]) -> list[str]:
        gone = []
        for name in names:
            with contextlib.suppress(UserError), self.hold(name):
                self.saver.delete_thread(name)
                gone.append(name)
        return gone

    def bytes(self) -> int:
        """What the file and sqlite's journal take on the disk."""
        return sum(file.stat().st_size for file in self.folder.glob("threads.sqlite*"))

    def close(self) -> None:
        """Ends the connection."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _names(self) -> list[str]:
        with self.saver.cursor(transaction=False) as cursor:
            rows = cursor.execute("SELECT DISTINCT thread_id FROM checkpoints").fetchall()
        return [row[0] for row in rows]

    def _exists(self, name: str) -> bool:
        return self.saver.get_tuple(config(name)) is not None

    def _lock_file(self, name: str) -> Path:
        return self.folder / f"{name}.lock"

    def _unusable(self, error: Exception) -> MemoryStoreError:
        return MemoryStoreError(
            f"the chats in {self.file} cannot be used: {error}",
            hint="Check the disk, move the file away, or set VIDEOESPRESSO_CACHE_DIR.",
        )


def config(name: str) -> Any:
    """How LangGraph is given a thread."""
    return {"configurable": {"thread_id": name}}
