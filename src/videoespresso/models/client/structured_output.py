"""The structured-output ladder: native JSON schema, tool call, then prompt + repair + one retry.

Written as a generator that asks for attempts and is sent what came of them, so that the sync and
the async driver in base.py climb the same ladder and tests climb it without a model.
"""

import copy
import json
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from videoespresso.errors import ModelOutputError
from videoespresso.models.client.errors import UnsupportedError

Rung = Literal["json_schema", "tool", "prompt", "text", "calls"]
LADDER: tuple[Rung, ...] = ("json_schema", "tool", "prompt")

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V")

_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)
_FAULTS_SHOWN = 5
_SCHEMAS = 64
"""JSON schemas remembered: pydantic takes a millisecond for each."""


@dataclass(frozen=True)
class Attempt:
    """What to ask next. again: the refused reply and what was wrong with it, on a retry."""

    rung: Rung
    again: tuple[str, str] | None = None


@dataclass(frozen=True)
class Said:
    """What a model answered. cut: it hit its length limit. Tokens are 0 when not reported.

    snapshot: which model the server says it was, with its fingerprint; "" when it says nothing.
    """

    text: str
    cut: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    snapshot: str = ""


@dataclass(frozen=True)
class Climbed(Generic[V]):
    """A value, the text it was read from, and what was tried."""

    value: V
    raw: str
    how: tuple[str, ...]


def climb(
    schema: type[T], rungs: Sequence[Rung], unable: Callable[[Rung], None]
) -> Generator[Attempt, Said | UnsupportedError, Climbed[T]]:
    """Climbs down from the first rung to the one that yields a valid value.

    `unable` is told of rungs not worth paying for again: those the server refused, once it
    answered a lower one (a request refused on every rung says nothing about rungs), and those
    answered with what their own enforcement should have made impossible, once a lower one
    worked. Empty replies and replies cut at their limit say nothing either. Raises
    ModelOutputError when the last reply is no use, UnsupportedError when all were refused.
    """
    how: list[str] = []
    refused: list[Rung] = []
    ignored: list[Rung] = []
    again: tuple[str, str] | None = None
    for rung in (*rungs, *rungs[-1:]):  # the last one twice: the second try says what was wrong
        said = yield Attempt(rung, again)
        if isinstance(said, UnsupportedError):
            how.append(f"{rung}: refused")
            if rung == rungs[-1]:
                raise said
            refused.append(rung)
            continue
        _tell(unable, refused)
        value, note = read(schema, said)
        how.append(f"{rung}: {note if value is None else 'ok' + (note and f' ({note})')}")
        if value is not None:
            _tell(unable, ignored)
            return Climbed(value, said.text, tuple(how))
        if rung == rungs[-1]:
            again = (said.text, note)
        elif said.text.strip() and not said.cut:
            ignored.append(rung)
    raise ModelOutputError(
        f"the reply is not a valid {schema.__name__} ({'; '.join(how)})",
        hint="Ask again, or choose a model that follows instructions better.",
        reply=again[0] if again else "",
    )


def _tell(unable: Callable[[Rung], None], rungs: list[Rung]) -> None:
    while rungs:
        unable(rungs.pop())


def read(schema: type[T], said: Said) -> tuple[T | None, str]:
    """(value, note) or (None, what is wrong). The note is "repaired" when the JSON was mended."""
    text = said.text.strip()
    if not text:
        return None, "the reply is empty"
    text = _THINKING.sub("", text).strip()
    if fenced := _FENCE.search(text):
        text = fenced[1]
    try:
        return schema.model_validate_json(text), ""
    except ValidationError as error:
        if not any(fault["type"] == "json_invalid" for fault in error.errors()):
            return None, _faults(error)
    if said.cut:  # mending it would pass off the half that came as the whole
        return None, "the reply was cut at the length limit"
    mended = _mend(text)
    if mended is None:
        return None, "not JSON"
    try:
        return schema.model_validate_json(json.dumps(mended)), "repaired"
    except ValidationError as error:
        return None, _faults(error)


def _mend(text: str) -> dict[str, Any] | list[Any] | None:
    """The object in a reply with prose around it, single quotes, a missing end and the like."""
    import json_repair  # noqa: PLC0415 - only broken replies need it

    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    if start < 0:
        return None
    found = json_repair.loads(text[start:])
    return found if isinstance(found, dict | list) and found else None


def _faults(error: ValidationError) -> str:
    """What does not fit, short enough to send back; input values are left out."""
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'reply'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    ]
    more = f" and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
    return "; ".join(faults[:_FAULTS_SHOWN]) + more


def instructions(schema: type[BaseModel]) -> str:
    """What the prompt rung adds to the system message."""
    text = json.dumps(json_schema(schema), ensure_ascii=False, separators=(",", ":"))
    return (
        "\n\nReply with one JSON object and nothing else: no prose, no code fence. "
        f"It must fit this JSON Schema:\n{text}"
    )


def complaint(fault: str) -> str:
    """The user turn that asks for a second try on the prompt rung."""
    return f"That reply cannot be used: {fault}. Reply again with only the JSON object."


@lru_cache(_SCHEMAS)
def json_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The schema as pydantic writes it; not to be changed."""
    return schema.model_json_schema()


def strict_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema as OpenAI's strict mode wants it: all fields required, no others, no
    defaults."""
    return copy.deepcopy(_strict(schema))


@lru_cache(_SCHEMAS)
def _strict(schema: type[BaseModel]) -> dict[str, Any]:
    plain = copy.deepcopy(json_schema(schema))
    _tighten(plain)
    plain.setdefault("title", schema.__name__)
    return plain


def _tighten(node: object) -> None:
    if isinstance(node, list):
        for child in node:
            _tighten(child)
    if not isinstance(node, dict):
        return
    node.pop("default", None)
    if "prefixItems" in node:  # strict mode has no tuples: an array of that length, of any of them
        kinds: list[object] = []
        for kind in node.pop("prefixItems"):
            kinds += [] if kind in kinds else [kind]
        node["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if isinstance(node.get("properties"), dict):
        node["required"] = list(node["properties"])
        node["additionalProperties"] = False
    for key, child in node.items():
        if key in ("properties", "$defs"):  # keyed by names, not by keywords
            _tighten(list(child.values()))
        elif key not in ("enum", "const", "required"):
            _tighten(child)
