"""One writer at a time, among threads and processes of one machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from videoespresso.errors import MemoryStoreError
from videoespresso.memory.disk import private_folder, unusable

WAIT_S = 120.0
"""How long to wait for another writer; filling an index with 10,000 captions takes seconds."""


@contextmanager
def writer_lock(path: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Holds the lock file `path`; the system lets go of it when a process dies, so none is stale.

    Not reentrant: the same thread must not take it twice. Raises MemoryStoreError when another
    writer keeps it longer than `wait_s` seconds, or when the folder cannot be written.
    """
    try:
        private_folder(path.parent)
        lock = FileLock(path, timeout=wait_s, mode=0o600)
        lock.acquire()
    except Timeout as error:
        raise MemoryStoreError(
            f"{path} has been held by another process for {wait_s:g} s",
            hint="Wait for the other run to end, or set VIDEOESPRESSO_CACHE_DIR to another folder.",
        ) from error
    except OSError as error:
        raise unusable("a lock", path, error) from error
    try:
        yield
    finally:
        lock.release()
