"""Which addresses may be fetched, and how one is shown without its secrets."""

import ipaddress
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from videoespresso.errors import AddressError
from videoespresso.models.client.http import resolved
from videoespresso.models.specs import is_metadata
from videoespresso.settings import WEB_PORTS

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_IN_TEXT = re.compile(_ADDRESS.pattern + r"[^\s'\"<>]+", re.IGNORECASE)
_NO_SECRETS = frozenset({"v", "id", "p", "t", "list"})
"""Query parameters that say which video is meant; the values of all others may be keys."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""Host and port -> IP addresses. Raises OSError where there is none."""


def is_address(video: str | Path) -> bool:
    """Whether this is an address (of any scheme) and not a path."""
    return isinstance(video, str) and _ADDRESS.match(video) is not None


def shown(url: str) -> str:
    """The address as people, logs and records may see it: no login, no fragment, and of the query
    only what says which video it is."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return "this address"
    text = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.query:
        text += "?" + "&".join(
            f"{key}={value}" if key in _NO_SECRETS and value else f"{key}=***" if value else "***"
            for key, value in parse_qsl(parts.query, keep_blank_values=True)
        )
    return "".join(letter for letter in text if letter.isprintable())


def without_secrets(text: str) -> str:
    """A library's message with every address in it as it may be shown."""
    return _IN_TEXT.sub(lambda match: shown(match[0]), text)


def reachable(
    host: str,
    port: int,
    *,
    allow_private: bool,
    ports: Collection[int] = WEB_PORTS,
    resolve: Resolve = resolved,
) -> list[str]:
    """The IP addresses to connect to. One that is not public refuses the host as a whole; so does a
    port that is none of `ports`, but on private addresses, which are allowed with every port, and a
    cloud's metadata service, whatever is allowed.

    Raises AddressError; OSError where the name cannot be resolved.
    """
    try:
        ipaddress.ip_address(host)
        addresses = [host]
    except ValueError:
        addresses = list(resolve(host, port))
    numbers = [ipaddress.ip_address(ip) for ip in addresses]
    if is_metadata(host) or any(is_metadata(ip) for ip in numbers):
        raise AddressError(
            f"{host} is where a cloud hands out this machine's keys: it is never fetched",
            hint="Give the address of a video.",
        )
    if port not in ports and any(public(ip) for ip in numbers):
        raise AddressError(
            f"{host}: port {port} is none of the web's",
            hint=f"If it is meant, allow it: download_ports = [{port}] in the settings, or "
            f"VIDEOESPRESSO_DOWNLOAD_PORTS={port}.",
        )
    for ip in addresses:
        if not allow_private and not public(ipaddress.ip_address(ip)):
            where = host if host == ip else f"{host} ({ip})"
            raise AddressError(
                f"{where} is not an address of the public internet",
                hint="If it is meant, allow it: --allow-private-addresses, or "
                "allow_private_addresses in the settings.",
            )
    return addresses


def public(ip: Ip) -> bool:
    """Whether an address is of the public internet, through every way of wrapping IPv4 in IPv6."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None or ip in _NAT64:
            return public(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(inner and not public(inner) for inner in (ip.sixtofour, *(ip.teredo or ()))):
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)
