"""Captions as vectors in Chroma: what can be searched, thrown away and made again.

A collection a video and embedder, an entry for each *different* text of the video. Both for
Chroma's graph search (HNSW): among many equal vectors it loses its way (measured: with one caption
repeated 3,600 times, 198 of 199 other captions were not found by their own text), and a filter by
video inside one big collection has the same trouble with captions that many videos share.
"""

import contextlib
import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import MemoryStoreError, SettingsError
from videoespresso.memory.disk import close_tree, unusable, writer_lock

CONNECT_S = 5.0
REQUEST_S = 120.0
"""Seconds a Chroma server may take to say that it is there, and to do a piece of work."""

HNSW = {"space": "cosine", "max_neighbors": 32, "ef_construction": 200, "ef_search": 256}
"""Twice Chroma's default links and searches: recall@10 was 1.0 on 10,000 clustered vectors."""

MIN_RESULTS = 64
"""Different texts to ask for at least, so that ties and stale entries do not crowd out a hit."""

_T = TypeVar("_T")
Version = tuple[str, int]
"""Tells two states of an index apart: (folder or server, number)."""


class ChromaFolder:
    """Chroma in this process, on `<root>/index-<n>`, guarded by `<root>/index.lock`. Without a root
    the index is in a folder that goes with this object."""

    def __init__(self, root: Path | None) -> None:
        if root is None:
            root = Path(tempfile.mkdtemp())
            weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)
        self.name, self._root = str(root), root
        self._epoch = 0
        self._left: object = None

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Opens Chroma for one piece of work."""
        import chromadb  # noqa: PLC0415 - slow to import

        with writer_lock(self._root / "index.lock"):
            folder = self._root / self.version()[0]
            client: Any = chromadb.PersistentClient(folder, settings=_settings())
            try:
                yield client
            finally:
                client.close()
                close_tree(folder)
                self._left = _files(folder)

    def version(self) -> Version:
        """(folder, epoch): the highest number, and a count that goes up when somebody else has
        touched the files since our last session. Then every vector is to be read again before a
        search: on a graph that is damaged Chroma crashes the process."""
        numbers = (path.name[6:] for path in self._root.glob("index-*"))
        folder = f"index-{max((int(n) for n in numbers if n.isdigit()), default=1)}"
        if self._left != (now := _files(self._root / folder)):
            self._left = now
            self._epoch += 1
        return folder, self._epoch

    def discard(self, version: Version | None = None) -> None:
        """Removes the index, if it is still that version; no session is open, for they hold the
        lock.

        The next one lies under a new name: chromadb keeps a client that failed to open for the
        rest of the process, and would hand it out again for the same path.
        """
        with writer_lock(self._root / "index.lock"):
            used = self.version()[0]
            if version and version[0] != used:
                return  # another process was first
            old = self._root / used
            try:
                (self._root / f"index-{int(used[6:]) + 1}").mkdir(parents=True)
                shutil.rmtree(old, ignore_errors=not old.exists())
            except OSError as error:
                raise MemoryStoreError(
                    f"the caption index {old} cannot be removed: {error.strerror or error}",
                    hint="Remove the folder by hand; it is made again from the captions.",
                ) from error

    def bytes(self) -> int:
        """Size of all files on the disk."""
        return sum(size for _path, size, _time in _files(self._root / self.version()[0]))


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """(path, size, time of change) of every file, sorted; nothing is read."""
    files = []
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # sqlite's journal comes and goes
            if path.is_file():
                stat = path.stat()
                files.append((str(path), stat.st_size, stat.st_mtime_ns))
    return files


class ChromaServer:
    """A Chroma server by URL, shared with others: what is not ours is left alone."""

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
        """Connects for one piece of work. Raises MemoryStoreError where nobody answers."""
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
            for closed in (client, *connections):
                closed.close()

    def version(self) -> Version:
        """A server looks after its own files; damage shows when it is used."""
        return self.name, 0

    def discard(self, version: Version | None = None) -> None:
        """A server's data is never thrown away as a whole: videos are dropped one by one."""

    def bytes(self) -> int:
        """A server does not say what it takes."""
        return 0

    def _greet(self) -> None:
        """Asks whether it is there, with a time limit: the client itself would wait for ever."""
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
    sessions = [getattr(getattr(owner, "_server", None), "_session", None) for owner in owners]
    return [connection for connection in sessions if connection is not None]


def _settings() -> Any:
    """Telemetry off, and no `.env` of the current folder read."""
    from chromadb.config import Settings  # noqa: PLC0415 - slow to import

    # pydantic-settings takes `_env_file`, which chromadb's own constructor does not declare
    return Settings(_env_file=None, anonymized_telemetry=False)  # type: ignore[call-arg]


class IndexBroken(Exception):
    """The index does not hold what was put into it, or cannot be read: it is to be made again."""


@dataclass(frozen=True)
class Entry:
    """One text of a video. meta: video_id, frame_id and seconds of the first frame that has
    it, and that frame's shared_from where it took its caption from another."""

    id: str
    text: str
    meta: Mapping[str, str | float]


class ChromaIndex:
    """Entries of videos under one embedder. Raises IndexBroken, or MemoryStoreError for a server
    which does not answer and a folder which cannot be written."""

    def __init__(self, where: ChromaFolder | ChromaServer, embedder_name: str) -> None:
        self.where, self._embedder = where, embedder_name
        self._suffix = hashlib.sha256(embedder_name.encode()).hexdigest()[:12]

    def missing(self, video_id: str, entries: Sequence[Entry]) -> list[Entry]:
        """Which entries are not in the index as they should be.

        Reads every vector of the video, which is the check that finds damage: it fails on all
        but one of the ways of damaging Chroma's files that were tried. Entries that are there and
        not wanted stay: another process may know a caption that this one has not read yet.
        """

        def work(client: Any) -> list[Entry]:
            have = self._collection(client, video_id).get(include=["metadatas", "embeddings"])
            _check_vectors(have["embeddings"])
            known = dict(zip(have["ids"], have["metadatas"], strict=True))
            return [entry for entry in entries if known.get(entry.id) != dict(entry.meta)]

        return self._run(work)

    def put(self, video_id: str, entries: Sequence[Entry], vectors: NDArray[np.float32]) -> None:
        """Adds or replaces entries; vectors is (n, d)."""

        def work(client: Any) -> None:
            collection = self._collection(client, video_id)
            step = client.get_max_batch_size()
            for start in range(0, len(entries), step):
                part = entries[start : start + step]
                collection.upsert(
                    ids=[entry.id for entry in part],
                    documents=[entry.text for entry in part],
                    metadatas=[dict(entry.meta) for entry in part],
                    embeddings=vectors[start : start + step],
                )

        self._run(work)

    def vectors(self, video_id: str, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Entry id -> its vector (d,), of those that are there."""

        def work(client: Any) -> dict[str, NDArray[np.float32]]:
            stored = self._collection(client, video_id).get(ids=list(ids), include=["embeddings"])
            _check_vectors(stored["embeddings"])
            rows = (np.asarray(row, np.float32) for row in stored["embeddings"])
            return dict(zip(stored["ids"], rows, strict=True))

        return self._run(work) if ids else {}

    def nearest(
        self, video_id: str, vector: NDArray[np.float32], wanted: Mapping[str, Any], k: int
    ) -> list[tuple[str, float]]:
        """(entry id, cosine) of the `wanted` entries nearest to a vector of length d, best first.

        At least k of them where there are as many, and all that are as near as the k-th, so that
        a tie is not cut at random. Raises IndexBroken where one that is needed is missing.
        """

        def work(client: Any) -> list[tuple[str, float]]:
            collection = self._collection(client, video_id)
            total = collection.count()
            n = min(total, max(MIN_RESULTS, 4 * k))
            if n:
                rows = collection.query(
                    query_embeddings=vector[None, :], n_results=n, include=["embeddings"]
                )
                hits = _scored(rows["ids"][0], rows["embeddings"][0], vector)
                known = [hit for hit in hits if hit[0] in wanted]
                enough = len(known) >= k and (n == total or hits[-1][1] < known[k - 1][1])
                if enough or len(known) == len(wanted):
                    return known
            # ties, what is not wanted, or the graph does not lead to all (see above): compare all
            rows = collection.get(ids=list(wanted), include=["embeddings"])
            if len(rows["ids"]) < len(wanted):
                raise IndexBroken(
                    f"{len(wanted) - len(rows['ids'])} of {len(wanted)} entries are missing"
                )
            return _scored(rows["ids"], rows["embeddings"], vector)

        return self._run(work)

    def discard(self, video_id: str, version: Version | None = None) -> None:
        """Throws away what may be thrown away: a folder as a whole, of a server only the video."""
        self.where.discard(version)
        if isinstance(self.where, ChromaServer):
            self.drop(video_id)

    def drop(self, video_id: str) -> None:
        """Forgets one video."""

        def work(client: Any) -> None:
            names = [collection.name for collection in client.list_collections()]
            if self.collection_name(video_id) in names:
                client.delete_collection(self.collection_name(video_id))

        self._run(work)

    def counts(self) -> dict[str, int]:
        """Collection name -> entries, of all videos and embedders."""
        return self._run(lambda client: {c.name: c.count() for c in client.list_collections()})

    def collection_name(self, video_id: str) -> str:
        """A video's collection under this embedder."""
        return f"videoespresso-{video_id}-{self._suffix}"

    def _collection(self, client: Any, video_id: str) -> Any:
        """The video's collection, made at need. It never gets Chroma's default embedder, which
        would download a model: vectors are always given."""
        collection = client.get_or_create_collection(
            self.collection_name(video_id),
            configuration={"hnsw": HNSW},
            metadata={"embedder": self._embedder, "video_id": video_id},
            embedding_function=None,
        )
        if (collection.metadata or {}).get("embedder") != self._embedder:
            raise IndexBroken(f"{collection.name} was filled with another embedder")
        return collection

    def _run(self, work: Callable[[Any], _T]) -> _T:
        """Does a piece of work; any failure of Chroma's means that the index cannot be trusted."""
        import httpx  # noqa: PLC0415 - comes with chromadb
        from chromadb.errors import (  # noqa: PLC0415 - slow to import
            AuthorizationError,
            ChromaAuthError,
            RateLimitError,
        )

        try:
            with self.where.session() as client:
                return work(client)
        except (MemoryStoreError, IndexBroken):
            raise
        except httpx.TransportError as error:
            raise MemoryStoreError(
                f"the Chroma server at {self.where.name} stopped answering: {error}",
                hint="Restart it, or leave the URL out to use the embedded index.",
            ) from error
        except (AuthorizationError, ChromaAuthError, RateLimitError) as error:
            raise MemoryStoreError(
                f"the Chroma server at {self.where.name} refused: {error}",
                hint="Ask for a server without authentication, or use the embedded index.",
            ) from error
        # the boundary to Chroma: damage comes as whatever Rust, sqlite or numpy make of it
        except Exception as error:
            if "is full" in str(error) or "No space left" in str(error):
                raise unusable("the caption index", Path(self.where.name), error) from error
            if "database is locked" in str(error) or "readonly database" in str(error):
                raise MemoryStoreError(
                    f"the caption index in {self.where.name} cannot be written: {error}",
                    hint="Close what else has it open, or set VIDEOESPRESSO_CACHE_DIR.",
                ) from error
            raise IndexBroken(f"{type(error).__name__}: {error}") from error


def _scored(
    ids: Sequence[str], vectors: Any, vector: NDArray[np.float32]
) -> list[tuple[str, float]]:
    """(id, cosine) of entries, best first; cosines to 6 digits, as float32 has no more."""
    _check_vectors(vectors)
    rows = np.asarray(vectors, np.float64)
    cosines = rows @ (vector / max(float(np.linalg.norm(vector)), 1e-12))
    scores = [round(min(1.0, max(-1.0, float(c))), 6) for c in cosines]
    return sorted(zip(ids, scores, strict=True), key=lambda hit: -hit[1])


def _check_vectors(vectors: Any) -> None:
    """Raises IndexBroken unless every row has length 1 or, for a text without words, 0."""
    if len(vectors) == 0:
        return
    lengths = np.linalg.norm(np.asarray(vectors, np.float64), axis=1)
    if not np.all((np.abs(lengths - 1.0) < 1e-3) | (lengths == 0.0)):
        raise IndexBroken("a stored vector is not what was put in")
