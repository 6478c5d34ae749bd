"""A server that speaks OpenAI's Batch API: files, batches and, beside them, chat completions.

    with BatchServer(execute) as server:
        ...                     # batches are created and wait
        server.finish()         # all open ones are executed
        server.finish(status="expired", only=3)

`execute` is given the body of each request and returns (HTTP status, body of the reply), or a
string, which becomes the line of the output file as it is.
"""

import email.parser
import email.policy
import json
from collections.abc import Callable
from itertools import count
from urllib.parse import parse_qs, urlsplit

from tests.helpers.chat_server import Body, Exchange, Server

Execute = Callable[[Body], tuple[int, Body] | str]


class BatchServer(Server):
    """`executed` are the bodies that were paid for, `online` those of chat completions; `calls`
    the other requests as "POST /files". `refuse` answers a call by its name with a status."""

    def __init__(self, execute: Execute) -> None:
        super().__init__(())
        self.execute = execute
        self.files: dict[str, tuple[str, bytes]] = {}
        self.batches: dict[str, Body] = {}
        self.executed: list[Body] = []
        self.online: list[Body] = []
        self.calls: list[str] = []
        self.keys: set[str] = set()
        self.refuse: dict[str, int] = {}
        self._numbers = count(1)

    def handle(self, exchange: Exchange) -> None:
        """Answers any request."""
        self.keys.add(exchange.headers.get("authorization", ""))
        status, reply = self.answer(
            exchange.method,
            exchange.url,
            exchange.content,
            exchange.headers.get("content-type", ""),
        )
        if isinstance(reply, dict):
            exchange.send_json(status, reply)
        else:
            exchange.send(status, reply, "application/jsonl")

    def finish(self, status: str = "completed", only: int | None = None) -> None:
        """Executes the open batches, of each the first `only` requests, and ends them."""
        for batch in self.batches.values():
            if batch["status"] in ("in_progress", "finalizing"):
                self._finish(batch, status, only)

    def _finish(self, batch: Body, status: str, only: int | None) -> None:
        lines = self.files[batch["input_file_id"]][1].splitlines()
        asked = [json.loads(line) for line in lines]
        done = asked if only is None else asked[:only]
        out, errors = [], []
        for line in reversed(done):  # replies come in any order
            self.executed.append(line["body"])
            came = self.execute(line["body"])
            if isinstance(came, str):
                out.append(came)
                continue
            reply = {
                "id": "batch_req_1",
                "custom_id": line["custom_id"],
                "response": {"status_code": came[0], "request_id": "r", "body": came[1]},
                "error": None,
            }
            (out if came[0] == 200 else errors).append(json.dumps(reply))
        for line in asked[len(done) :]:
            error = {"code": "batch_expired", "message": "This request could not be executed."}
            left = {"id": "x", "custom_id": line["custom_id"], "response": None, "error": error}
            if status == "expired":
                errors.append(json.dumps(left))
        batch["status"] = status
        batch["output_file_id"] = self._add("out.jsonl", "\n".join(out).encode()) if out else None
        batch["error_file_id"] = (
            self._add("err.jsonl", "\n".join(errors).encode()) if errors else None
        )

    def fail(self, message: str) -> None:
        """Ends the open batches as one whose file was not valid."""
        for batch in self.batches.values():
            if batch["status"] == "in_progress":
                batch["status"] = "failed"
                data = [{"code": "invalid", "message": message, "line": 1, "param": None}]
                batch["errors"] = {"object": "list", "data": data}

    def _add(self, name: str, content: bytes) -> str:
        file_id = f"file-{next(self._numbers)}"
        self.files[file_id] = name, content
        return file_id

    def _file(self, file_id: str) -> Body:
        name, content = self.files[file_id]
        return {
            "id": file_id, "object": "file", "bytes": len(content), "created_at": 1,
            "filename": name, "purpose": "batch", "status": "processed",
        }  # fmt: skip

    def answer(self, method: str, url: str, content: bytes, kind: str) -> tuple[int, Body | bytes]:
        """Status and content of any request."""
        parts = urlsplit(url)
        path = parts.path.removeprefix("/v1")
        if path == "/chat/completions":
            body = json.loads(content)
            self.online.append(body)
            came = self.execute(body)
            return came if isinstance(came, tuple) else (200, came.encode())
        with self._lock:
            name = f"{method} /" + "/".join(
                "…" if "-" in part or part.startswith("batch_") else part
                for part in path.strip("/").split("/")
            )
            self.calls.append(name)
            if name in self.refuse:
                error = {"message": "no", "type": "test", "param": None, "code": None}
                return self.refuse[name], {"error": error}
            return self._answer(name, path.split("/"), parse_qs(parts.query), content, kind)

    def _answer(
        self, name: str, path: list[str], query: dict[str, list[str]], content: bytes, kind: str
    ) -> tuple[int, Body | bytes]:
        if name == "POST /files":
            return 200, self._file(self._add(*_uploaded(content, kind)))
        if name == "GET /files":
            listed = [self._file(file_id) for file_id in self.files]
            return 200, {"object": "list", "data": listed, "has_more": False}
        if name == "POST /batches":
            return 200, self._create(json.loads(content))
        if name == "GET /batches":  # two a page, newest first, as the server has it
            newest = list(reversed(self.batches.values()))
            after = query.get("after", [""])[0]
            ids = [batch["id"] for batch in newest]
            start = ids.index(after) + 1 if after else 0
            page = newest[start : start + 2]
            more = start + 2 < len(newest)
            last = page[-1]["id"] if page else None
            return 200, {"object": "list", "data": page, "has_more": more, "last_id": last}
        if name == "GET /files/…/content" and path[2] in self.files:
            return 200, self.files[path[2]][1]
        if name == "DELETE /files/…" and path[2] in self.files:
            del self.files[path[2]]
            return 200, {"id": path[2], "object": "file", "deleted": True}
        if path[1] == "batches" and path[2] in self.batches:
            return 200, self.batches[path[2]]
        return 404, {"error": {"message": "No such thing", "type": "test", "code": None}}

    def _create(self, asked: Body) -> Body:
        assert asked["endpoint"] == "/v1/chat/completions"
        assert asked["completion_window"] == "24h"
        lines = self.files[asked["input_file_id"]][1].splitlines()
        parsed = [json.loads(line) for line in lines]
        assert len({line["body"]["model"] for line in parsed}) == 1
        assert len({line["custom_id"] for line in parsed}) == len(parsed)
        assert all(len(line["custom_id"]) <= 64 for line in parsed)
        batch = {
            "id": f"batch_{len(self.batches) + 1}", "object": "batch", "created_at": 1,
            "status": "in_progress", "errors": None, "output_file_id": None, "error_file_id": None,
            **asked,
        }  # fmt: skip
        self.batches[batch["id"]] = batch
        return batch


def _uploaded(content: bytes, kind: str) -> tuple[str, bytes]:
    """(file name, content) of a multipart upload; the purpose must be a batch."""
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + content)
    parts = {
        part.get_param("name", header="content-disposition"): part for part in message.iter_parts()
    }
    assert parts["purpose"].get_content().strip() == "batch"
    file = parts["file"]
    data = file.get_payload(decode=True)
    assert isinstance(data, bytes)
    return str(file.get_filename()), data
