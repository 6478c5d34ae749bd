"""Requests to checked addresses only, redirects too, and all of them under one deadline.

httpcore and not httpx: the address that was checked has to be the one that is connected to, and
every read has to end by the deadline; both belong into the network layer, which httpx hides.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urljoin

import httpcore

from videoespresso.errors import DownloadError
from videoespresso.tools.fetch.addresses import Address, Resolve, parse, reachable, resolved, shown

MOST_HOPS = 10
"""Redirects; browsers follow 20."""
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Limits:
    """How far a download may go.

    size: bytes, counted as they come. duration_s: of the video. total_s: for everything. stall_s:
    without a byte. allow_private: addresses that are not of the public internet.
    """

    size: int = 2 * 1024**3
    duration_s: float = 4 * 3600.0
    total_s: float = 3600.0
    stall_s: float = 30.0
    allow_private: bool = False


class Wire:
    """Requests under one deadline. Use it in a `with` statement."""

    def __init__(
        self,
        limits: Limits,
        resolve: Resolve = resolved,
        network: httpcore.NetworkBackend | None = None,
    ) -> None:
        self.limits, self.resolve = limits, resolve
        self.deadline = time.monotonic() + limits.total_s
        backend = _Backend(limits, self.left, resolve, network or httpcore.SyncBackend())
        self._pool = httpcore.ConnectionPool(network_backend=backend)

    def left(self, seconds: float | None = None) -> float:
        """The time a step may take, at least a little so that a timeout names the cause."""
        rest = max(0.001, self.deadline - time.monotonic())
        return rest if seconds is None else min(seconds, rest)

    @contextmanager
    def get(self, url: str, headers: dict[str, str]) -> Iterator[httpcore.Response]:
        """The response after all redirects, each of which is checked like the first address.

        A login is for the host it was given for. Raises AddressError, DownloadError.
        """
        first = parse(url)
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), self.limits.stall_s)
        address = first
        for _ in range(MOST_HOPS + 1):
            with (
                self._told(shown(url)),
                self._pool.stream(
                    "GET",
                    address.url,
                    headers=_headers(address, first, headers),
                    extensions={"timeout": timeout},
                ) as response,
            ):
                where = header(response, "location")
                if response.status not in _REDIRECTS or not where:
                    yield response
                    return
            address = parse(urljoin(address.url, where))
        raise DownloadError(f"{shown(url)} leads in a circle", hint="Check the address.")

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Errors of the network as ours."""
        try:
            yield
        except httpcore.TimeoutException as error:
            raise self.late(name) from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            if "certificate" in str(error).lower():
                raise DownloadError(
                    f"{name}: the server's certificate is not valid: {error}",
                    hint="Check the address and this machine's clock.",
                ) from error
            raise DownloadError(
                f"{name} cannot be reached: {error or type(error).__name__}",
                hint="Check the address and the connection, and try again.",
                retryable=True,
            ) from error

    def late(self, name: str) -> DownloadError:
        """What to raise when the server or the time is over."""
        over = time.monotonic() >= self.deadline
        what = (
            f"is not done after {self.limits.total_s:g} s"
            if over
            else (f"sent nothing for {self.limits.stall_s:g} s")
        )
        setting = "download_timeout_s" if over else "download_stall_s"
        return DownloadError(
            f"{name} {what}",
            hint=f"What came is kept: the same again goes on from there. The limit is {setting}.",
            retryable=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()


def _headers(address: Address, first: Address, more: dict[str, str]) -> list[tuple[str, str]]:
    given = {
        "Host": address.authority,
        "User-Agent": "videoespresso",
        "Accept": "video/*, */*;q=0.5",
        "Accept-Encoding": "identity",  # the bytes as they are: ranges and sizes count those
        **more,
    }
    if address.origin == first.origin and first.login:
        given["Authorization"] = first.authorization()
    return list(given.items())


def header(response: httpcore.Response, name: str) -> str:
    """The first of that name; "" where there is none."""
    wanted = name.encode()
    return next((v.decode("latin-1") for k, v in response.headers if k.lower() == wanted), "")


class _Backend(httpcore.NetworkBackend):
    """Connects to the IP addresses that were checked, and to nothing else."""

    def __init__(
        self,
        limits: Limits,
        left: Callable[[float | None], float],
        resolve: Resolve,
        network: httpcore.NetworkBackend,
    ) -> None:
        self._limits, self._left, self._resolve = limits, left, resolve
        self._inner = network

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        allow = self._limits.allow_private
        try:
            found = reachable(host, port, allow_private=allow, resolve=self._resolve)
        except OSError as error:
            raise httpcore.ConnectError(f"{host}: {error.strerror or error}") from error
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for ip in found:
            try:
                stream = self._inner.connect_tcp(
                    ip, port, self._left(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _Stream(stream, self._left)
        raise failed


class _Stream(httpcore.NetworkStream):
    """A connection whose every step ends by the deadline."""

    def __init__(
        self, inner: httpcore.NetworkStream, left: Callable[[float | None], float]
    ) -> None:
        self._inner, self._left = inner, left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _Stream(inner, self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
