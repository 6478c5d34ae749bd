"""What a model server has: asked before anything is decoded, so that a wrong name or a closed port
is a sentence and not the end of a long wait."""

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from videoespresso.errors import ModelError, SettingsError
from videoespresso.models.chat import openai_key
from videoespresso.models.client.envelope import UnwantedError
from videoespresso.models.client.errors import redact
from videoespresso.models.client.http import client
from videoespresso.models.onnx.files import export_files
from videoespresso.models.profiles import Role
from videoespresso.models.specs import ModelSpec, is_local, openai_base_url

OLLAMA = "http://localhost:11434"
"""Where Ollama listens unless OLLAMA_HOST or a spec says otherwise."""
ASKED_S = 5.0
CONNECT_S = 2.0
SHOWN = 8
"""Names of models that a message lists."""


def model_names(url: str, *, keyless: bool = False) -> tuple[str, ...]:
    """The models of an OpenAI-compatible server, in its order; adapters, which name a parent, last.

    Raises SettingsError when nothing answers there, or something that is no such server.
    """
    key = openai_key(url, keyless=keyless)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    rows = _get(f"{url}/models", "data", headers)
    rows = sorted(rows, key=lambda row: bool(row.get("parent")))
    return tuple(str(row["id"]) for row in rows if row.get("id"))


def ollama_names(url: str = "") -> tuple[str, ...]:
    """The models that an Ollama server has, as `ollama list` shows them. Raises as above."""
    rows = _get(f"{url or ollama_url()}/api/tags", "models", {})
    return tuple(str(row["name"]) for row in rows if row.get("name"))


def ollama_url() -> str:
    """Ollama's own address: OLLAMA_HOST may leave out scheme and port."""
    host = os.environ.get("OLLAMA_HOST", "").strip().rstrip("/")
    if not host:
        return OLLAMA
    if "://" not in host:
        host = f"http://{host}"
    host = host.replace("//0.0.0.0", "//localhost")
    return host if urlsplit(host).port or host.startswith("https") else f"{host}:11434"


def named(spec: ModelSpec) -> ModelSpec:
    """The spec itself, or `openai:@URL` with the name of the one model which that server serves.

    Raises SettingsError when it serves none or several: which of them, only you can say.
    """
    if spec.provider != "openai" or spec.model or not spec.base_url:
        return spec
    names = model_names(spec.base_url, keyless=spec.keyless)
    if len(names) == 1:
        return replace(spec, model=names[0])
    if not names:
        raise SettingsError(
            f"{spec.base_url} serves no model", hint="Load one there, and ask again."
        )
    raise SettingsError(
        f"{spec.base_url} serves {len(names)} models: {_listed(names)}",
        hint=f"Choose one that sees pictures: -m openai:{names[0]}@{spec.base_url}",
    )


def located(roles: Mapping[str, Role], needed: Iterable[str]) -> dict[str, Role]:
    """The roles, those that are needed with a model that has a name. Raises as `named` does."""
    names: dict[str, str] = {}
    for role in needed:
        spec = roles[role].model
        if str(spec) not in names:
            names[str(spec)] = str(named(spec))
    return {
        name: replace(role, spec=names.get(role.spec, role.spec)) for name, role in roles.items()
    }


def check(specs: Iterable[ModelSpec]) -> None:
    """Raises SettingsError for a spec that cannot answer: nothing listens at its address on this
    machine, Ollama does not have the model, or there are no such weights. Asked of each once;
    nothing is paid."""
    seen: set[str] = set()
    for spec in specs:
        if str(spec) in seen:
            continue
        seen.add(str(spec))
        if spec.provider == "onnx":
            _check_files(spec)
        elif spec.provider == "ollama":
            _check_ollama(spec)
        elif url := _own_server(spec):
            _check_port(url)


def _check_files(spec: ModelSpec) -> None:
    try:
        export_files(spec.name, spec.options.get("dtype", ""))
    except ModelError as error:  # here nothing has failed yet: it was never there
        raise SettingsError(str(error), hint=error.hint) from error


def _own_server(spec: ModelSpec) -> str:
    """The address of a server on this machine; others are behind proxies that we do not know."""
    url = spec.base_url or (openai_base_url() or "" if spec.provider == "openai" else "")
    return url if is_local(url) else ""


def _check_ollama(spec: ModelSpec) -> None:
    names = ollama_names(spec.base_url)
    wanted = spec.model if ":" in spec.model else f"{spec.model}:latest"
    if wanted in names or spec.model in names:
        return
    if not names:
        raise SettingsError("Ollama has no model yet", hint=f"ollama pull {spec.model}")
    raise SettingsError(
        f"Ollama does not have {spec.model}; it has {_listed(names)}",
        hint=f"ollama pull {spec.model}, or use one that is there and sees: -m ollama:{names[0]}",
    )


def _check_port(url: str) -> None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), CONNECT_S).close()
    except OSError as error:
        raise _closed(url) from error


def _get(url: str, field: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of a list that a server has under `field`."""
    import httpx  # noqa: PLC0415 - only for this

    try:
        timeout = httpx.Timeout(ASKED_S, connect=CONNECT_S)
        reply = client(ASKED_S).get(url, headers=headers, timeout=timeout)
    except UnwantedError as error:
        raise SettingsError(f"{url}: {redact(str(error))}", hint=error.hint) from None
    except httpx.HTTPError as error:
        raise _closed(url) from error
    if reply.status_code in (401, 403):
        raise SettingsError(
            f"{url} wants a key (HTTP {reply.status_code})", hint="Check OPENAI_API_KEY."
        )
    try:
        rows = reply.json()[field] if reply.status_code == 200 else None
    except (ValueError, LookupError, TypeError):
        rows = None
    if isinstance(rows, list):
        return [row for row in rows if isinstance(row, dict)]
    raise SettingsError(
        f"{url} answered HTTP {reply.status_code}, and no list of models: "
        f"{redact(' '.join(reply.text.split())[:80])}",
        hint="Check the address; an OpenAI-compatible server's ends in /v1.",
    )


def _closed(url: str) -> SettingsError:
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.netloc}"
    if parts.path == "/api/tags":
        return SettingsError(
            f"nothing answers at {where}: is Ollama running?",
            hint="Start it with `ollama serve`, or say where it is: OLLAMA_HOST=http://HOST:11434",
        )
    return SettingsError(
        f"nothing answers at {where}: is the model server running?",
        hint="Start it, or say where it is: -m openai:@http://HOST:PORT/v1, with --profile server "
        "VIDEOESPRESSO_SERVER_URL=http://HOST:PORT/v1 (usual ports: vLLM 8000, llama.cpp 8080, "
        "LM Studio 1234).",
    )


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
