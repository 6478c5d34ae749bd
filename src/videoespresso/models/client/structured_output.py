"""Typed replies: native JSON schema, then a tool call, then a prompt with repair and one retry.

Each function here is given `ask`, which makes one attempt at the model (retry.Sender.attempt), and
goes on asking until a reply can be read.

The schemas have an end (`bounded`). Without limits a list, a string or a number can go on until the
reply is cut, and then nothing of it can be read. `bounded` gives every part a limit, for models in
this process; a role names tighter ones, which follow from what was shown: the numbers of the
frames, the letters of the options. A server gets the limits of lists only (`sent`): OpenAI's strict
mode, vLLM, llama.cpp, Ollama and Gemini hold a model to `maxItems`; Anthropic's SDK writes it into
the description. What else stands in a schema would cost more forms of requests than it saves:
strict mode refuses an enum of mixed types, and fine-tuned models of OpenAI refuse all limits (then
the next form is asked, and that is remembered). A list that is longer nevertheless is cut
(`shortened`). No limit is part of a reply's key: the same reply is worth the same, and what is
cached stays paid.
"""

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from videoespresso.errors import ModelOutputError
from videoespresso.models.client.errors import RefusedError, UnsupportedError
from videoespresso.models.client.messages import Called, ModelReply
from videoespresso.models.client.reading import read, spoken

Method = Literal["json_schema", "tool", "prompt", "text", "calls"]
"""How a request is put to a model; "calls" offers it tools. Stored in `how` and as inabilities."""
METHODS: tuple[Method, ...] = ("json_schema", "tool", "prompt")
"""Those of a typed reply, best first."""

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V")

_SCHEMAS = 64
"""JSON schemas remembered: pydantic takes a millisecond for each."""


@dataclass(frozen=True)
class Attempt:
    """What to ask next. again: the refused reply and what was wrong with it, on a retry."""

    method: Method
    again: tuple[str, str] | None = None


@dataclass(frozen=True)
class Parsed(Generic[V]):
    """A value, the text it was read from, and what was tried."""

    value: V
    raw: str
    how: tuple[str, ...]


Ask = Callable[[Attempt], ModelReply | UnsupportedError]
"""One attempt: the reply, or that the server does not take a request of this form."""
Unable = Callable[[Method], None]
"""Called with a method that is not worth paying for again."""


def structured_output(
    schema: type[T], methods: Sequence[Method], ask: Ask, unable: Unable
) -> Parsed[T]:
    """The value from the first of the methods that yields a valid one.

    Not worth paying for again are those the server refused, once it answered a later one (a
    request refused in every form says nothing about forms), and those answered with what their own
    enforcement should have made impossible, once a later one worked. Empty replies and replies cut
    at their limit say nothing either. Raises ModelOutputError when the last reply is no use, or one
    reached its limit and says nothing, or two did with nothing whole; UnsupportedError when all
    were refused.
    """
    how: list[str] = []
    refused: list[Method] = []
    ignored: list[Method] = []
    again: tuple[str, str] | None = None
    cut = False
    for method in (*methods, *methods[-1:]):  # the last one twice: again with what was wrong
        reply = ask(Attempt(method, again))
        if isinstance(reply, UnsupportedError):
            how.append(f"{method}: refused")
            if method == methods[-1]:
                raise reply
            refused.append(method)
            continue
        _refused(reply)
        _report(unable, refused)
        value, note = read(schema, reply.text, cut=reply.cut)
        how.append(f"{method}: {note if value is None else 'ok' + (note and f' ({note})')}")
        if value is not None:
            _report(unable, ignored)
            return Parsed(value, reply.text, tuple(how))
        _silent(reply, cut_before=cut)
        cut = cut or (reply.cut and "{" in reply.text)  # prose may not have been asked for JSON
        if method == methods[-1]:
            again = (reply.text, note)
        elif reply.text.strip() and not reply.cut:
            ignored.append(method)
    raise ModelOutputError(
        f"the reply is not a valid {schema.__name__} ({'; '.join(how)})",
        hint="Ask again, or choose a model that follows instructions better.",
        reply=again[0] if again else "",
    )


def _refused(reply: ModelReply) -> None:
    if reply.refusal:
        raise RefusedError(
            f"the model refused to answer: {reply.refusal}",
            hint="Ask otherwise, leave the frame out, or choose another model.",
        )


def _silent(reply: ModelReply, *, cut_before: bool = False) -> None:
    """Ends a request whose reply reached its limit with nothing to read: asked again, in whatever
    form, the model would think as long; or one that reached it in a second form, too."""
    if reply.cut and not spoken(reply.text, ended=False).strip():
        raise ModelOutputError(
            "the reply reached its length limit before it said anything",
            hint="Turn the model's thinking off (openai: and google_genai: take ?effort=low behind "
            "the model's name), or choose one that thinks less.",
            reply=reply.text,
        )
    if reply.cut and cut_before:
        raise ModelOutputError(
            "two replies reached their length limit before anything in them was whole",
            hint="Ask for less, or choose a model that writes less.",
            reply=reply.text,
        )


def _report(unable: Unable, methods: list[Method]) -> None:
    while methods:
        unable(methods.pop())


def plain_text(ask: Ask) -> Parsed[str]:
    """The model's words; asked once more if nothing came."""
    for _ in range(2):
        reply = ask(Attempt("text"))
        if isinstance(reply, UnsupportedError):
            raise reply
        _refused(reply)
        if reply.text.strip():
            return Parsed(reply.text.strip(), reply.text, ("text: ok",))
        _silent(reply)
    raise ModelOutputError("the reply is empty", hint="Try again, or choose another model.")


def tool_calls(ask: Ask, unable: Unable) -> Parsed[Called]:
    """The calls a model wants made. Raises UnsupportedError when its server takes no tools."""
    reply = ask(Attempt("calls"))
    if isinstance(reply, UnsupportedError):
        unable("calls")
        raise reply
    _refused(reply)
    try:
        value = Called.model_validate_json(reply.text)
    except ValidationError:  # cut at the length limit
        raise ModelOutputError(
            "the calls cannot be read",
            hint="Try again, or choose another model.",
            reply=reply.text,
        ) from None
    return Parsed(value, reply.text, ("calls: ok",))


def instructions(schema: type[BaseModel]) -> str:
    """What the method "prompt" adds to the system message."""
    text = json.dumps(json_schema(schema), ensure_ascii=False, separators=(",", ":"))
    return (
        "\n\nReply with one JSON object and nothing else: no prose, no code fence. "
        f"It must fit this JSON Schema:\n{text}"
    )


def complaint(fault: str) -> str:
    """The user turn that asks for a second try with the method "prompt"."""
    return f"That reply cannot be used: {fault}. Reply again with only the JSON object."


@lru_cache(_SCHEMAS)
def json_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The schema as pydantic writes it; not to be changed."""
    return schema.model_json_schema()


def strict_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema as OpenAI's strict mode wants it: all fields required, no others, no
    defaults. Not to be sent as it is: `bounds.sent` gives its lists an end."""
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


Bounds = Mapping[str, Mapping[str, Any]]
""""Class.field" -> JSON schema keywords that replace those of that field."""

MOST_LETTERS = 400
"""In a string: the longest sentences seen from the models tried are half of that."""
MOST_ITEMS = 16
"""In a list: as many as the frames that one question is answered from at most."""
MOST_NUMBER = 999_999
_LETTER_BYTES = 4
_NUMBER_BYTES = 16


def numbers(first: int, last: int) -> dict[str, Any]:
    """The whole numbers from first to last, each by itself; first alone where last is less."""
    return {"enum": list(range(first, max(first, last) + 1))}


def one_of(values: Iterable[str | None]) -> dict[str, Any]:
    """One of these words, or null for None."""
    return {"enum": list(values)}


def bounded(schema: type[BaseModel], bounds: Bounds | None = None) -> dict[str, Any]:
    """The JSON schema of a reply: all fields in order, no others, every part limited.

    Raises KeyError for a bound of a field that there is not.
    """
    whole = strict_schema(schema)
    defined: dict[str, Any] = whole.get("$defs", {})
    kinds = {schema.__name__: whole, **defined}
    for name, keywords in (bounds or {}).items():
        kind, _, field = name.partition(".")
        fields = kinds[kind]["properties"]
        old = fields[field]
        fields[field] = dict(keywords) if "enum" in keywords else {**old, **keywords}
    _limit(whole)
    return whole


def sent(schema: type[BaseModel], bounds: Bounds | None = None) -> dict[str, Any]:
    """The JSON schema for a server: as `strict_schema`, every list with its `maxItems`."""
    whole = strict_schema(schema)
    for name, kind in {**whole.get("$defs", {}), schema.__name__: whole}.items():
        for field, node in kind.get("properties", {}).items():
            if node.get("type") == "array":
                node.setdefault("maxItems", _most(name, field, bounds))
    return whole


def shortened(value: T, bounds: Bounds | None = None) -> T:
    """The value, each list of it no longer than allowed: the first items are kept."""
    changed: dict[str, Any] = {}
    for field in type(value).model_fields:
        part = getattr(value, field)
        if isinstance(part, BaseModel):
            kept: Any = shortened(part, bounds)
        elif isinstance(part, list):
            most = _most(type(value).__name__, field, bounds)
            kept = [shortened(p, bounds) if isinstance(p, BaseModel) else p for p in part[:most]]
        else:
            continue
        if kept != part:
            changed[field] = kept
    return value.model_copy(update=changed) if changed else value


def _most(name: str, field: str, bounds: Bounds | None) -> int:
    """Items that a list may have at most."""
    return int((bounds or {}).get(f"{name}.{field}", {}).get("maxItems", MOST_ITEMS))


def _limit(node: Any) -> None:
    """Adds the general limits, in place."""
    if isinstance(node, list):
        for child in node:
            _limit(child)
        return
    if not isinstance(node, dict):
        return
    for key in ("uniqueItems", "contains", "format", "title", "description", "examples"):
        node.pop(key, None)
    kind = node.get("type")
    if kind == "string" and "enum" not in node and "const" not in node and "pattern" not in node:
        node.setdefault("maxLength", MOST_LETTERS)
    elif kind == "array":
        node.setdefault("maxItems", MOST_ITEMS)
    elif kind == "integer" and "enum" not in node:
        if "exclusiveMinimum" not in node:
            node.setdefault("minimum", -MOST_NUMBER)
        if "exclusiveMaximum" not in node:
            node.setdefault("maximum", MOST_NUMBER)
    for key, child in node.items():
        if key in ("properties", "$defs"):
            _limit(list(child.values()))
        elif key not in ("enum", "const", "required"):
            _limit(child)


def most_rest(schema: Mapping[str, Any]) -> int:
    """Bytes, hence tokens at most, that a reply still takes when nothing new is begun in it: every
    key, closed strings, the fewest items and one that is under way."""
    return _rest(schema, schema.get("$defs", {}), 0)


def _rest(node: Mapping[str, Any], defined: Mapping[str, Any], depth: int) -> int:
    if depth > 16:  # a schema that holds itself
        return _NUMBER_BYTES
    if "$ref" in node:
        return _rest(defined[str(node["$ref"]).rpartition("/")[2]], defined, depth + 1)
    if "enum" in node or "const" in node:
        values = node.get("enum", [node.get("const")])
        return max(len(str(value).encode()) for value in values) + 3
    if "anyOf" in node:
        return max(_rest(choice, defined, depth + 1) for choice in node["anyOf"])
    if node.get("type") == "object":
        fields = node.get("properties", {}).items()
        return 2 + sum(len(k.encode()) + 4 + _rest(v, defined, depth + 1) for k, v in fields)
    if node.get("type") == "array":
        item = _rest(node.get("items", {}), defined, depth + 1) + 1
        return 2 + item * max(1, int(node.get("minItems", 0)))
    if node.get("type") == "string":
        return 2 + _LETTER_BYTES * (1 + int(node.get("minLength", 0)))
    return _NUMBER_BYTES
