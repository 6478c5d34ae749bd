"""A server that plays all roles of dataset mode, each reply a function of its request alone.

with DatasetServer() as server:
    ...  # server.settings(); server.calls; server.most
"""

import hashlib
import json
import re
import threading
from collections import Counter
from typing import Any

from tests import misbehaving
from tests.misbehaving import Exchange, say

from videoespresso.settings import DATASET_ROLES

ROLES = ("captioner", *DATASET_ROLES)


class DatasetServer(misbehaving.Server):
    """Counts the calls of each role, and how many were under way at a time. slow_s: a reply's."""

    def __init__(self, slow_s: float = 0.0) -> None:
        super().__init__([self._behave])
        self.slow_s = slow_s
        self.calls: Counter[str] = Counter()
        self.flying = self.most = 0
        self._counting = threading.Lock()

    @property
    def total(self) -> int:
        """Calls of all roles."""
        return self.calls.total()

    def settings(self) -> dict[str, str]:
        """Every role's spec."""
        return dict.fromkeys(ROLES, f"openai:tester@{self.url}")

    def __enter__(self) -> "DatasetServer":
        super().__enter__()
        return self

    def _behave(self, exchange: Exchange) -> None:
        body = exchange.body
        role = next(r for r in ROLES if r in _text(body["messages"][0]).partition("\n")[0])
        with self._counting:
            self.calls[role] += 1
            self.flying += 1
            self.most = max(self.most, self.flying)
        try:
            exchange.closing.wait(self.slow_s)
            say(_reply(role, body))(exchange)
        finally:
            with self._counting:
                self.flying -= 1


def _text(message: Any) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content)


def _reply(role: str, body: Any) -> str:
    """What that role says to that request."""
    asked = json.dumps(body["messages"], sort_keys=True)
    mark = hashlib.sha256(asked.encode()).hexdigest()[:8]
    shown = re.findall(r"^\([\d.]+ s\) (.*) \[\d+\]$", _text(body["messages"][-1]), re.MULTILINE)
    if role == "captioner":
        return f"room: scene number {mark} of things"
    if role == "generator":
        return json.dumps({"pairs": [_pair(k, shown) for k in range(2)]})
    if role == "verifier":
        return json.dumps({"reason": "fits", "criterion": "", "accepted": True})
    if role == "annotator":
        sentences = [{"text": f"It {v}.", "core": k, "items": []} for k, v in _VERBS]
        return json.dumps({"core": [shown[-1], shown[0]], "evidence": sentences})
    wrong = [{"text": f"After it comes another thing {k}.", "error": "it"} for k in "abc"]
    return json.dumps({"wrong": wrong})


_VERBS = ((1, "ends"), (2, "begins"))


def _pair(number: int, shown: list[str]) -> dict[str, str]:
    return {
        "question": f"How does {shown[number]} lead to the end?",
        "answer": f"After it comes {shown[-1]}.",
        "task": "Causal Analysis",
    }
