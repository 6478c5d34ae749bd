"""Where Chroma is: in this process on a folder of ours, or a server by URL.

Every session opens Chroma and closes it again, and a local one holds the writer lock meanwhile.
Chroma keeps parts of the index in the process: with two processes a reader goes on with what it
saw first, and the second writer overwrites the first (measured: 8,000 added, 5,500 found). Opening
costs some 25 ms with 10,000 entries.
"""

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from videoespresso.errors import MemoryStoreError, SettingsError
from videoespresso.memory.locks import writer_lock

CONNECT_S = 5.0
REQUEST_S = 120.0
"""Seconds a Chroma server may take to say that it is there, and to do a piece of work."""


class Where(Protocol):
    """Where Chroma is: opens it for one piece of work, and can throw everything away."""

    name: str
    owned: bool
    epoch: int

    def session(self) -> contextlib.AbstractContextManager[Any]: ...
    def wipe(self) -> None: ...
    def look(self) -> int: ...
    def bytes(self) -> int: ...


class LocalChroma:
    """Chroma in this process, on `<root>/index-<n>`, guarded by `<root>/index.lock`."""

    owned = True

    def __init__(self, root: Path) -> None:
        self.name, self._root = str(root), root
        self.epoch = 0
        self._left: object = None

    @contextmanager
    def session(self) -> Iterator[Any]:
        import chromadb  # noqa: PLC0415 - slow to import

        with writer_lock(self._root / "index.lock"):
            self.look()
            client: Any = chromadb.PersistentClient(self._folder(), settings=_settings())
            try:
                yield client
            finally:
                client.close()
                self._left = self._stats()

    def wipe(self) -> None:
        """Removes the index; no session is open anywhere, for they hold the lock.

        The next one lies under a new name: chromadb keeps a client that failed to open for the
        rest of the process, and would hand it out again for the same path.
        """
        with writer_lock(self._root / "index.lock"):
            old = self._folder()
            new = self._root / f"index-{int(old.name.partition('-')[2]) + 1}"
            try:
                new.mkdir(parents=True)
                shutil.rmtree(old, ignore_errors=not old.exists())
            except OSError as error:
                raise MemoryStoreError(
                    f"the caption index {old} cannot be removed: {error.strerror or error}",
                    hint="Remove the folder by hand; it is made again from the captions.",
                ) from error

    def look(self) -> int:
        """The epoch; it goes up when somebody else has touched the index since our last session.

        Told by the files' sizes and times; opening Chroma, even to read, changes the latter.
        """
        if self._left != (now := self._stats()):
            self._left = now
            self.epoch += 1
        return self.epoch

    def bytes(self) -> int:
        return sum(size for _path, size, _time in self._stats())

    def _folder(self) -> Path:
        """The index in use: the highest number."""
        numbers = [
            int(path.name[6:]) for path in self._root.glob("index-*") if path.name[6:].isdigit()
        ]
        return self._root / f"index-{max(numbers, default=1)}"

    def _stats(self) -> list[tuple[str, int, int]]:
        """(path, size, time) of every file, sorted; nothing is read."""
        found = []
        for path in sorted(self._folder().rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # sqlite's journal comes and goes
                if path.is_file():
                    stat = path.stat()
                    found.append((str(path), stat.st_size, stat.st_mtime_ns))
        return found


class ChromaServer:
    """A Chroma server by URL, shared with others: what is not ours is left alone."""

    owned = False
    epoch = 0

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            self._host, port = parts.hostname, parts.port
        except ValueError:
            self._host, port = None, None
        if not self._host or parts.path.strip("/") or parts.query or parts.username:
            raise SettingsError(
                "the Chroma URL is not scheme://host:port", hint="For example http://localhost:8000"
            )
        self._ssl = parts.scheme == "https"
        self._port = port or (443 if self._ssl else 8000)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.name = f"{parts.scheme}://{host}:{self._port}"

    @contextmanager
    def session(self) -> Iterator[Any]:
        import chromadb  # noqa: PLC0415 - slow to import

        self._greet()
        client: Any = chromadb.HttpClient(
            self._host or "", self._port, self._ssl, settings=_settings()
        )
        connections = _connections(client)
        for connection in connections:
            connection.timeout = REQUEST_S
        try:
            yield client
        finally:
            client.close()
            for connection in connections:
                connection.close()

    def wipe(self) -> None:
        """A server's data is never wiped; its videos are dropped one by one."""

    def look(self) -> int:
        """A server looks after its own files; damage shows when it is used."""
        return self.epoch

    def bytes(self) -> int:
        """A server does not say what it takes."""
        return 0

    def _greet(self) -> None:
        """Asks for a sign of life, with a limit: the client itself would wait for ever."""
        import httpx  # noqa: PLC0415 - comes with chromadb

        try:
            httpx.get(f"{self.name}/api/v2/heartbeat", timeout=CONNECT_S).raise_for_status()
        except httpx.HTTPError as error:
            raise MemoryStoreError(
                f"no Chroma server answers at {self.name}: {error or type(error).__name__}",
                hint="Start one with `chroma run --path FOLDER`, or leave the URL out.",
            ) from error


def _connections(client: Any) -> list[Any]:
    """The httpx clients within an HttpClient. chromadb sets them no time limit and never closes
    them, not even in close(), and has no public way to do either."""
    owners = (client, getattr(client, "_admin_client", None))
    found = [getattr(getattr(owner, "_server", None), "_session", None) for owner in owners]
    return [connection for connection in found if connection is not None]


def _settings() -> Any:
    """Telemetry off, and no `.env` of the current folder read."""
    from chromadb.config import Settings  # noqa: PLC0415 - slow to import

    # pydantic-settings takes `_env_file`, which chromadb's own constructor does not declare
    return Settings(_env_file=None, anonymized_telemetry=False)  # type: ignore[call-arg]
