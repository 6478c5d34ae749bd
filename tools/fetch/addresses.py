"""Which addresses may be fetched, where they lead, and how one is shown without its secrets."""

import base64
import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from videoespresso.errors import AddressError

PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ANYWHERE = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)
_TELLING = frozenset({"v", "id", "p", "t", "list"})
"""Query parameters that say which video is meant; the values of all others may be keys."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""Host and port -> IP addresses. Raises OSError where there is none."""


class Address(NamedTuple):
    """An http(s) address, taken apart. target: path and query. login: user:password, or empty."""

    scheme: str
    host: str
    port: int
    target: str
    login: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom a login is for."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Without the login."""
        return f"{self.scheme}://{self.authority}{self.target}"

    def authorization(self) -> str:
        """The Basic header of the login."""
        return "Basic " + base64.b64encode(unquote(self.login).encode()).decode()


def is_address(video: str | Path) -> bool:
    """Whether this is an address (of any scheme) and not a path."""
    return isinstance(video, str) and _URL.match(video) is not None


def parse(url: str) -> Address:
    """Takes an address apart. Raises AddressError for what is not http or https."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = (parts.hostname or "").encode("idna" if not _is_ip(parts.hostname) else "ascii")
    except ValueError:
        raise AddressError(f"{shown(url)} is not an address", hint="Check it.") from None
    if parts.scheme not in PORTS:
        raise AddressError(
            f"{shown(url)}: only http and https addresses are fetched, not {parts.scheme}",
            hint="Give an http(s) address, or download the video and give the file.",
        )
    if not host or re.search(rb"[\x00-\x20]", host):
        raise AddressError(f"{shown(url)} names no host", hint="Check the address.")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/?%:@!$&'()*+,;=~-._[]")
    login = parts.netloc.rpartition("@")[0]
    return Address(parts.scheme, host.decode(), port or PORTS[parts.scheme], target, login)


def shown(url: str) -> str:
    """The address as people, logs and records may see it: no login, no fragment, and of the query
    only what says which video it is."""
    try:
        parts = urlsplit(url.strip())
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "this address"
    told = f"{parts.scheme}://{host}{parts.path}"
    if parts.query:
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        told += "?" + "&".join(
            f"{key}={value}" if key in _TELLING and value else f"{key}=***" if value else "***"
            for key, value in pairs
        )
    return "".join(letter for letter in told if letter.isprintable())


def without_secrets(text: str) -> str:
    """A library's message with every address in it as it may be shown."""
    return _ANYWHERE.sub(lambda found: shown(found[0]), text)


def resolved(host: str, port: int) -> list[str]:
    """What the system says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def reachable(
    host: str, port: int, *, allow_private: bool, resolve: Resolve = resolved
) -> list[str]:
    """The IP addresses to connect to. One that is not public refuses the host as a whole.

    Raises AddressError; OSError where the name cannot be resolved.
    """
    found = [host] if _is_ip(host) else list(resolve(host, port))
    if not allow_private:
        for ip in found:
            if not public(ipaddress.ip_address(ip)):
                where = host if host == ip else f"{host} ({ip})"
                raise AddressError(
                    f"{where} is not an address of the public internet",
                    hint="If it is meant, allow it: --allow-private-addresses, or "
                    "allow_private_addresses in the settings.",
                )
    return found


def public(ip: Ip) -> bool:
    """Whether an address is of the public internet, through every way of wrapping IPv4 in IPv6."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None or ip in _NAT64:
            return public(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(inner and not public(inner) for inner in (ip.sixtofour, *(ip.teredo or ()))):
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _is_ip(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True
