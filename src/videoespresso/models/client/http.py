"""The HTTP client of model servers: no redirects, no endless replies, no call without an end."""

import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import httpx

from videoespresso.models.metadata_hosts import is_metadata

LARGEST_REPLY = 32 * 1024 * 1024
"""Bytes of one reply, unpacked. 1,024 tokens are some kB."""
PIECE = 1 << 20
"""Bytes that are unpacked at a time."""

_ENDS: ContextVar[float | None] = ContextVar("ends", default=None)
"""When the call under way must be over, by the monotonic clock."""


class ReplyTooLargeError(httpx.DecodingError):
    """A server sends more than any reply can be."""


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Calls made in this block end after that many seconds, whatever the server does."""
    token = _ENDS.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _ENDS.reset(token)


@lru_cache
def client(timeout_s: float) -> httpx.Client:
    """One for all models with that timeout, so that they share connections.

    timeout_s: how long a call may take in all, and the server be silent. A redirect is an answer
    like any other, and an error: the key and the frames were meant for the address that was given.
    """
    return httpx.Client(
        timeout=timeout_s,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
        event_hooks={"request": [_hurry], "response": [_bound]},
    )


def _left(timeout: float | None) -> float | None:
    ends = _ENDS.get()
    left = None if ends is None else max(0.001, ends - time.monotonic())
    return min((s for s in (left, timeout) if s is not None), default=None)


def _hurry(request: httpx.Request) -> None:
    """No wait is longer than what is left of the call; a cloud's metadata service is never sent
    anything."""
    if is_metadata(request.url.host):
        raise httpx.UnsupportedProtocol(
            f"{request.url.host} is a cloud's metadata service", request=request
        )
    request.headers["Accept-Encoding"] = "identity"  # a small reply may be packed into nothing
    waits = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {name: _left(waits.get(name)) for name in waits}
    request.extensions["ends"] = time.monotonic() + (_left(waits.get("read")) or float("inf"))


def _bound(response: httpx.Response) -> None:
    """A server may pack its reply though that was not asked for; it is unpacked here, where its
    size is counted."""
    assert isinstance(response.stream, httpx.SyncByteStream)
    stream, packed = response.stream, response.headers.get("content-encoding", "").strip().lower()
    if packed in ("gzip", "x-gzip", "deflate"):
        stream = _Unpacked(stream, response.request)
        del response.headers["content-encoding"]
    elif packed not in ("", "identity"):
        raise httpx.DecodingError(
            f"the reply is packed ({packed[:20]}), which was not asked for",
            request=response.request,
        )
    response.stream = _Bounded(stream, response.request)


class _Unpacked(httpx.SyncByteStream):
    """The bytes of a packed reply, a piece at a time."""

    def __init__(self, stream: httpx.SyncByteStream, request: httpx.Request) -> None:
        self._stream, self._request = stream, request

    def __iter__(self) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, whichever it is
        try:
            for chunk in self._stream:
                while chunk:
                    yield unpacker.decompress(chunk, PIECE)
                    chunk = unpacker.unconsumed_tail
            yield unpacker.flush()
        except zlib.error as error:
            raise httpx.DecodingError(str(error), request=self._request) from error

    def close(self) -> None:
        self._stream.close()


class _Bounded(httpx.SyncByteStream):
    """A reply's bytes, as long as they are few enough and come in time."""

    def __init__(self, stream: httpx.SyncByteStream, request: httpx.Request) -> None:
        self._stream, self._request = stream, request

    def __iter__(self) -> Iterator[bytes]:
        size, ends = 0, self._request.extensions["ends"]
        for chunk in self._stream:
            size += len(chunk)
            if size > LARGEST_REPLY:
                raise ReplyTooLargeError(
                    f"the reply is larger than {LARGEST_REPLY >> 20} MB", request=self._request
                )
            if time.monotonic() > ends:
                raise httpx.ReadTimeout("the reply did not end in time", request=self._request)
            yield chunk

    def close(self) -> None:
        self._stream.close()
