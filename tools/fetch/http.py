"""httpx that connects to checked addresses only, at every redirect too, under one deadline.

The check is where connections are made (httpcore's network backend), so that the IP address which
was checked is the one which is connected to, whatever a name resolves to a moment later.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import httpcore
import httpx

from videoespresso.errors import AddressError, DownloadError
from videoespresso.settings import Settings
from videoespresso.tools.fetch.addresses import (
    Resolve,
    reachable,
    resolved,
    shown,
    without_secrets,
)

MOST_REDIRECTS = 10
"""Browsers follow 20."""
_PORTS = {"http": 80, "https": 443}


def parse(url: str) -> httpx.URL:
    """An address as it is sent. Raises AddressError for what is not http or https."""
    try:
        address = httpx.URL(url.strip())
    except (httpx.InvalidURL, ValueError):
        raise AddressError(f"{shown(url)} is not an address", hint="Check it.") from None
    if address.scheme not in _PORTS:
        raise AddressError(
            f"{shown(url)}: only http and https addresses are fetched, not {address.scheme}",
            hint="Give an http(s) address, or download the video and give the file.",
        )
    if not address.host or re.search(r"[\s%]", address.host) or (address.port or 0) > 65535:
        raise AddressError(f"{shown(url)} names no host", hint="Check the address.")
    return address


class Client:
    """Requests under one deadline (settings, download_timeout_s). Use it in a `with` statement.

    network: None is httpcore's.
    """

    def __init__(
        self,
        settings: Settings,
        resolve: Resolve = resolved,
        network: httpcore.NetworkBackend | None = None,
    ) -> None:
        self.settings = settings
        self.deadline = time.monotonic() + settings.download_timeout_s
        self._network = _CheckedNetwork(
            network or httpcore.SyncBackend(),
            settings.allow_private_addresses,
            settings.download_ports,
            resolve,
            self._left,
        )
        self._client = httpx.Client(
            transport=_Transport(self._network),
            headers={
                "User-Agent": "videoespresso",
                "Accept": "video/*, */*;q=0.5",
                "Accept-Encoding": "identity",  # ranges and sizes count the bytes as they are
            },
            timeout=settings.download_stall_s,
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            trust_env=False,  # a proxy would choose the address
        )
        for name in ("httpx", "httpcore.http11"):
            logging.getLogger(name).addFilter(_without_secrets)

    @contextmanager
    def get(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """The response after all redirects. A login in the address is for its own host.

        Raises AddressError, DownloadError.
        """
        address, name = parse(url), shown(url)
        try:
            with self._client.stream("GET", address, headers=headers) as response:
                yield response
        except httpx.TimeoutException as error:
            raise self._late(name) from error
        except httpx.TooManyRedirects as error:
            raise DownloadError(f"{name} leads in a circle", hint="Check the address.") from error
        except httpx.RequestError as error:
            if "certificate" in str(error).lower():
                raise DownloadError(
                    f"{name}: the server's certificate is not valid: {error}",
                    hint="Check the address and this machine's clock.",
                ) from error
            raise _unreachable(name, error) from error

    def check(self, url: str) -> None:
        """For requests that others make. Raises AddressError, and DownloadError when the host is
        not known or the time is over."""
        address = parse(url)
        if time.monotonic() >= self.deadline:
            raise self._late(shown(url))
        try:
            self._network.addresses(address.host, address.port or _PORTS[address.scheme])
        except httpcore.ConnectError as error:
            raise _unreachable(shown(url), error) from error

    def _left(self, seconds: float | None) -> float:
        """The time a step may take, at least a little so that a timeout names the cause."""
        left = max(0.001, self.deadline - time.monotonic())
        return left if seconds is None else min(seconds, left)

    def _late(self, name: str) -> DownloadError:
        """The server is silent, or the time is over."""
        if time.monotonic() >= self.deadline:
            setting, what = "download_timeout_s", "is not done after"
        else:
            setting, what = "download_stall_s", "sent nothing for"
        return DownloadError(
            f"{name} {what} {getattr(self.settings, setting):g} s",
            hint=f"What came is kept: the same again goes on from there. The limit is {setting}.",
            retryable=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


def _unreachable(name: str, error: Exception) -> DownloadError:
    return DownloadError(
        f"{name} cannot be reached: {without_secrets(str(error)) or type(error).__name__}",
        hint="Check the address and the connection, and try again.",
        retryable=True,
    )


class _Transport(httpx.HTTPTransport):
    """httpx's, over a network of ours, which its own `__init__` cannot be given. That one is not
    called: a version of httpx that keeps its connections elsewhere fails and connects to nothing.
    """

    def __init__(self, network: httpcore.NetworkBackend) -> None:
        self._pool = httpcore.ConnectionPool(network_backend=network)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The body of a redirect is left out: httpx would read it, and it may have no end."""
        parse(str(request.url))  # a redirect may name any scheme
        response = super().handle_request(request)
        if response.has_redirect_location and isinstance(response.stream, httpx.SyncByteStream):
            response.stream.close()
            response.stream = httpx.ByteStream(b"")
        return response


@dataclass(frozen=True)
class _CheckedNetwork(httpcore.NetworkBackend):
    """Connects to the IP addresses that were checked, and to nothing else."""

    inner: httpcore.NetworkBackend
    allow_private: bool
    ports: tuple[int, ...]
    resolve: Resolve
    left: Callable[[float | None], float]

    def addresses(self, host: str, port: int) -> list[str]:
        """Raises AddressError, httpcore.ConnectError."""
        try:
            return reachable(
                host,
                port,
                allow_private=self.allow_private,
                ports=self.ports,
                resolve=self.resolve,
            )
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
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for ip in self.addresses(host, port):
            try:
                stream = self.inner.connect_tcp(
                    ip, port, self.left(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _Stream(stream, self.left)
        raise failed


@dataclass(frozen=True)
class _Stream(httpcore.NetworkStream):
    """A connection whose every step ends by the deadline: headers that drip in too."""

    inner: httpcore.NetworkStream
    left: Callable[[float | None], float]

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


def _without_secrets(record: logging.LogRecord) -> bool:
    """httpx logs every request: its addresses as they may be shown, and no response headers, for
    Location and cookies hold secrets too."""
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return "response_headers.complete" not in record.msg
