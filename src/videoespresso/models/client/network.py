"""Connections that are checked where they are made, and whose every step ends in time.

The check is in httpcore's network backend, so that the IP address which was checked is the one that
is connected to, whatever a name resolves to a moment later. Of httpcore 2, which some SDKs bring,
nothing is imported: its backends and streams have the same methods.
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpcore

from videoespresso.models.metadata_hosts import is_metadata

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
