"""httpx that connects to checked addresses only, at every redirect too, under one deadline.

The check is where connections are made (models/client/http.py).
"""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Self

import httpcore
import httpx

from videoespresso.errors import AddressError, DownloadError
from videoespresso.models.client.http import CheckedNetwork, resolved
from videoespresso.settings import Settings
from videoespresso.tools.fetch.addresses import Resolve, reachable, shown, without_secrets

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
        addresses = partial(
            reachable,
            allow_private=settings.allow_private_addresses,
            ports=settings.download_ports,
            resolve=resolve,
        )
        self._network = CheckedNetwork(network or httpcore.SyncBackend(), addresses, self._left)
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
            self._network.checked(address.host, address.port or _PORTS[address.scheme])
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


def _without_secrets(record: logging.LogRecord) -> bool:
    """httpx logs every request: its addresses as they may be shown, and no response headers, for
    Location and cookies hold secrets too."""
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return "response_headers.complete" not in record.msg
