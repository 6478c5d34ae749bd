"""A chat completions server that replies by `rehearsal`'s rules and counts what it is asked.

    python -m lab.rehearsal_server --latency 0.5

prints its address and serves until it is killed; GET /counts tells what it has seen.
"""

import argparse
import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lab.rehearsal import PAIRS, reply

Json = dict[str, Any]

TEXT_BYTES, PICTURE_TOKENS = 4, 85
"""How it counts tokens: bytes of text a token, tokens a picture."""


@dataclass
class Counts:
    """What was asked. bodies: how often each request, by its hash. roles: requests a role.

    tokens: (in, out) a role. most: the most requests that waited for a reply at one moment.
    """

    bodies: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)
    most: int = 0

    def as_json(self) -> Json:
        """As GET /counts says it."""
        twice = sum(n - 1 for n in self.bodies.values())
        return {"requests": self.bodies.total(), "twice": twice, "most": self.most,
                "roles": dict(self.roles), "tokens": self.tokens}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A request as a hook sees it: its number, from 1, its role, the hash of its body."""

    number: int
    role: str
    sha: str


Hook = Callable[[Asked], tuple[int, str] | None]
"""May answer in the rules' place: (status, error text). Called when a request has come."""


def _rules(_call: Asked) -> None:
    """Leaves every answer to the rules."""


class RehearsalServer:
    """Serves on localhost from a thread of its own while the context is entered.

    latency_s: what a reply takes. hook: hears of every request, and may answer it. answered:
    hears of every reply that was sent.
    """

    def __init__(
        self,
        latency_s: float = 0.0,
        *,
        pairs: int = PAIRS,
        hook: Hook = _rules,
        answered: Callable[[Asked], None] = lambda _asked: None,
    ) -> None:
        self.latency_s, self.pairs, self.hook, self.answered = latency_s, pairs, hook, answered
        self.counts = Counts()
        self.together = 0
        self._waiting = 0
        self._came = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._server: asyncio.Server | None = None
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        """The base URL for a spec."""
        assert self._server is not None, "the server is not running"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def forget(self, *, together: int = 0) -> None:
        """Counts from zero. together: no request is answered before as many wait at one moment, but
        for those that waited a minute."""
        self.counts, self.together = Counts(), together
        self._came.clear()

    def __enter__(self) -> "RehearsalServer":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = self._loop.run_until_complete(start)
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, a request after the other, until the client hangs up."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = head.lower().partition("content-length:")[2].partition("\r\n")[0]
                content = await reader.readexactly(int(length or 0))
                if head.startswith("GET"):
                    writer.write(_http(200, self.counts.as_json()))
                else:
                    await self._answer(content, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, content: bytes, writer: asyncio.StreamWriter) -> None:
        body = json.loads(content)
        role = str(body["messages"][0]["content"])[: len("You are the ") + 12]
        role = role.removeprefix("You are the ").partition(".")[0]
        counts = self.counts
        sha = hashlib.sha256(content).hexdigest()
        counts.bodies[sha] += 1
        counts.roles[role] += 1
        call = Asked(counts.bodies.total(), role, sha)
        self._waiting += 1
        counts.most = max(counts.most, self._waiting)
        try:
            instead = self.hook(call)
            if self._waiting >= self.together:
                self._came.set()
            elif not self._came.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), 60)
            await asyncio.sleep(self.latency_s)
        finally:
            self._waiting -= 1
        if instead is not None:
            status, text = instead
            writer.write(_http(status, {"error": {"message": text, "type": "t", "code": None}}))
            return
        done = _completion(body, reply(body, self.pairs))
        before, usage = counts.tokens.get(role, (0, 0)), done["usage"]
        now = usage["prompt_tokens"], usage["completion_tokens"]
        counts.tokens[role] = (before[0] + now[0], before[1] + now[1])
        writer.write(_http(200, done))
        await writer.drain()
        self.answered(call)


def _completion(body: Json, text: str) -> Json:
    words = pictures = 0
    for message in body["messages"]:
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content
        words += sum(len(part.get("text", "").encode()) for part in parts)
        pictures += sum("image_url" in part for part in parts)
    read = words // TEXT_BYTES + pictures * PICTURE_TOKENS
    written = max(1, len(text) // TEXT_BYTES)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "rehearsal-1",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        ],
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        },
    }


def _http(status: int, content: Json) -> bytes:
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds a reply takes")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs a group gets")
    given = parser.parse_args()
    with RehearsalServer(given.latency, pairs=given.pairs) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
