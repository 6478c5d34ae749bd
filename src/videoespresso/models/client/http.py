"""The HTTP clients of model servers: no redirects, no endless replies, no call without an end, and
nothing for a cloud's metadata service.

`client` makes one; `bound` gives the same limits to one that an SDK has made, of httpx or of
httpx 2, which has the same classes under another name.

Connections are checked where they are made, in httpcore's network backend, so that the IP address
which was checked is the one that is connected to, whatever a name resolves to a moment later; every
step ends in time. Of httpcore 2, which some SDKs bring, nothing is imported: its backends and
streams have the same methods.
"""

import atexit
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from types import FunctionType, ModuleType
from typing import Any, TypeVar
from weakref import WeakSet

import httpcore
import httpx

from videoespresso.models.client.envelope import UnwantedError, mended, mender
from videoespresso.models.specs import is_metadata

Addresses = Callable[[str, int], Sequence[str]]
"""Host and port -> the IP addresses to connect to, one of them after the other. Raises OSError
where there is none, and whatever says that the host is refused."""
Left = Callable[[float | None], float | None]
"""A step's timeout in seconds -> the seconds that it may take now."""

_NO_CONNECTION = ("ConnectError", "ConnectTimeout")


def resolved(host: str, port: int) -> list[str]:
    """The IP addresses that the system knows for a host. Raises OSError where there is none."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def leads_to_metadata(host: str, port: int) -> bool:
    """Whether a host is a cloud's metadata service, by its name or by what the name resolves to
    now; for connections that others make."""
    try:
        return is_metadata(host) or any(map(is_metadata, resolved(host, port)))
    except OSError:  # nothing is connected to either
        return False


@dataclass(frozen=True)
class CheckedNetwork(httpcore.NetworkBackend):
    """Connects to the IP addresses that were checked, and to nothing else."""

    inner: httpcore.NetworkBackend
    addresses: Addresses
    left: Left

    def checked(self, host: str, port: int) -> Sequence[str]:
        """The IP addresses. Raises httpcore.ConnectError in the place of OSError."""
        try:
            return self.addresses(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host}: {error.strerror or error}") from error

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises what `checked` does, and what the backend does for the last of the addresses."""
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for ip in self.checked(host, port):
            try:
                stream = self.inner.connect_tcp(
                    ip, port, self.left(timeout), local_address, socket_options
                )
            except Exception as error:
                if not any(cls.__name__ in _NO_CONNECTION for cls in type(error).__mro__):
                    raise
                failed = error
            else:
                return _Stream(stream, self.left)
        raise failed


@dataclass(frozen=True)
class _Stream(httpcore.NetworkStream):
    """A connection whose every step ends by the deadline: headers that drip in too."""

    inner: httpcore.NetworkStream
    left: Left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.inner.read(max_bytes, self.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.inner.write(buffer, self.left(timeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self.inner.start_tls(ssl_context, server_hostname, self.left(timeout))
        return _Stream(inner, self.left)

    def close(self) -> None:
        self.inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


C = TypeVar("C")

HELD = {
    "openai": "",
    "anthropic": "_client._client",
    "google_genai": "client._api_client._httpx_client",
    "ollama": "_client._client",
}
"""Providers whose clients are held to the limits of this file, and where LangChain's classes keep
one that they make and that cannot be given to them (Ollama's and Google's arguments replace its
proxies or leave redirects on; Anthropic's takes none)."""
LARGEST_REPLY = 32 * 1024 * 1024
"""Bytes of one reply, unpacked. 1,024 tokens are some kB."""
PIECE = 1 << 20
"""Bytes that are unpacked at a time."""
_SOON_S = 0.001
"""A step that begins when the time is over gets this much, so that it ends as one that is late."""

_DEPTH, _MOST_PARTS = 5, 2000
"""How far down a model's attributes a client is looked for, and among how many."""
_CLIENTS = {("httpx", "Client"), ("httpx2", "Client")}
_PLAIN = (str, bytes, int, float, type(None), type, ModuleType, FunctionType)

_ENDS: ContextVar[float | None] = ContextVar("ends", default=None)
"""When the call under way must be over, by the monotonic clock."""
_LARGEST: ContextVar[int | None] = ContextVar("largest", default=None)
"""Bytes of the replies that are asked for now, where they are files."""


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Calls made in this block end after that many seconds, whatever the server does."""
    token = _ENDS.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _ENDS.reset(token)


def late() -> bool:
    """Whether the call under way should be over."""
    ends = _ENDS.get()
    return ends is not None and time.monotonic() > ends


@contextmanager
def files(largest: int) -> Iterator[None]:
    """Replies that are asked for in this block are files of that many bytes at most."""
    token = _LARGEST.set(largest)
    try:
        yield
    finally:
        _LARGEST.reset(token)


@lru_cache
def client(timeout_s: float) -> httpx.Client:
    """One for all models with that timeout, so that they share connections.

    timeout_s: how long a call may take in all, and the server be silent.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
    return bound(httpx.Client(timeout=timeout_s, limits=limits))


def bound(made: C) -> C:
    """The same client of httpx or httpx 2, held to the limits of this file. May be called twice.

    A redirect is an error: the key and the frames were meant for the address that was given. The
    network is checked below the client's own transports, so that its proxies and certificates stay.
    What is still open when the process ends is closed then. Raises AttributeError for what is no
    such client.
    """
    given: Any = made
    _open().add(given)
    given.follow_redirects = False
    hooks = given.event_hooks
    if _hurry not in hooks["request"]:
        given.event_hooks = {
            "request": [*hooks["request"], _hurry],
            "response": [_bound, *hooks["response"]],
        }
    for transport in (given._transport, *given._mounts.values()):
        pool = getattr(transport, "_pool", None)  # None: a host without a proxy, or a test's own
        if pool is not None and not isinstance(pool._network_backend, CheckedNetwork):
            pool._network_backend = CheckedNetwork(pool._network_backend, _addresses, _now)
    return made


@cache
def _open() -> "WeakSet[Any]":
    """The clients that were made and are still used."""
    clients: WeakSet[Any] = WeakSet()
    atexit.register(lambda: [client.close() for client in clients])
    return clients


def clients_in(model: object) -> list[Any]:
    """The clients of httpx and httpx 2 that a model holds, some steps down its attributes."""
    clients, seen = list[Any](), set[int]()
    waiting: list[tuple[object, int]] = [(model, 0)]
    while waiting and len(seen) < _MOST_PARTS:
        part, depth = waiting.pop(0)
        if id(part) in seen or depth > _DEPTH:
            continue
        seen.add(id(part))
        if any(
            (k.__module__.partition(".")[0], k.__name__) in _CLIENTS for k in type(part).__mro__
        ):
            clients.append(part)
            continue
        inner = getattr(part, "__dict__", None)
        held = [*inner.values()] if isinstance(inner, dict) else []
        held += (getattr(part, "__pydantic_private__", None) or {}).values()
        waiting += [(p, depth + 1) for p in held if not isinstance(p, _PLAIN)]
    return clients


def _addresses(host: str, port: int) -> list[str]:
    """Where to connect: the address counts, and not the name that leads to it."""
    addresses = resolved(host, port)
    if any(map(is_metadata, addresses)):
        raise _metadata(host)
    return addresses


def _metadata(host: str) -> UnwantedError:
    return UnwantedError(
        f"{host} is where a cloud hands out this machine's keys, and no model server",
        "Check the address.",
    )


class _Wait(float):
    """Seconds that a step may take, and when the whole call must be over."""

    ends: float

    @classmethod
    def until(cls, ends: float, seconds: float) -> "_Wait":
        """That many seconds, and never past `ends` on the monotonic clock."""
        made = cls(seconds)
        made.ends = ends
        return made


def _now(timeout: float | None) -> float | None:
    """What a step may take now: the requests of a connection have ends of their own."""
    if not isinstance(timeout, _Wait):
        return timeout
    return max(_SOON_S, min(timeout, timeout.ends - time.monotonic()))


def _left(timeout: float | None) -> float | None:
    ends = _ENDS.get()
    left = None if ends is None else max(_SOON_S, ends - time.monotonic())
    return min((s for s in (left, timeout) if s is not None), default=None)


def _hurry(request: Any) -> None:
    """No wait is longer than what is left of the call, and a small reply is not to be packed into
    nothing. A metadata service is refused by its name too, which a proxy would look up."""
    if is_metadata(request.url.host):
        raise _metadata(request.url.host)
    request.headers["Accept-Encoding"] = "identity"
    waits = request.extensions.get("timeout", {})
    ends = time.monotonic() + (_left(waits.get("read")) or float("inf"))
    request.extensions["timeout"] = {
        name: None if (left := _left(seconds)) is None else _Wait.until(ends, left)
        for name, seconds in waits.items()
    }
    request.extensions["ends"] = ends
    request.extensions["largest"] = _LARGEST.get() or LARGEST_REPLY


def _bound(response: Any) -> None:
    """A server may pack its reply though that was not asked for; it is unpacked here, where its
    size is counted."""
    lib, request, stream = _library(response), response.request, response.stream
    if response.has_redirect_location:
        where = response.headers.get("location", "")[:200]
        raise UnwantedError(
            f"it answers with a redirect (HTTP {response.status_code}), which is not followed, to "
            f"{where}",
            "Give the address it leads to in the spec, if you trust it with frames and key.",
        )
    packed = response.headers.get("content-encoding", "").strip().lower()
    if packed in ("gzip", "x-gzip", "deflate"):
        stream = _kind(_Unpacked, lib)(stream, request, lib)
        del response.headers["content-encoding"]
    elif packed not in ("", "identity"):
        raise lib.DecodingError(
            f"the reply is packed ({packed[:20]}), which was not asked for", request=request
        )
    response.stream = _kind(_Bounded, lib)(stream, request, lib)
    whole = not response.headers.get("content-type", "").startswith("text/event-stream")
    if whole and response.is_success and mender(request.url.path):
        response.stream = _kind(_Mended, lib)(response.stream, request, lib)


def _library(thing: object) -> ModuleType:
    """httpx or httpx 2."""
    return sys.modules[type(thing).__module__.partition(".")[0]]


class _Bytes:
    """A reply's bytes."""

    def __init__(self, stream: Any, request: Any, lib: ModuleType) -> None:
        self._stream, self._request, self._lib = stream, request, lib

    def close(self) -> None:
        """Ends the reply, read or not."""
        self._stream.close()


class _Unpacked(_Bytes):
    """Those of a packed reply, a piece at a time."""

    def __iter__(self) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, whichever it is
        try:
            for chunk in self._stream:
                while chunk:
                    yield unpacker.decompress(chunk, PIECE)
                    chunk = unpacker.unconsumed_tail
            yield unpacker.flush()
        except zlib.error as error:
            raise self._lib.DecodingError(str(error), request=self._request) from error


class _Bounded(_Bytes):
    """As long as they are few enough and come in time."""

    def __iter__(self) -> Iterator[bytes]:
        size, ends = 0, self._request.extensions["ends"]
        largest = self._request.extensions["largest"]
        for chunk in self._stream:
            size += len(chunk)
            if size > largest:
                raise UnwantedError(
                    f"the reply is larger than {largest >> 20} MB",
                    "Check that the base URL belongs to a chat server.",
                )
            if time.monotonic() > ends:
                raise self._lib.ReadTimeout("the reply did not end in time", request=self._request)
            yield chunk


class _Mended(_Bytes):
    """Those of a whole reply, as the SDK expects them."""

    def __iter__(self) -> Iterator[bytes]:
        yield mended(self._request.url.path, b"".join(self._stream))


@cache
def _kind(kind: type[_Bytes], lib: ModuleType) -> Any:
    """The class as the library's client wants it."""
    return type(kind.__name__, (kind, lib.SyncByteStream), {})
