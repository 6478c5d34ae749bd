"""Roles on a server that is paid by its spec, which counts what reaches it, by role."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.helpers import chat_server as fake
from tests.helpers.scripted import scripted_context
from tests.helpers.seeing_server import images, text_of, user_text

from videoespresso.agents.base import Agent, Retries
from videoespresso.graphs.context import Context
from videoespresso.models.chat import chat_model
from videoespresso.models.client.messages import from_data_uri
from videoespresso.models.costs import question_budget
from videoespresso.models.profiles import CHAT_ROLES
from videoespresso.models.specs import ModelSpec

ROLES = ("captioner", "scorer", "selector", "reasoner", "checker", "follower")
SMALL, LARGE = "openai:gpt-6-luna?detail=low&effort=none", "openai:gpt-4o?detail=high"
"""Of profile `openai`."""
WORDS = ("red", "blue", "green", "white", "tall", "round", "old", "new", "wet", "dark")


@dataclass
class Paid:
    """A model that says something of everything it is shown. same: every frame has this caption."""

    same: str = ""
    most_images: int = 64
    captions: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    sides: dict[str, set[int]] = field(default_factory=dict)
    details: dict[str, set[str]] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, exchange: fake.Exchange) -> None:
        body = exchange.body
        system = text_of(body["messages"][0])
        role = next(name for name in ROLES if f"You are the {name}" in system)
        pictures = images(body)
        self.bodies.append(body)
        self.calls[role] += 1
        self.images[role] += len(pictures)
        if len(pictures) > self.most_images:
            return fake.status(400, f"At most {self.most_images} images may be sent")(exchange)
        if pictures and (why := self.takes(role)):
            return fake.status(400, why)(exchange)
        for uri in pictures:
            self.sides.setdefault(role, set()).add(max(from_data_uri(uri).size))
        blocks = [
            b for m in body["messages"] if isinstance(m["content"], list) for b in m["content"]
        ]
        seen = (b["image_url"].get("detail", "") for b in blocks if b["type"] == "image_url")
        self.details.setdefault(role, set()).update(seen)
        found = self.reply(role, body)
        text = found if isinstance(found, str) else json.dumps(found)
        fake.say(text, usage=None)(exchange)  # billed by the published formulas

    def takes(self, role: str) -> str:
        """Why it takes no pictures in that role; "" where it does."""
        return ""

    def reply(self, role: str, body: dict[str, Any]) -> Any:
        """What the model says."""
        form, text = json.dumps(body.get("response_format", {})), user_text(body)
        if role == "captioner" and "FrameCaption" not in form and "captions" not in form:
            return self.caption()
        if role == "captioner":
            numbers = re.findall(r"Frame (\d+):", text)
            return {"captions": [{"frame": int(n), "caption": self.caption()} for n in numbers]}
        if role == "scorer":
            numbers = re.findall(r"\[(\d+)\]", text)
            return {"scores": [{"frame": int(n), "score": int(n) % 10} for n in numbers]}
        if role == "selector":
            return {"core": [{"why": "it is asked about", "frame": n} for n in (1, 2)]}
        if role == "checker":
            return {"carried": True, "missing": ""}
        step = {"text": "Something stands there.", "frame": 1, "items": []}
        evidence = {"steps": [step]} if "steps" in form else {}
        answer = {"answered": True, "answer": "a wall", "choice": None}
        return evidence | (answer if "answered" in form else {})

    def caption(self) -> str:
        """Each is another one."""
        self.captions += 1
        n = self.captions
        return self.same or f"A {WORDS[n % 10]} and {WORDS[n // 10 % 10]} wall, number {n}."


@contextmanager
def paid_context(
    cache: Path, model: Paid, tools: Any = (), specs: dict[str, str] | None = None,
    at_a_time: int = 1, **given: Any,
) -> Iterator[Context]:  # fmt: skip
    """A context whose chat roles are profile `openai`'s by name and price, and that server's in
    fact. specs: of roles that have another one; {url} in one is the server's. at_a_time: calls;
    with one their order is the same in each run."""
    with fake.Server([model]) as server:
        named = {role: LARGE if role == "reasoner" else SMALL for role in CHAT_ROLES}
        named |= {role: spec.format(url=server.url) for role, spec in (specs or {}).items()}
        context, _ = scripted_context(cache, {}, tools, **named, **given)
        budget = question_budget(context.settings)
        agents = {
            role: Agent(
                role, ModelSpec.parse(spec), chat_model(f"openai:gpt-4o@{server.url}"),
                usage_log=context.usage_log, replies=context.agents[role].replies, budget=budget,
                retries=Retries(base_s=0.0, longest_s=5.0), concurrency=at_a_time,
                sheet=context.settings.sheet,
            )
            for role, spec in named.items()
        }  # fmt: skip
        yield replace(context, agents=agents, budget=budget)
