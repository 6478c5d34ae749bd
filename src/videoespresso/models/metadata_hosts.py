"""Addresses at which a cloud hands out the machine's own keys: nobody's model or video is there."""

import ipaddress
import socket

NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data"}
    | {"instance-data.ec2.internal", "metadata.azure.internal", "metadata.tencentyun.com"}
)
ADDRESSES = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack, Oracle, DigitalOcean
        "169.254.170.2",  # AWS: credentials of a container
        "169.254.170.23",  # AWS: credentials of a pod
        "169.254.0.23",  # Tencent
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle, formerly
        "168.63.129.16",  # Azure: the host's agent
    )
)
"""By the providers' own documentation, 2026-11."""

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_metadata(host: str | Ip) -> bool:
    """Whether a host, by name or by number however it is written, is a metadata service."""
    if isinstance(host, str):
        name = host.strip("[]").rstrip(".").lower()
        if name in NAMES:
            return True
        number = _number(name)
        if number is None:
            return False
        host = number
    if isinstance(host, ipaddress.IPv6Address) and (host.ipv4_mapped or host in _NAT64):
        host = ipaddress.IPv4Address(int(host) & 0xFFFFFFFF)
    return host in ADDRESSES


def _number(name: str) -> Ip | None:
    """An address as the system would read it: 0xa9fea9fe and 2852039166 are 169.254.169.254."""
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, UnicodeEncodeError):
        return None
