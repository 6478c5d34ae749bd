"""One request: what is asked, its cache key, what goes over the wire and what came back."""

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableParallel, RunnableSequence
from pydantic import BaseModel, Field, ValidationError

from videoespresso.errors import ModelOutputError
from videoespresso.memory.replies import reply_key
from videoespresso.models.client.errors import UnsupportedError, redact
from videoespresso.models.client.messages import (
    Call,
    Turn,
    fingerprint,
    images_in,
    messages,
    texts_in,
)
from videoespresso.models.client.prices import image_tokens, text_tokens
from videoespresso.models.client.structured_output import (
    Attempt,
    Climbed,
    Rung,
    Said,
    complaint,
    instructions,
    json_schema,
    strict_schema,
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
    tries included. how: the rungs tried, e.g. ("json_schema: refused", "tool: ok"), "cache"
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


class Called(BaseModel):
    """What a model that may call tools said: the calls it wants made, none when it has enough."""

    text: str = ""
    calls: list[Call] = Field(default_factory=list)


@dataclass(frozen=True)
class Request:
    """A prompt and turns for a model; turns are as sent (gridded where the model needs it).

    tools: what it may call, as OpenAI writes tools, which every LangChain model takes.
    """

    spec: ModelSpec
    model: BaseChatModel
    prompt: Prompt
    turns: tuple[Turn, ...]
    schema: type[BaseModel] | None = None
    tools: tuple[dict[str, Any], ...] = ()

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
        told = [self.prompt.text, *texts_in(self.turns), *(attempt.again or ())]
        about: list[Any] = [*self.tools] + (
            [json_schema(self.schema)] if self.schema is not None else []
        )
        calls = [call.model_dump() for turn in self.turns for call in turn.calls]
        text = sum(len(part.encode()) for part in told) + len(json.dumps([*about, *calls]))
        return text + _FRAMING * (len(self.turns) + 4) + self.image_tokens

    def wire(self, attempt: Attempt) -> list[BaseMessage]:
        """The messages of an attempt. Schema instructions go into the system message only."""
        system, turns = self.prompt.text, list(self.turns)
        if attempt.rung == "prompt" and self.schema is not None:
            system += instructions(self.schema)
        if attempt.again is not None:
            said, fault = attempt.again
            if said.strip():
                turns.append(Turn("assistant", (said,)))
            turns.append(Turn("user", (complaint(fault),)))
        return messages(system, turns)

    def runnable(self, rung: Rung) -> Runnable[Any, Any]:
        """The model as this rung calls it. Raises UnsupportedError if its class cannot."""
        if rung == "calls":
            try:
                return self.model.bind_tools(self.tools)
            except (NotImplementedError, TypeError, ValueError) as error:
                what = f"{self.spec} cannot call tools: {type(error).__name__}"
                raise UnsupportedError(what) from None
        if self.schema is None or rung in ("prompt", "text"):
            return self.model
        native = rung == "json_schema"
        options: dict[str, Any] = {"strict": True} if self.spec.provider == "openai" else {}
        try:
            bound = self.model.with_structured_output(
                strict_schema(self.schema),
                method="json_schema" if native else "function_calling",
                include_raw=True,
                **(options if native else {}),
            )
            return _unparsed(bound)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise UnsupportedError(f"{self.spec} has no {rung}: {type(error).__name__}") from None


def _unparsed(structured: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The model with its schema bound, without the parser behind it: the ladder reads by itself,
    and each run of LangChain's parser starts two pools of threads (8 ms a call)."""
    first = structured.first if isinstance(structured, RunnableSequence) else None
    if isinstance(first, RunnableParallel) and list(first.steps__) == ["raw"]:
        return first.steps__["raw"]
    return structured


def said(output: Any, rung: Rung = "text") -> Said:
    """What came back, with keys taken out: a message, or {"raw": message} of a typed rung.

    On the rung `calls` the text is a `Called` as JSON.
    """
    message = output["raw"] if isinstance(output, dict) else output
    if not isinstance(message, AIMessage):
        return Said(redact(str(getattr(message, "content", message) or "")))
    text = str(message.text)
    if rung == "calls":
        text = _called(message).model_dump_json()
    elif message.tool_calls:
        text = json.dumps(message.tool_calls[0]["args"], ensure_ascii=False)
    elif message.invalid_tool_calls:
        text = message.invalid_tool_calls[0].get("args") or text
    about = message.response_metadata
    stop = about.get("finish_reason") or about.get("stop_reason") or about.get("done_reason")
    tokens = message.usage_metadata
    return Said(
        redact(text),
        cut=stop in ("length", "max_tokens", "MAX_TOKENS"),
        input_tokens=tokens["input_tokens"] if tokens else 0,
        output_tokens=tokens["output_tokens"] if tokens else 0,
        snapshot=" ".join(
            str(about[name]) for name in ("model_name", "system_fingerprint") if about.get(name)
        ),
    )


def _called(message: AIMessage) -> Called:
    """A message's calls, those among them that cannot be read too; each has an id."""
    calls = [
        Call(name=call["name"], arguments=call["args"], id=call["id"] or f"call{n}")
        for n, call in enumerate(message.tool_calls)
    ]
    calls += [
        Call(
            name=broken.get("name") or "?",
            id=broken.get("id") or f"broken{n}",
            fault="its arguments are not a JSON object",
        )
        for n, broken in enumerate(message.invalid_tool_calls)
    ]
    return Called(text=str(message.text), calls=calls)


def calling(
    unable: Callable[[Rung], None],
) -> Generator[Attempt, Said | Exception, Climbed[Called]]:
    """The ladder of a model that may call tools: one rung. `unable` is told when it is refused."""
    came = yield Attempt("calls")
    if isinstance(came, UnsupportedError):
        unable("calls")
    if not isinstance(came, Said):
        raise came
    try:
        value = Called.model_validate_json(came.text)
    except ValidationError:  # cut at the length limit
        raise ModelOutputError(
            "the calls cannot be read",
            hint="Try again, or choose another model.",
            reply=came.text,
        ) from None
    return Climbed(value, came.text, ("calls: ok",))


def converse() -> Generator[Attempt, Said | Exception, Climbed[str]]:
    """The ladder of a plain text: ask, and once more if nothing came."""
    for _ in range(2):
        came = yield Attempt("text")
        if not isinstance(came, Said):
            raise came
        if came.text.strip():
            return Climbed(came.text.strip(), came.text, ("text: ok",))
    raise ModelOutputError("the reply is empty", hint="Try again, or choose another model.")
