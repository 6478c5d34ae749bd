"""Faults of model servers, each against every provider's real client: a typed error, or a reply."""

import gzip
import importlib.util
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.helpers import chat_server as fake
from tests.helpers.server_agent import PROVIDERS, provider_agent, typed, words

from lab.reliability.trials import Trials
from lab.reliability.videos import outcome
from videoespresso.agents.base import Retries

Json = dict[str, Any]
SECRET = "sk-planted-secret-0123456789"
TIMEOUT_S = 3.0
STATUSES = (
    400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 418, 421, 422, 425, 429, 431, 451,
            500, 501, 502, 503, 504, 507, 508, 511, 520, 524, 529, 599)  # fmt: skip
RETRY_AFTER = ("0", "-1", "soon", "99999999", "Wed, 21 Oct 2099 07:28:00 GMT", "1e309", "nan", "")
JSON = b"application/json"


def raw(data: bytes) -> fake.Behaviour:
    """These bytes in the place of an HTTP answer, then the end of the connection."""

    def behave(exchange: fake.Exchange) -> None:
        exchange.handler.wfile.write(data)
        exchange.handler.wfile.flush()
        exchange.handler.close_connection = True

    return behave


def head(*lines: bytes) -> bytes:
    """A 200 with these header lines."""
    return b"\r\n".join((b"HTTP/1.1 200 OK", b"Content-Type: " + JSON, *lines)) + b"\r\n\r\n"


def drip(exchange: fake.Exchange) -> None:
    """A byte now and then, for ever."""
    exchange.handler.wfile.write(head(b"Content-Length: 1000000"))
    while not exchange.closing.wait(0.05):
        exchange.handler.wfile.write(b" ")
        exchange.handler.wfile.flush()


def body(data: bytes, **more: str) -> fake.Behaviour:
    """A 200 with that body."""
    return lambda exchange: exchange.send(200, data, **more)


def away(exchange: fake.Exchange) -> None:
    """To another host, which must never be asked."""
    exchange.send(307, b"", Location="http://attacker.invalid/v1/chat/completions")


BODIES: dict[str, fake.Behaviour] = {
    "reset": fake.drop(),
    "hang": fake.hang(),
    "drip": drip,
    "cut": fake.cut(),
    "html": fake.html(),
    "no choices": fake.no_choices(),
    "redirect": away,
    "empty": body(b""),
    "null": body(b"null"),
    "list": body(b"[]"),
    "number": body(b"7"),
    "deep": body(b"[" * 200_000),
    "invalid utf-8": body(b'{"choices": [{"message": {"content": "\xff\xfe\xc3"}}]}'),
    "nul": body(b"\x00" * 1000),
    "choices null": body(b'{"choices": null}'),
    "choices empty": body(b'{"choices": []}'),
    "message null": body(b'{"choices": [{"message": null}]}'),
    "content number": body(b'{"choices": [{"message": {"role": "assistant", "content": 7}}]}'),
    "usage odd": body(b'{"choices": [], "usage": {"prompt_tokens": "many"}}'),
    "gzip bomb": body(gzip.compress(bytes(64 << 20)), Content_Encoding="gzip"),
    "no gzip": body(b"not gzip", Content_Encoding="gzip"),
    "tls": raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)),
    "not http": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "length too long": raw(head(b"Content-Length: 100") + b"{}"),
    "length odd": raw(head(b"Content-Length: many") + b"{}"),
    "length negative": raw(head(b"Content-Length: -5") + b"{}"),
    "half chunk": raw(head(b"Transfer-Encoding: chunked") + b'400\r\n{"choices"'),
    "chunk odd": raw(head(b"Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n"),
    "header huge": raw(head(b"X: " + b"a" * 500_000, b"Content-Length: 2") + b"{}"),
    "headers many": raw(head(*[b"X: y"] * 20_000, b"Content-Length: 2") + b"{}"),
    "status odd": raw(b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"),
    "status none": raw(b"HTTP/1.1\r\n\r\n"),
    "key echoed": fake.echo_key(),
    "surrogate": fake.say("\\ud83d"),
    "thought": fake.say("<think>hm", finish="length"),
    "filter": fake.say("", finish="content_filter"),
}


def faults() -> dict[str, fake.Behaviour]:
    """Name -> what the server does to every request."""
    bodies = dict(BODIES)
    bodies |= {f"status {code}": fake.status(code) for code in STATUSES}
    bodies |= {f"429 after {t!r}": fake.status(429, retry_after=t) for t in RETRY_AFTER}
    return bodies


def trials(_folder: Path, count: int, known: set[str]) -> Iterator[Json]:
    """Each fault against a call for words and one for JSON, of each provider that is installed."""
    runner = Trials(trial, patience_s=90.0)
    here = [name for name, one in PROVIDERS.items() if importlib.util.find_spec(one.package)]
    names = [(p, name, kind) for p in here for name in faults() for kind in ("words", "typed")]
    try:
        for provider, name, kind in names[:count]:
            if (key := f"fault {name}, {kind}, {provider}") not in known:
                yield {"key": key, "part": "faults", **runner.run((provider, name, kind))}
    finally:
        runner.end()


def trial(given: tuple[str, str, str]) -> Json:
    """One call to a server with the fault."""
    provider, name, kind = given
    os.environ |= {p.key: SECRET for p in PROVIDERS.values() if p.key}
    call: Callable[..., Any] = words if kind == "words" else typed
    retries = Retries(tries=2, base_s=0.0, longest_s=1.0)
    with fake.Server([faults()[name]]) as server:
        asker = provider_agent(provider, server.url, TIMEOUT_S, retries)
        result = outcome(partial(_call, call, asker))
    if SECRET in str(result):
        return {"outcome": "secret", "error": name}
    return result


def _call(call: Callable[..., Any], asker: Any) -> None:
    call(asker)
