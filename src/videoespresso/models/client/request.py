"""One request: what is asked, its cache key, how it is sent, and the reply that an agent gives.

What a server cannot take beside whole forms of request is learned from its refusal, left out from
then on, and remembered by server and model for a week (memory/replies.py).
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableParallel, RunnableSequence
from pydantic import BaseModel

from videoespresso.memory.replies import reply_key
from videoespresso.models.client.errors import UnsupportedError
from videoespresso.models.client.messages import Turn, fingerprint, images_in, messages, texts_in
from videoespresso.models.client.prices import image_tokens, text_tokens
from videoespresso.models.client.structured_output import (
    Attempt,
    Bounds,
    Method,
    bounded,
    complaint,
    instructions,
    json_schema,
    sent,
)
from videoespresso.models.specs import ModelSpec
from videoespresso.types import Usage

V = TypeVar("V")

_SAMPLING = (
    *("temperature", "top_p", "max_tokens", "seed", "max_pixels", "dtype"),
    "identity",  # names local weights
    "openai_api_base",  # where a spec without a base URL went
)
"""Attributes of a chat model on which its reply depends."""

_FRAMING = 64
"""Bytes a message takes beside its text (role, separators; the complaint of a second try)."""


@dataclass(frozen=True)
class Prompt:
    """A system message. sha: sha256 of the file it came from, before filling in; goes into
    records, so that a number can be traced to the words that were used."""

    role: str
    text: str
    sha: str


@dataclass(frozen=True)
class Reply(Generic[V]):
    """value: what was asked for. raw: the text it was read from. usage: what it took now, failed
    tries included. how: the methods tried, e.g. ("json_schema: refused", "tool: ok"), "cache"
    first when nothing was sent.

    For records, the same whether it comes from the model or from the cache: cost, what it took
    when it was made; snapshot, which model the server said it was, e.g.
    "gpt-4o-2024-08-06 fp_50cad350e4" (weights in this process: their identity), "" for unknown.
    """

    value: V
    raw: str
    usage: Usage
    how: tuple[str, ...]
    cost: Usage = field(default_factory=Usage)
    snapshot: str = ""


@dataclass(frozen=True)
class Request:
    """A prompt and turns for a model; turns are as sent (gridded where the model needs it).

    tools: what it may call, as OpenAI writes tools, which every LangChain model takes. lacks: what
    the server does not take (below); no part of the key, for it is asked the same. bounds:
    what the turns say of the reply (`Bounds`); no part of the key either. splits: without a good
    reply it is asked in parts, so that it is in one batch at most.
    """

    spec: ModelSpec
    model: BaseChatModel
    prompt: Prompt
    turns: tuple[Turn, ...]
    schema: type[BaseModel] | None = None
    tools: tuple[dict[str, Any], ...] = ()
    lacks: frozenset[str] = frozenset()
    bounds: Bounds | None = None
    splits: bool = False

    @cached_property
    def key(self) -> str:
        """The content hash of everything the reply depends on."""
        return reply_key(
            {
                "spec": str(self.spec),
                "prompt": self.prompt.text,
                "prompt_sha": self.prompt.sha,
                "turns": fingerprint(self.turns),
                "schema": json_schema(self.schema) if self.schema else None,
                "sampling": {
                    name: str(value)
                    for name in _SAMPLING
                    if (value := getattr(self.model, name, None)) is not None
                },
                **({"tools": self.tools} if self.tools else {}),
            }
        )

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each image as sent."""
        return tuple(image.size for image in images_in(self.turns))

    @cached_property
    def image_tokens(self) -> int:
        """An estimate of what the images cost."""
        return sum(image_tokens(self.spec, *size) for size in self.sizes)

    @cached_property
    def input_tokens(self) -> int:
        """An estimate of the whole input."""
        tools = [json.dumps(tool) for tool in self.tools]
        return text_tokens([self.prompt.text, *texts_in(self.turns), *tools]) + self.image_tokens

    def most_tokens(self, attempt: Attempt) -> int:
        """No fewer than the input of an attempt can have: a token is at least a byte of text."""
        texts = [self.prompt.text, *texts_in(self.turns), *(attempt.again or ())]
        forms: list[Any] = [*self.tools]
        if self.schema is not None:
            forms.append(json_schema(self.schema))
        calls = [call.model_dump() for turn in self.turns for call in turn.calls]
        text = sum(len(part.encode()) for part in texts) + len(json.dumps([*forms, *calls]))
        return text + _FRAMING * (len(self.turns) + 4) + self.image_tokens

    def messages(self, attempt: Attempt) -> list[BaseMessage]:
        """What an attempt sends. Schema instructions go into the system message only."""
        system, turns = self.prompt.text, list(self.turns)
        shown = getattr(self.model, "schema_in_prompt", True)
        if attempt.method == "prompt" and self.schema is not None and shown:
            system += instructions(self.schema)
        if attempt.again is not None:
            text, fault = attempt.again
            if text.strip():
                turns.append(Turn("assistant", (text,)))
            turns.append(Turn("user", (complaint(fault),)))
        detail = self.spec.options.get("detail", "") if self.spec.provider == "openai" else ""
        return messages(system, turns, detail, system_first="system" not in self.lacks)

    def runnable(self, method: Method) -> Runnable[Any, Any]:
        """The model as this method calls it. Raises UnsupportedError if its class cannot."""
        runnable, detail = self._runnable(method), self.spec.options.get("detail")
        if self.spec.provider == "google_genai" and detail:
            # with each call: langchain-google-genai 4.4 does not send what its class was given
            return runnable.bind(media_resolution=f"MEDIA_RESOLUTION_{detail.upper()}")
        return runnable

    def _runnable(self, method: Method) -> Runnable[Any, Any]:
        model = without(self.model, self.lacks) if self.lacks else self.model
        try:
            if method == "calls":
                return model.bind_tools(self.tools)
            if self.schema is None or method in ("prompt", "text"):
                if self.schema is None or not getattr(model, "guided", False):
                    return model
                return model.bind(json_schema=bounded(self.schema, self.bounds))
            native = method == "json_schema"
            strict = {"strict": True} if native and self.spec.provider == "openai" else {}
            bound = model.with_structured_output(
                sent(self.schema, self.bounds),
                method="json_schema" if native else "function_calling",
                include_raw=True,
                **strict,
            )
        except (NotImplementedError, TypeError, ValueError) as error:
            raise UnsupportedError(f"{self.spec} has no {method}: {type(error).__name__}") from None
        return _unparsed(bound)


def _unparsed(structured: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The model with its schema bound, without the parser behind it: replies are read here, and
    each run of LangChain's parser starts two pools of threads (8 ms a call)."""
    first = structured.first if isinstance(structured, RunnableSequence) else None
    if isinstance(first, RunnableParallel) and list(first.steps__) == ["raw"]:
        return first.steps__["raw"]
    return structured


IMAGES = "several images"
"""It takes one image a request: several become a labelled grid."""

_REFUSALS = {
    "temperature": r"temperature",
    "max_tokens": r"max_(completion_)?tokens",
    "system": r"system (role|messages?|prompts?)\b.*\b(not|n't)\b|only user and assistant roles",
    IMAGES: r"(at most|maximum of|up to|only|more than) (1|one|a single) images?\b|one image per"
    r"|multiple images?\b.*\b(not|n't)\b|(not|n't) support multiple images?",
}


_SHOWN = {
    "json_schema": "replies by JSON schema",
    "tool": "replies as a tool call",
    "calls": "tools",
    "system": "system messages",
}
"""Abilities for people, where their names are ours."""


def shown(ability: str) -> str:
    """What a server does not take, for people."""
    return _SHOWN.get(ability, ability)


class OneImageError(UnsupportedError):
    """The server takes one image a request."""


def inability(error: UnsupportedError) -> str:
    """What the server says it does not take; "" where it complains of something else."""
    return next((k for k, v in _REFUSALS.items() if re.search(v, str(error), re.IGNORECASE)), "")


def without(model: BaseChatModel, lacks: Collection[str]) -> BaseChatModel:
    """The model, sending none of the parameters that its server refuses. A limit of the reply's
    length goes under the other of its two names, where the refused one was `max_tokens`."""
    changes: dict[str, Any] = {name: None for name in ("temperature",) if name in lacks}
    limit = getattr(model, "max_tokens", None)
    if "max_tokens" in lacks and limit is not None:
        changes["max_tokens"] = None
        more = getattr(model, "model_kwargs", None)
        if isinstance(more, dict) and "max_tokens" in _sent(model):
            changes["model_kwargs"] = {**more, "max_completion_tokens": limit}
    return model.model_copy(update=changes) if changes else model


def _sent(model: BaseChatModel) -> Collection[str]:
    """The names of the parameters that the model sends."""
    payload = getattr(model, "_get_request_payload", None)
    return payload([("user", "")]) if callable(payload) else ()
