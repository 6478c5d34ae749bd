"""`chat_model(spec)`: the one place where a spec becomes a LangChain chat model."""

import importlib
import importlib.util
import logging
import os
import re
from difflib import get_close_matches
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from videoespresso.errors import SettingsError
from videoespresso.models.client.errors import key_variable, model_errors, redact
from videoespresso.models.client.http import HELD, bound, client, clients_in
from videoespresso.models.embedded import PACK_LVLM, pack_folder
from videoespresso.models.plugins import PROVIDERS, plugin
from videoespresso.models.specs import (
    IN_PROCESS,
    OWN_HOSTS,
    ModelSpec,
    is_private,
    openai_base_url,
)

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

log = logging.getLogger(__name__)

TIMEOUT_S = 120.0
MAX_TOKENS = 1024
"""Enough for the longest reply a role is asked for; a runaway reply is cut, and that is noticed."""

NO_KEY = "not-needed"
"""Sent to a server of your own when OPENAI_API_KEY is not set: the SDK insists on a key."""

EXTRAS = {"anthropic": "anthropic", "google_genai": "gemini", "ollama": "ollama"}
"""Providers that are extras of ours; any other that LangChain knows comes by its own package."""

CONTEXT_TOKENS = 16384
"""What Ollama is asked to hold: its own default of 4,096 silently cuts a request of few frames."""


def chat_model(
    spec: ModelSpec | str,
    *,
    timeout_s: float = TIMEOUT_S,
    max_tokens: int = MAX_TOKENS,
    temperature: float = 0.0,
) -> "BaseChatModel":
    """Builds the model. No request is made; `hf:` and `embedded:` load their weights when used.

    The SDK's own retries are off: client/retry.py retries, so that the budget sees every call.
    Raises SettingsError for a missing key or package, with what to do about it.
    """
    spec = ModelSpec.parse(spec) if isinstance(spec, str) else spec
    given: dict[str, Any] = dict(spec.options)
    if spec.provider == "embedded":
        return _embedded(spec)
    if spec.provider == "hf":
        from videoespresso.models.hf import HfChatModel  # noqa: PLC0415 - langchain_core is slow

        return HfChatModel(path=spec.name, max_tokens=max_tokens, temperature=temperature, **given)
    if spec.provider == "onnx":
        # onnxruntime is slow to import
        from videoespresso.models.onnx.chat import OnnxChatModel  # noqa: PLC0415

        return OnnxChatModel(path=spec.name, max_tokens=max_tokens, **given)
    if spec.provider == "openai":
        return _openai(spec, timeout_s, max_tokens, temperature)
    made = None if spec.provider in EXTRAS else plugin(PROVIDERS, spec.provider)
    if made is None:
        return _by_langchain(spec, timeout_s, max_tokens, temperature)
    with model_errors(spec):
        model = made(
            spec.model,
            base_url=spec.base_url,
            timeout_s=timeout_s,
            max_tokens=max_tokens,
            temperature=temperature,
        )
    _hold(model, spec.provider, spec.provider)
    return cast("BaseChatModel", model)


def _embedded(spec: ModelSpec) -> "BaseChatModel":
    """The pack, or the rules that stand in for a teacher in dataset mode."""
    if spec.model == "teacher":
        # imports langchain_core, which is slow
        from videoespresso.models.embedded.teacher import TeacherChatModel  # noqa: PLC0415

        return TeacherChatModel()
    folder = pack_folder(spec.model) if spec.model else PACK_LVLM
    if folder is None:
        raise SettingsError(
            f"there is no embedded model {spec.model!r}",
            hint="Write embedded: for the pack, embedded:FOLDER for one that `train export-onnx` "
            "wrote, or embedded:teacher for dataset mode's rules.",
        )
    # the pack's runtime is slow to import
    from videoespresso.models.embedded.chat import PackChatModel  # noqa: PLC0415

    return PackChatModel(folder=folder)


def _openai(
    spec: ModelSpec, timeout_s: float, max_tokens: int, temperature: float
) -> "BaseChatModel":
    """OpenAI, or any server that speaks its chat completions."""
    if not spec.name:
        raise SettingsError(
            f"{spec} names no model", hint="Write openai:NAME@URL; `curl URL/models` shows names."
        )
    # imports openai: a second or two
    from langchain_openai import ChatOpenAI  # noqa: PLC0415
    from langchain_openai.chat_models.base import BaseChatOpenAI  # noqa: PLC0415
    from pydantic import SecretStr  # noqa: PLC0415 - only for this

    url = spec.base_url or openai_base_url()
    key = _openai_key(spec, url)
    own_rules = _reasons(spec.name)
    # OpenAI wants `max_completion_tokens`, which ChatOpenAI sends; every imitator knows
    # `max_tokens`, and some ignore the other, so that a small model may talk for ever
    kind: type[BaseChatOpenAI] = BaseChatOpenAI if url and not own_rules else ChatOpenAI
    options: dict[str, Any] = {
        "model": spec.name,
        "base_url": url,
        "api_key": SecretStr(key),
        "timeout": timeout_s,
        "stream_chunk_timeout": timeout_s,
        "http_client": client(timeout_s),
        "http_socket_options": (),  # else the client it makes for `await` ignores the proxies
        "max_retries": 0,
        "max_tokens": max_tokens,
        "temperature": None if own_rules else temperature,
        "use_responses_api": False if url or spec.options else None,
    }
    if effort := spec.options.get("effort"):
        options["reasoning_effort"] = effort
    with model_errors(spec):
        return kind(**options)


def _openai_key(spec: ModelSpec, url: str | None) -> str:
    """Raises SettingsError where a key is needed and there is none."""
    if key := openai_key(url, keyless=spec.keyless):
        return key
    if spec.keyless and os.environ.get("OPENAI_API_KEY"):
        raise _named_by_a_file(spec)
    if not is_private(url or ""):
        raise SettingsError(
            f"{spec} needs a key",
            hint="Set OPENAI_API_KEY (a server that wants none takes any word), or choose models "
            "that need none: `videoespresso models list`.",
        )
    return NO_KEY


def _key(variable: str) -> str:
    """What the variable holds, "" for nothing. Raises SettingsError for what no header can hold: a
    client would fail with it as if the server were not there."""
    key = os.environ.get(variable, "")
    if key and not re.fullmatch(r"[!-~]+", key):
        raise SettingsError(
            f"{variable} holds a character that no key has: a blank, a line end or a letter that "
            "is not ASCII",
            hint="Copy the key anew; a file's line end does not belong to it.",
        )
    return key


_OPENAIS_OWN = ("sk-proj-", "sk-svcacct-", "sk-admin-")
_IN_OPENAIS_OWN = "T3BlbkFJ"
"""How keys begin that OpenAI alone gives out, and what stands in the middle of all of them."""


def openai_key(url: str | None, *, keyless: bool = False) -> str:
    """OPENAI_API_KEY for a server; "" where there is none, where it is OpenAI's own and the server
    somebody's on this machine or in a private network, which has no business with it, and where
    only a file named the server (`keyless`)."""
    key = "" if keyless else _key("OPENAI_API_KEY")
    own = key.startswith(_OPENAIS_OWN) or _IN_OPENAIS_OWN in key
    return "" if is_private(url or "") and own else key


def _named_by_a_file(spec: ModelSpec) -> SettingsError:
    """A key that stays here because nobody but a settings file says where it should go."""
    variable = f"OPENAI_BASE_URL={spec.base_url} in the environment, or "
    return SettingsError(
        f"{spec}: a settings file names this server, and {key_variable(spec.provider)} is not sent "
        "to a server that only a file names",
        hint=f"If the key is meant for it, say so: {variable if spec.provider == 'openai' else ''}"
        f"-m {spec}.",
    )


def _reasons(model: str) -> bool:
    """OpenAI's reasoning models: they refuse `max_tokens` and any temperature but their own."""
    return model.startswith(("o1", "o3", "o4", "gpt-5", "gpt-6")) and "chat" not in model


_NO_TEMPERATURE = (
    *("claude-opus-4-7", "claude-opus-4-8", "claude-sonnet-5", "claude-fable-5"),
    "gemini-3",
)
"""Models that refuse a request with a temperature (Claude: 400), or warn that it is ignored."""


def _by_langchain(
    spec: ModelSpec, timeout_s: float, max_tokens: int, temperature: float
) -> "BaseChatModel":
    """Any provider that LangChain's `init_chat_model` knows."""
    known = (*OWN_HOSTS, *EXTRAS, *IN_PROCESS)
    if spec.provider not in known and (
        near := get_close_matches(spec.provider, known, n=1, cutoff=0.8)
    ):
        # a package of that name may be anybody's
        raise SettingsError(
            f"no provider {spec.provider}", hint=f"Did you mean {near[0]}:{spec.model}?"
        )
    package = f"langchain-{spec.provider.replace('_', '-')}"
    extra = f'"videoespresso[{EXTRAS[spec.provider]}]"' if spec.provider in EXTRAS else ""
    if importlib.util.find_spec("langchain") is None:
        raise SettingsError(
            f"{spec} needs the packages langchain and {package}",
            hint=f"pip install {extra or f'langchain {package}'}",
        )
    # an optional package, without which the type checker must give the same verdict
    init_chat_model = importlib.import_module("langchain.chat_models").init_chat_model
    options = _langchain_options(spec, timeout_s, max_tokens, temperature)
    for variable in _KEYED.get(spec.provider, (key_variable(spec.provider),)):
        _key(variable)
    if spec.keyless and os.environ.get(key_variable(spec.provider)):
        raise _named_by_a_file(spec)
    if key_missing := missing_key(spec):
        raise SettingsError(f"{spec} needs a key", hint=f"Set {key_missing}.")
    try:
        model = init_chat_model(spec.name, model_provider=spec.provider, **options)
    except ImportError as error:  # its text names the package
        raise SettingsError(f"{spec}: {error}", hint=f"pip install {extra or package}") from error
    except ValueError as error:  # an unknown provider, or pydantic's word on a missing key
        first = redact(str(error)).strip().partition("\n")[0]
        raise SettingsError(
            f"{spec}: {first}",
            hint=f"Check the provider's name; keys go into {key_variable(spec.provider)}.",
        ) from None
    _hold(model, spec.provider, package)
    return cast("BaseChatModel", model)


def _hold(model: object, provider: str, package: str) -> None:
    """Gives the model's HTTP clients our limits: redirects, size, time, metadata services. Those of
    providers that are no extras of ours are found if they are of httpx."""
    if provider not in HELD:
        for client in clients_in(model):
            bound(client)
        return
    try:
        bound(attrgetter(HELD[provider])(model))
    except AttributeError:
        log.warning(
            "this release of %s keeps its HTTP client elsewhere: redirects and the size of replies "
            "are its own affair; an older release is held to our limits",
            package,
        )


def missing_key(spec: ModelSpec) -> str:
    """The variable in which a provider's key is missing; "" where it is there or none is needed."""
    if spec.local or spec.in_process or spec.provider not in _KEYED:
        return ""
    if spec.provider == "openai" and is_private(spec.base_url or openai_base_url() or ""):
        return ""
    names = _KEYED[spec.provider]
    return "" if any(os.environ.get(name) for name in names) else names[0]


_KEYED = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google_genai": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}


def _langchain_options(
    spec: ModelSpec, timeout_s: float, max_tokens: int, temperature: float
) -> dict[str, Any]:
    """What the provider's class takes."""
    options: dict[str, Any] = {"temperature": temperature}
    if spec.name.startswith(_NO_TEMPERATURE):
        options = {}
    if spec.base_url:
        options["base_url"] = spec.base_url
    if spec.provider == "ollama":
        import httpx  # noqa: PLC0415 - only for this

        # no connection outlives its call: LangChain's Ollama client is never closed
        limits = httpx.Limits(max_keepalive_connections=0)
        client = {"timeout": timeout_s, "limits": limits}
        return options | {
            "num_predict": max_tokens,
            "num_ctx": CONTEXT_TOKENS,
            "client_kwargs": client,
        }
    if effort := spec.options.get("effort"):
        options["thinking_level"] = effort
    return options | {"max_tokens": max_tokens, "timeout": timeout_s, "max_retries": 0}
