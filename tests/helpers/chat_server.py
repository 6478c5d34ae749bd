"""A server that speaks OpenAI's chat completions, well or badly, on demand.

    with Server([status(429, retry_after="0"), hang(), say("fine")]) as server:
        ...  # the first request gets a 429, the second nothing, all later ones "fine"

A behaviour is a function of the exchange; the last one in the script is repeated. In a process of
its own, whose URL is printed: `python chat_server.py SECONDS`, the time each reply takes.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Body = dict[str, Any]


class Exchange:
    """One request and the means to answer it, well or badly."""

    def __init__(self, handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
        self.handler, self.closing = handler, closing
        self.method, self.url = handler.command, handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.content = handler.rfile.read(int(self.headers.get("content-length") or 0))

    @cached_property
    def body(self) -> Body:
        """The request's JSON; nothing was sent with a GET."""
        body: Body = json.loads(self.content or b"{}")
        return body

    def send(
        self, status: int, content: bytes, kind: str = "application/json", **more: str
    ) -> None:
        """A complete HTTP answer; header names in `more` are written with underscores."""
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", kind)
        self.handler.send_header("Content-Length", str(len(content)))
        for name, value in more.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.wfile.write(content)

    def send_json(self, status: int, content: object, **more: str) -> None:
        self.send(status, json.dumps(content).encode(), **more)

    def start_stream(self, header: str = "Connection", value: str = "close") -> None:
        """Headers of an event stream, which ends when the connection does."""
        self.handler.send_response(200)
        self.handler.send_header("Content-Type", "text/event-stream")
        self.handler.send_header(header, value)
        self.handler.end_headers()

    def event(self, content: object) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        self.handler.wfile.write(f"data: {text}\n\n".encode())
        self.handler.wfile.flush()

    def hang_up(self) -> None:
        """Closes the connection hard: the client sees a reset, not an end."""
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, zero seconds: RST instead of FIN
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.handler.connection.close()
        self.handler.close_connection = True


Behaviour = Callable[[Exchange], None]


def completion(
    message: Body, model: str, finish: str = "stop", usage: tuple[int, int] | None = (100, 7)
) -> Body:
    """A chat completion around a message."""
    reply: Body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if usage:
        reply["usage"] = dict(
            zip(("prompt_tokens", "completion_tokens"), usage, strict=True),
            total_tokens=sum(usage),
        )
    return reply


def say(text: str, *, finish: str = "stop", usage: tuple[int, int] | None = (100, 7)) -> Behaviour:
    """A good answer, streamed word by word when a stream was asked for."""

    def behave(exchange: Exchange) -> None:
        model = exchange.body.get("model", "")
        message = {"role": "assistant", "content": text}
        if not exchange.body.get("stream"):
            exchange.send_json(200, completion(message, model, finish, usage))
            return
        exchange.start_stream()
        for chunk in _chunks(text, model, finish):
            exchange.event(chunk)
        exchange.event("[DONE]")

    return behave


def say_as_ollama(text: str) -> Behaviour:
    """A good answer of an Ollama server: JSON lines, the last of them with the counts."""

    def behave(exchange: Exchange) -> None:
        about = {"model": exchange.body["model"], "created_at": "2025-01-01T00:00:00Z"}
        words = [f"{word} " for word in text.split()]
        lines: list[Body] = [
            {**about, "message": {"role": "assistant", "content": word}, "done": False}
            for word in words
        ]
        end = {"done": True, "done_reason": "stop", "prompt_eval_count": 100, "eval_count": 7}
        lines.append({**about, "message": {"role": "assistant", "content": ""}, **end})
        data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        exchange.send(200, data, "application/x-ndjson")

    return behave


def _chunks(text: str, model: str, finish: str) -> list[Body]:
    words = text.split(" ")
    deltas: list[Body] = [
        {"content": word if n == 0 else f" {word}"} for n, word in enumerate(words)
    ]
    deltas[0]["role"] = "assistant"
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    chunks = [
        frame | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    return [*chunks, frame | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}]


def call(**arguments: object) -> Behaviour:
    """A tool call with these arguments, on whatever tool was offered."""

    def behave(exchange: Exchange) -> None:
        name = exchange.body["tools"][0]["function"]["name"]
        function = {"name": name, "arguments": json.dumps(arguments)}
        calls = [{"id": "call_1", "type": "function", "function": function}]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        exchange.send_json(200, completion(message, exchange.body["model"], "tool_calls"))

    return behave


def status(
    code: int, text: str = "no", *, retry_after: str | None = None, error_code: str | None = None
) -> Behaviour:
    """An error as OpenAI words it."""

    def behave(exchange: Exchange) -> None:
        error = {"message": text, "type": "test", "param": None, "code": error_code}
        more = {} if retry_after is None else {"Retry_After": retry_after}
        exchange.send_json(code, {"error": error}, **more)

    return behave


def without(*fields: str, then: Behaviour) -> Behaviour:
    """Refuses a request that has one of the fields (response_format, tools), as old servers do."""

    def behave(exchange: Exchange) -> None:
        asked = [field for field in fields if field in exchange.body]
        if asked:
            status(400, f"Unrecognized request argument supplied: {asked[0]}")(exchange)
        else:
            then(exchange)

    return behave


def each(*pairs: tuple[str, Behaviour], otherwise: Behaviour) -> Behaviour:
    """By the form of the request: the first pair whose field it has."""

    def behave(exchange: Exchange) -> None:
        chosen = (behaviour for field, behaviour in pairs if field in exchange.body)
        next(chosen, otherwise)(exchange)

    return behave


def by_path(*pairs: tuple[str, Behaviour], otherwise: Behaviour) -> Behaviour:
    """By the address: the first pair with which it ends."""

    def behave(exchange: Exchange) -> None:
        chosen = (behaviour for end, behaviour in pairs if exchange.url.endswith(end))
        next(chosen, otherwise)(exchange)

    return behave


def serves(*names: str) -> Behaviour:
    """The list of models at /v1/models."""
    rows = [{"id": name, "object": "model", "owned_by": "test"} for name in names]
    return lambda exchange: exchange.send_json(200, {"object": "list", "data": rows})


def ollama_has(*names: str) -> Behaviour:
    """The list of models at /api/tags."""
    rows = [{"name": name, "model": name, "size": 1} for name in names]
    return lambda exchange: exchange.send_json(200, {"models": rows})


def echo_key() -> Behaviour:
    """A 401 whose text repeats the key it was sent, as some proxies do."""

    def behave(exchange: Exchange) -> None:
        status(401, f"Incorrect API key provided: {exchange.headers['authorization']}")(exchange)

    return behave


def hang() -> Behaviour:
    """Reads the request and never answers, until the server is closed."""

    def behave(exchange: Exchange) -> None:
        exchange.closing.wait(60)
        exchange.handler.close_connection = True

    return behave


def drop() -> Behaviour:
    """Closes the connection without a word."""
    return Exchange.hang_up


def cut(text: str = "The beginning of") -> Behaviour:
    """Sends half an answer, or two pieces of a stream, and ends the connection before it said that
    it would. Not hard: a reset may overtake what was sent."""

    def behave(exchange: Exchange) -> None:
        model = exchange.body.get("model", "")
        if exchange.body.get("stream"):
            exchange.start_stream("Transfer-Encoding", "chunked")
            for chunk in _chunks(text, model, "stop")[:2]:
                data = f"data: {json.dumps(chunk)}\n\n".encode()
                exchange.handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            whole = json.dumps(completion({"role": "assistant", "content": text}, model)).encode()
            exchange.handler.send_response(200)
            exchange.handler.send_header("Content-Type", "application/json")
            exchange.handler.send_header("Content-Length", str(len(whole)))
            exchange.handler.end_headers()
            exchange.handler.wfile.write(whole[: len(whole) // 2])
        exchange.handler.close_connection = True

    return behave


def html() -> Behaviour:
    """A web page with status 200, as a captive portal or a wrong URL gives."""
    page = b"<html><body>Welcome to the hotel</body></html>"
    return lambda exchange: exchange.send(200, page, "text/html")


def no_choices() -> Behaviour:
    """JSON, but not a completion."""
    return lambda exchange: exchange.send_json(200, {"id": "x", "object": "chat.completion"})


def slow(seconds: float, then: Behaviour) -> Behaviour:
    """Takes that long."""

    def behave(exchange: Exchange) -> None:
        time.sleep(seconds)
        then(exchange)

    return behave


def embed(vector: Callable[[str], list[float]], *, tokens: int = 0, missing: int = 0) -> Behaviour:
    """The vector of each text, but for the last that are `missing`, as OpenAI gives embeddings."""

    def behave(exchange: Exchange) -> None:
        texts = exchange.body["input"]
        data = [
            {"object": "embedding", "index": k, "embedding": vector(text)}
            for k, text in enumerate(texts[: len(texts) - missing])
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        reply = {"object": "list", "data": data, "model": exchange.body["model"], "usage": usage}
        exchange.send_json(200, reply)

    return behave


class Server:
    """Runs the script on localhost. `requests` are the bodies that came, `paths` and `headers`
    theirs, in order."""

    def __init__(self, script: Iterable[Behaviour]) -> None:
        self._script = list(script)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.requests: list[Body] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes: 40 ms otherwise

            def _any(self) -> None:
                outer.handle(Exchange(self, outer._closing))

            do_GET = do_POST = do_DELETE = _any

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that went away is what the tests are about."""
                error = sys.exc_info()[1]
                if not isinstance(error, OSError | ValueError):
                    super().handle_error(request, client_address)

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """The base URL for a spec."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def handle(self, exchange: Exchange) -> None:
        """Answers a request by the next of the script."""
        with self._lock:
            self.requests.append(exchange.body)
            self.paths.append(exchange.url)
            self.headers.append(exchange.headers)
            behave = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        behave(exchange)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


if __name__ == "__main__":
    with Server([slow(float(sys.argv[1]), say('{"good": true}'))]) as running:
        print(running.url, flush=True)  # noqa: T201 - its only output
        running._closing.wait()
