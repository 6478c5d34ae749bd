"""Model specs: `provider:model[?options][@base_url]`, the one way a chat model is named.

A key goes to its provider's host, and nothing at all to a cloud's metadata service (`is_metadata`).
"""

import hashlib
import ipaddress
import os
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from videoespresso.errors import SettingsError

EMBEDDED = "embedded"
IN_PROCESS = (EMBEDDED, "hf", "onnx")
"""Providers that run in this process: no key, no price, text out only."""

_SPEC = re.compile(r"(?P<provider>[a-z][a-z0-9_-]*):(?P<model>.*?)(?:@(?P<url>https?://\S+))?")
_ADDRESS = re.compile(
    r".*@(localhost|[\w-]+:\d+|\[[0-9a-f:]+\]|[\w-]+(\.[\w-]+)+)(:\d+)?(/\S*)?", re.IGNORECASE
)
"""A model's name that ends like a server's address, which begins with a scheme."""
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "host.docker.internal"}
_EXAMPLES = (
    "Write provider:model, e.g. embedded:, openai:gpt-4o, hf:OpenGVLab/InternVL3-1B-hf, "
    "onnx:FOLDER?dtype=q4f16 or openai:qwen2.5-vl@http://localhost:8000/v1."
)

_NUMBER = r"[1-9]\d*"
OPTIONS: dict[str, dict[str, str]] = {
    "openai": {
        "detail": "low|high|original|auto",
        "effort": "none|minimal|low|medium|high|xhigh|max",
    },
    "google_genai": {"detail": "low|medium|high", "effort": "minimal|low|medium|high"},
    "hf": {
        "dtype": "auto|float32|float16|bfloat16",
        "device": r"auto|cpu|mps|cuda|cuda:\d+|xpu|xpu:\d+",
        "max_pixels": _NUMBER,
        "batch": _NUMBER,
    },
    "onnx": {"dtype": "fp32|fp16|q4|q4f16|int8|uint8|quantized|bnb4", "threads": _NUMBER},
}
"""What a spec may say after "?", as regular expressions. `detail`, how closely an image is looked
at, which is what it costs; `effort`, how long a model that reasons may do so; the others are those
of models/hf.py and models/onnx/. Of providers that are not here the mark belongs to the name."""


@dataclass(frozen=True)
class ModelSpec:
    """A chat model by name. `str(spec)` and `ModelSpec.parse` are inverse to each other.

    model is "" for `embedded:`, and for `openai:@URL`, which is whatever that server serves
    (models/served.py). base_url is "" for the provider's own address; it carries no user, password
    or query, so that a spec can be printed anywhere. keyless: its server was named by a file, and
    the provider's key is not for it (models/profiles.py).
    """

    provider: str
    model: str = ""
    base_url: str = ""
    keyless: bool = field(default=False, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> "ModelSpec":
        """Reads a spec. Raises SettingsError, without quoting a URL that carries a secret."""
        text = text.strip()
        match = _SPEC.fullmatch(text)
        if match is None or "://" in match["model"]:
            shown = text if "://" not in text else text.partition("://")[0] + "://…"
            raise SettingsError(f"not a model spec: {shown!r}", hint=_EXAMPLES)
        if match["provider"] not in IN_PROCESS and (bare := _ADDRESS.fullmatch(match["model"])):
            host = bare[1] + (bare[3] or "")
            raise SettingsError(
                f"the server's address in {match['provider']}:… has no http:// or https://",
                hint=f"Write @http://{host}/v1, or whatever scheme and path that server has.",
            )
        provider, model, url = match["provider"], match["model"].strip(), match["url"] or ""
        if not model and provider != EMBEDDED and not (provider == "openai" and url):
            raise SettingsError(f"the spec {provider}: names no model", hint=_EXAMPLES)
        if url:
            _check_url(provider, url)
        spec = cls(provider, model, url.rstrip("/"))
        _check_options(spec)
        return spec

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}" + (f"@{self.base_url}" if self.base_url else "")

    @property
    def name(self) -> str:
        """The model as its provider knows it: without the options of OPTIONS."""
        return self.model.partition("?")[0] if self.provider in OPTIONS else self.model

    @property
    def options(self) -> dict[str, str]:
        """What stands after "?", for the providers in OPTIONS."""
        query = self.model.partition("?")[2] if self.provider in OPTIONS else ""
        return dict(parse_qsl(query, keep_blank_values=True))

    @property
    def in_process(self) -> bool:
        """Runs here: it costs nothing and needs no network."""
        return self.provider in IN_PROCESS

    @property
    def local(self) -> bool:
        """Runs on this machine, in process or behind a localhost URL; Ollama does by default."""
        if self.in_process or (self.provider == "ollama" and not self.base_url):
            return True
        return is_local(self.base_url)


def is_local(url: str) -> bool:
    """Whether a URL points at this machine, judged by its host's name alone."""
    return bool(url) and (urlsplit(url).hostname or "") in _LOCAL_HOSTS


def is_private(url: str) -> bool:
    """Whether a URL points at this machine or into a private network, by its host's name alone:
    what is there is somebody's own, and no provider with keys."""
    host = urlsplit(url).hostname or "" if url else ""
    if is_local(url) or host.endswith((".local", ".lan", ".internal")):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return bool(host) and "." not in host


OWN_HOSTS = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "google_genai": "generativelanguage.googleapis.com",
}
"""Where a provider's own key is at home."""


def host_of(spec: ModelSpec) -> str:
    """The host that gets the requests, with its port where the spec names one; "" for this machine
    and for providers of other packages whose address we do not know."""
    if spec.in_process:
        return ""
    url = spec.base_url or (openai_base_url() or "" if spec.provider == "openai" else "")
    if not url:
        return OWN_HOSTS.get(spec.provider, "" if spec.local else spec.provider)
    return "" if is_local(url) else urlsplit(url).netloc.rpartition("@")[2]


def openai_base_url() -> str | None:
    """Where `openai:` without a base URL goes: the OpenAI SDK's own variables count."""
    return os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")


def server_mark(spec: ModelSpec, url: str | None) -> str:
    """A hash of `url`, where the calls go, for cache keys; "" where the spec names the server
    itself or there is no `url`. A hash, because an address may hold a secret."""
    if spec.base_url or not url:
        return ""
    scheme, _, rest = url.rstrip("/").partition("://")
    address = f"{scheme}://{rest.rpartition('@')[2]}"  # a new password is no new server
    return hashlib.sha256(address.encode()).hexdigest()[:12]


def server_name(spec: ModelSpec, url: str | None) -> str:
    """The spec, and which server it leads to where it does not say so itself."""
    mark = server_mark(spec, url)
    return f"{spec} (server {mark})" if mark else str(spec)


def _check_options(spec: ModelSpec) -> None:
    """Raises SettingsError for an option that there is not, or a value that it cannot have."""
    known = OPTIONS.get(spec.provider, {})
    for option, value in spec.options.items():
        if option not in known or not re.fullmatch(known[option], value):
            every = "; ".join(f"{name}={_shown(kind)}" for name, kind in known.items())
            raise SettingsError(
                f"{spec.provider}:{spec.name} has no option {option}={value}",
                hint=f"After ? may stand {every}; two of them with &.",
            )


def _shown(kind: str) -> str:
    """The values of an option for a person."""
    return kind.replace(_NUMBER, "N").replace(r"\d+", "N")


def _check_url(provider: str, url: str) -> None:
    """Raises SettingsError for a URL that is not valid or may carry a secret."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host:
        raise SettingsError(f"the base URL in {provider}:…@… is not valid", hint=_EXAMPLES)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(
            f"the base URL of {provider} on {host} carries a user, a password or a query",
            hint="Keys belong in the provider's variable, e.g. OPENAI_API_KEY, not in the URL.",
        )
    if is_metadata(host):
        raise SettingsError(
            f"{host} is where a cloud hands out this machine's keys, and no model server",
            hint="Check the address.",
        )


METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data"}
    | {"instance-data.ec2.internal", "metadata.azure.internal", "metadata.tencentyun.com"}
)
METADATA_ADDRESSES = frozenset(
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
        if name in METADATA_NAMES:
            return True
        number = _number(name)
        if number is None:
            return False
        host = number
    if isinstance(host, ipaddress.IPv6Address) and (host.ipv4_mapped or host in _NAT64):
        host = ipaddress.IPv4Address(int(host) & 0xFFFFFFFF)
    return host in METADATA_ADDRESSES


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
