"""Agents in batch mode against a server that speaks the Batch API: what its tests share."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel
from tests.helpers.batch_server import BatchServer, Body
from tests.helpers.chat_server import completion

from videoespresso.agents.base import Agent, Prompt, Retries, Turn
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.batch_api.collector import BatchCollector, Deferred
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec

PROMPT = Prompt("verifier", "You are the verifier.", "0" * 64)
KEY = "sk-planted-0123456789abcdef"


class Verdict(BaseModel):
    good: bool
    number: int


def question(body: Body) -> int:
    """The number in a request's last text."""
    content = body["messages"][-1]["content"]
    text = content if isinstance(content, str) else content[-1]["text"]
    return int(text.split()[1])


def verdict(body: Body) -> tuple[int, Body]:
    """What a good model says, with its date."""
    text = json.dumps({"good": True, "number": question(body)})
    message = {"role": "assistant", "content": text}
    if tools := body.get("tools"):
        function = {"name": tools[0]["function"]["name"], "arguments": text}
        calls = [{"id": "c", "type": "function", "function": function}]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
    reply = completion(message, f"{body['model']}-2026-01-01")
    return 200, reply | {"system_fingerprint": "fp_1"}


def flawed(body: Body) -> tuple[int, Body] | str:
    """Good, prose, cut, empty, an error, a broken line, a reply that is none: by the number."""
    number = question(body)
    status, reply = verdict(body)
    message = reply["choices"][0]
    if number == 1:
        message["message"]["content"] = "Well, it depends."
    elif number == 2:
        message["message"]["content"] = '{"good": tr'
        message["finish_reason"] = "length"
    elif number == 3:
        message["message"]["content"] = ""
    elif number == 4:
        return 400, {"error": {"message": "too many images", "type": "x", "code": None}}
    elif number == 5:
        return "{this is no line"
    elif number == 6:
        return 200, {"id": "x", "object": "chat.completion"}
    return status, reply


RUNS: "list[Run]" = []
"""Those of this test."""


class Run:
    """A builder in miniature: what one process has."""

    def __init__(
        self, server: BatchServer, folder: Path, budget: Budget | None = None, **more: Any
    ):
        self.folder, self.server = folder, server
        self.replies, self.usage_log = ReplyCache(folder / "replies.sqlite"), UsageLog()
        self.budget = budget or Budget()
        self.collector = BatchCollector(
            folder / "batches", self.replies, self.budget, self.usage_log, **more
        )
        self.agent = self.named("openai:tester")
        RUNS.append(self)

    def named(self, name: str, **more: Any) -> Agent:
        spec = ModelSpec.parse(f"{name}@{self.server.url}")
        return Agent(
            "verifier", spec, chat_model(spec), usage_log=self.usage_log, replies=self.replies,
            budget=self.budget, collector=self.collector, retries=Retries(base_s=0.0), **more,
        )  # fmt: skip

    @property
    def wanted(self) -> int:
        """Requests collected and not yet submitted."""
        table = self.collector._store
        return sum(table.count(batch.name).get("wanted", 0) for batch in table.batches())

    @property
    def reasons(self) -> dict[str, int]:
        """Why requests have no good reply yet, and how many of each."""
        query = "SELECT reason, COUNT(*) FROM requests WHERE state = 'bad' GROUP BY reason"
        return dict(self.collector._store._db.execute(query).fetchall())

    def ask(self, numbers: range, agent: Agent | None = None) -> list[Any]:
        """For each question its reply, or the Deferred."""
        came: list[Any] = []
        for number in numbers:
            turns = [Turn("user", (Image.new("RGB", (8, 8), (number, 0, 0)), f"Question {number}"))]
            try:
                came.append((agent or self.agent).typed(PROMPT, turns, Verdict))
            except Deferred as deferred:
                came.append(deferred)
        return came

    def crash(self) -> None:
        """What the system does when the process dies: nothing is written, locks are dropped."""
        for _, file in self.collector._outbox._files.values():
            file.close()
        self.collector._owner.release()
        self.collector._store.close()


@contextmanager
def serving() -> Iterator[BatchServer]:
    """A server that answers well; then the end of all runs."""
    with BatchServer(verdict) as running:
        yield running
    while RUNS:
        RUNS.pop().crash()


def answered(came: list[Any]) -> list[int]:
    return [reply.value.number for reply in came if not isinstance(reply, Deferred)]


def files(folder: Path) -> list[Path]:
    return sorted((folder / "batches").glob("*.jsonl"))
