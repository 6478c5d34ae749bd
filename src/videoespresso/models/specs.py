"""Model specs: `provider:model[@base_url]`, the one way a chat model is named."""

import hashlib
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from videoespresso.errors import SettingsError

EMBEDDED = "embedded"
IN_PROCESS = (EMBEDDED, "hf")
"""Providers that run in this process: no key, no price, text out only."""

_SPEC = re.compile(r"(?P<provider>[a-z][a-z0-9_-]*):(?P<model>.*?)(?:@(?P<url>https?://\S+))?")
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "host.docker.internal"}
_EXAMPLES = (
    "Write provider:model, e.g. embedded:, openai:gpt-4o, hf:OpenGVLab/InternVL3-1B-hf or "
    "openai:qwen2.5-vl@http://localhost:8000/v1."
)


@dataclass(frozen=True)
class ModelSpec:
    """A chat model by name. `str(spec)` and `ModelSpec.parse` are inverse to each other.

    model is "" for `embedded:` alone. base_url is "" for the provider's own address; it carries
    no user, password or query, so that a spec can be printed anywhere.
    """

    provider: str
    model: str = ""
    base_url: str = ""

    @classmethod
    def parse(cls, text: str) -> "ModelSpec":
        """Reads a spec. Raises SettingsError, without quoting a URL that carries a secret."""
        text = text.strip()
        match = _SPEC.fullmatch(text)
        if match is None or "://" in match["model"]:
            shown = text if "://" not in text else text.partition("://")[0] + "://…"
            raise SettingsError(f"not a model spec: {shown!r}", hint=_EXAMPLES)
        provider, model, url = match["provider"], match["model"].strip(), match["url"] or ""
        if not model and provider != EMBEDDED:
            raise SettingsError(f"the spec {provider}: names no model", hint=_EXAMPLES)
        if url:
            _check_url(provider, url)
        return cls(provider, model, url.rstrip("/"))

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}" + (f"@{self.base_url}" if self.base_url else "")

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
