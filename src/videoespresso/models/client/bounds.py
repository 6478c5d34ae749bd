"""Reply schemas with an end: what a model may write at most.

Without limits a list, a string or a number can go on until the reply is cut, and then nothing of it
can be read. `bounded` gives every part a limit, for models in this process; a role names tighter
ones, which follow from what was shown: the numbers of the frames, the letters of the options.

A server gets the limits of lists only (`sent`): OpenAI's strict mode, vLLM, llama.cpp, Ollama and
Gemini hold a model to `maxItems`; Anthropic's SDK writes it into the description. What else stands
in a schema would cost more forms of requests than it saves: strict mode refuses an enum of mixed
types, and fine-tuned models of OpenAI refuse all limits (then the next form is asked, and that is
remembered). A list that is longer nevertheless is cut (`shortened`). No limit is part of a reply's
key: the same reply is worth the same, and what is cached stays paid.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from videoespresso.models.client.structured_output import strict_schema

T = TypeVar("T", bound=BaseModel)

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
