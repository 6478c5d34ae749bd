"""Every way a provider's SDK can fail, as a ModelError that says who acts and whether to retry."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import ValidationError

from videoespresso.errors import ModelError, ModelOutputError, VideoEspressoError
from videoespresso.models.client.envelope import UnwantedError
from videoespresso.models.client.reading import faults
from videoespresso.models.specs import ModelSpec


class UnsupportedError(ModelError):
    """The server refused the request itself (400, 422, not implemented): another form may do."""


class RefusedError(ModelError):
    """This one request is refused for what it says or shows; another form of it would be, too, and
    another request need not be."""


class BusyError(ModelError):
    """The server wants fewer calls, from everybody: a 429, or any refusal with Retry-After."""


class LateError(ModelError):
    """No answer within `timeout_s`. A second try begins from zero, and on a slow machine ends the
    same way."""


class AccountError(ModelError):
    """The provider serves this account nothing: the key is wrong or there is no credit left. Every
    other call would fail the same, so a run over many need not try."""


class CutError(ModelOutputError):
    """A typed reply that reached its length limit: it was paid for all the same."""

    input_tokens = 0
    output_tokens = 0


LONGEST = 300
"""Characters of a server's own words that an error text keeps."""

_MODERATION = (
    *("content_filter", "contentfilter", "content_policy", "content management policy"),
    *("responsibleaipolicyviolation", "moderation_blocked", "flagged_input"),
    *("data_inspection_failed", "datainspectionfailed", "content filtering policy"),
)
"""By what providers say, in a code or in words, that they refuse what a request holds."""

_TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size)|(prompt|input|request).{0,30}too (long|large|many tokens)"
    r"|too many (input )?tokens|reduce the length"
    r"|longer than.{0,40}(model|context)|max_new_tokens.{0,20}(<=|must be)",
    re.IGNORECASE,
)
"""By what servers say that a request is longer than the model can read."""
_ACCOUNT = re.compile(
    r"credit balance|api.?key (is )?(not valid|invalid|expired)|(invalid|expired) api.?key"
    r"|location is not supported|account .{0,30}(suspended|deactivated|disabled)",
    re.IGNORECASE,
)
"""By what providers say, with a 400, that the account or its key is at fault."""
_NO_FORM = re.compile(
    r"grammar|--jinja|tools? (param|call|choice)|response_format|json.?schema|tool.call.parser",
    re.IGNORECASE,
)
"""By what servers say, with a 5xx, that they cannot do what a form of request needs."""
_NO_IMAGES = re.compile(
    r"(image|vision|multi-?modal).{0,40}(not|n't) (supported|a |enabled|accept)|mmproj"
    r"|(not|n't) (support|accept|have) (?!multiple).{0,20}(image|vision|multi-?modal)"
    r"|not a (vision|multi-?modal)|no endpoints? .{0,20}support (image|vision)",
    re.IGNORECASE,
)

_BUSY = re.compile(r"rate.?limit|too many requests", re.IGNORECASE)
"""By what servers say, in an error that came with status 200, that they want fewer calls."""

RETRYABLE_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_ERROR_STATUS = re.compile(r"[45]\d\d")
_CONNECTION = ("timeout", "connection", "connecterror", "transporterror", "protocolerror")
"""Words in the class names by which SDKs say that nothing, or not all, came back."""


@contextmanager
def model_errors(spec: ModelSpec) -> Iterator[None]:
    """Converts whatever a model call raises to ModelError, with keys taken out of the text.

    The SDK's exception is not chained: it holds the request with its headers, and a server may
    echo the key in its message. Our own errors pass unchanged.
    """
    try:
        yield
    except VideoEspressoError:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary to SDKs, which raise anything
        failure = convert(error, spec)
    else:
        return
    try:
        raise failure from None
    finally:
        failure.__context__ = None


def convert(error: Exception, spec: ModelSpec) -> ModelError:
    """The ModelError for what an SDK raised; nothing is imported to recognise its class."""
    text = _short(error) or type(error).__name__
    name = type(error).__name__
    status = _status(error)
    kinds = {cls.__name__ for cls in type(error).__mro__}
    if "LengthFinishReasonError" in kinds:
        return _cut(error, spec)
    if "ContentFilterFinishReasonError" in kinds or "OpenAIRefusalError" in kinds:
        return RefusedError(f"{spec} refused to answer: {text}", hint="Rephrase the question.")
    if "ContextOverflowError" in kinds:
        return ModelError(
            f"the request is longer than {spec} can read: {text}",
            hint="Send fewer or smaller frames (--fps, max_side), or choose another model.",
        )
    if isinstance(error, NotImplementedError):
        return UnsupportedError(f"{spec} does not offer this form of request: {name}")
    if status in (400, 403, 422) and _moderated(error):
        return RefusedError(
            f"{spec} refused what the request holds: HTTP {status}: {text}",
            hint="Ask otherwise, leave the frame out, or choose another model.",
        )
    if unwanted := next((e for e in _chain(error) if isinstance(e, UnwantedError)), None):
        again = unwanted.retryable
        return ModelError(f"{spec}: {_short(unwanted)}", hint=unwanted.hint, retryable=again)
    if status is not None:
        return _from_status(error, spec, status, text)
    if isinstance(error, TimeoutError | ConnectionError) or any(
        word in kind.lower() for kind in kinds for word in _CONNECTION
    ):
        return _unreachable(spec, timeout=any("timeout" in kind.lower() for kind in kinds))
    if isinstance(error, json.JSONDecodeError | ValueError | KeyError | TypeError | AttributeError):
        # what an SDK raises when the body is not a chat completion
        why = faults(error) if isinstance(error, ValidationError) else f"{name}: {text}"
        return ModelError(
            f"{spec} sent a reply that is not a chat completion: {redact(why)}",
            hint=f"Check that the base URL{_ending(spec)} belongs to a chat server.",
            retryable=True,
        )
    return ModelError(
        f"{spec} failed: {name}: {text}",
        hint="See `videoespresso doctor`.",
        # LangChain's word on its own errors; the SDK's for an error inside a stream
        retryable=bool(getattr(error, "is_retryable", name == "APIError")),
    )


def _ending(spec: ModelSpec) -> str:
    """How a base URL ends, for a hint: those of other providers than OpenAI have no /v1."""
    return " ends in /v1 and" if spec.provider == "openai" else ""


def _short(error: Exception) -> str:
    """Its words in one line without keys."""
    return " ".join(redact(str(error)).split())[:LONGEST]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _cut(error: Exception, spec: ModelSpec) -> CutError:
    """With what the reply had before it was cut, and what it took."""
    completion = getattr(error, "completion", None)
    choices = getattr(completion, "choices", None) or [None]
    text = getattr(getattr(choices[0], "message", None), "content", "") or ""
    cut = CutError(
        f"{spec} reached its length limit before the reply was complete",
        hint="Raise max_tokens, or ask for less.",
        reply=redact(str(text)),
    )
    usage = getattr(completion, "usage", None)
    cut.input_tokens = int(getattr(usage, "prompt_tokens", 0) or 0)
    cut.output_tokens = int(getattr(usage, "completion_tokens", 0) or 0)
    return cut


def _unreachable(spec: ModelSpec, *, timeout: bool) -> ModelError:
    if timeout:
        return LateError(
            f"{spec} did not answer in time", hint="Raise timeout_s, or try later.", retryable=True
        )
    return ModelError(
        f"the connection to {spec} failed or was cut",
        hint="Check that the server is running and reachable.",
        retryable=True,
    )


def _from_status(error: Exception, spec: ModelSpec, status: int, text: str) -> ModelError:
    """By HTTP status; a 429 for an empty account is not worth a second try."""
    message = f"{spec} answered HTTP {status}: {text}"
    if status == 401 or status == 403:
        # a 403 may be about this one request: some gateways moderate with it
        refused = AccountError if status == 401 else ModelError
        return refused(message, hint=f"Check {key_variable(spec.provider)} and its rights.")
    if status == 400 and _ACCOUNT.search(text):
        return AccountError(
            message, hint=f"Check {key_variable(spec.provider)} and the account behind it."
        )
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(text)):
        return ModelError(
            f"the request is too long for the model: {message}",
            hint="Send fewer or smaller frames (--fps, max_side), or choose another model.",
        )
    if status in (400, 404, 422, 500, 501) and _NO_IMAGES.search(text):
        return ModelError(message, hint="It takes no pictures: choose a vision model.")
    if status >= 500 and _NO_FORM.search(text):
        return UnsupportedError(message, hint="The server does not take this form of request.")
    if status == 404:
        return ModelError(
            message, hint=f"Check the model's name, and that the base URL{_ending(spec)} is right."
        )
    if status in (400, 422, 501, 405, 415):
        return UnsupportedError(message, hint="The server does not take this form of request.")
    broke = "insufficient_quota" in f"{getattr(error, 'code', '')} {text}"
    if status == 402 or (status == 429 and broke):
        return AccountError(message, hint="The account has no credit left; check its billing.")
    retryable, wait_s = status in RETRYABLE_STATUS or status >= 500, _retry_after(error)
    busy = status == 429 or (retryable and wait_s is not None)
    return (BusyError if busy else ModelError)(
        message,
        hint="Try again later, or lower `concurrency` or `requests_per_minute`.",
        retryable=retryable,
        retry_after_s=wait_s,
    )


def key_variable(provider: str) -> str:
    """The environment variable in which a provider looks for its key."""
    known = {"google_genai": "GOOGLE_API_KEY", "google_vertexai": "GOOGLE_APPLICATION_CREDENTIALS"}
    return known.get(provider, f"{provider.upper().replace('-', '_')}_API_KEY")


def _status(error: Exception) -> int | None:
    """The HTTP status an exception carries, wherever its SDK keeps it."""
    for holder in (error, getattr(error, "response", None), error.__cause__):
        for name in ("status_code", "status", "code"):
            if code := _ERROR_STATUS.fullmatch(str(getattr(holder, name, None))):
                return int(code[0])
    return _status_inside(error.args[0]) if error.args else None


def _status_inside(body: object) -> int | None:
    """The HTTP status in the error object, or the words, that came with status 200."""
    if isinstance(body, dict):
        for name in ("code", "status"):
            if code := _ERROR_STATUS.fullmatch(str(body.get(name))):
                return int(code[0])
        body = f"{body.get('code')} {body.get('type')} {body.get('message')}"
    return 429 if isinstance(body, str) and _BUSY.search(body) else None


def _moderated(error: Exception) -> bool:
    """Whether a refusal is about the content; the SDK's words alone may not show the code."""
    text = f"{error} {getattr(error, 'code', '')} {getattr(error, 'body', '')}".lower()
    return any(word in text for word in _MODERATION)


def _retry_after(error: Exception) -> float | None:
    """Seconds the server asked to wait: retry-after-ms, or Retry-After as seconds or a date."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        return max(0.0, float(value)) if value else None
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


# ---- secrets

_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_LOOKS_SECRET = re.compile(
    r"""\bsk-[A-Za-z0-9_*-]{8,}                 # OpenAI, Anthropic; also as OpenAI masks them
      | \bhf_[A-Za-z0-9]{16,}
      | \bAIza[A-Za-z0-9_-]{20,}               # Google
      | (?<=Bearer\s)[A-Za-z0-9._~+/=-]{8,}
      | (?<=://)[^/@\s:]*:[^/@\s]+(?=@)        # user:password in a URL
    """,
    re.VERBOSE,
)
_DATA_URI = re.compile(r"(data:[a-z]+/[a-z0-9.+-]+;base64,)[A-Za-z0-9+/=]{32,}")
_SHORTEST = 8
"""Shorter values ("EMPTY", "dummy") guard nothing and would blot out ordinary words."""


def is_secret(name: str) -> bool:
    """Whether an environment variable of that name holds a key or a password."""
    return _NAMES.search(name) is not None


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without keys and passwords."""
    return {name: value for name, value in environ.items() if not is_secret(name)}


def redact(text: str) -> str:
    """The text without keys: values of secret-named variables, and what looks like a key.

    Image data is cut as well: servers echo requests in their errors.
    """
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and is_secret(name):
            text = text.replace(value, "***")
    return _DATA_URI.sub(r"\1…", _LOOKS_SECRET.sub("***", text))
