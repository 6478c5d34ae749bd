"""Reading a reply, with good will, in one order for every role:

1. thoughts and a chat template's markers are taken out (`spoken`), unless it is JSON with them;
2. what is left is read as JSON as it stands;
3. else its code fences are, from the last to the first: a draft comes before its correction, and is
   no reply where the correction was cut;
4. else the JSON in it is mended; of a reply cut at its length limit the whole items are kept.

What was read is fitted to the schema (`_fitted`) where it does not fit as it is. A reply that still
cannot be used is the next method's turn (structured_output.py).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

T = TypeVar("T", bound=BaseModel)

_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_THOUGHT = r"(?:seed:)?(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad)"
_THOUGHT_ENDS = re.compile(
    rf"</{_THOUGHT}\s*>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|inner_suffix\|>|<unused95>"
    r"|<\|end_of_thought\|>",
    re.IGNORECASE,
)
_THOUGHT_BEGINS = re.compile(
    rf"<{_THOUGHT}\s*>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|inner_prefix\|>|<unused94>"
    r"|<\|begin_of_thought\|>",
    re.IGNORECASE,
)
"""Of DeepSeek, Qwen, GLM and most others; Seed; Magistral; Kimi; Cohere; Apertus; MedGemma; Sky."""
_BARE = re.compile(
    r"\s*(?:\**Here(?:['’]s| is) my (?:thought|thinking) process\**:"
    r"(?:.*?Here(?:['’]s| is) my response|.*\b[Mm]y response)\**:\**"
    r"|(?:assistant)?analysis(?:.*assistantfinal(?:\s*json(?=\s*[{\[]))?"
    r"|(?=(?:We|The user|User|I|Let|Need)[ ,'’]).*)"
    r"|final(?:(?:\s*json)?(?=\s*(?:\{\s*[\"']|\[\s*[{\"']))|(?=[A-Z][a-z]*[ ,'’])))\s*",
    re.DOTALL,
)
"""How a reply begins whose thoughts have no marks: Granite's words, and the channels of harmony
from a server that drops their tokens. Only at the beginning: further on they are words, and so is
`analysisPage.tsx`, `finalScore: 12` or a thought process that no response follows."""
_BARE_SO_FAR = re.compile(
    r"\s*(?:\**Here(?:['’]s| is) my (?:thought|thinking) process\**:"
    r"|(?:assistant)?analysis(?=[A-Z])).*",
    re.DOTALL,
)
"""The same of a reply that is not at its own end, and may still come to what it says."""
_QUOTED = re.compile(rf"\w,? [\"'“`]?<(?i:{_THOUGHT})>[^<\n]{{0,40}}</(?i:{_THOUGHT})>\W? [a-z]")
"""A pair in the middle of a sentence, as on a slide that says <think> and </think> in red."""
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+).*?<\|message\|>", re.DOTALL)
_TURN_ENDS = re.compile(
    r"<\|(?:im_end|end|return|eot_id|eom_id|end_of_text|endoftext|END_OF_TURN_TOKEN)\|>"
    r"|<｜end▁of▁sentence｜>|<end_of_turn>|<eos>"
)
"""Behind it a model speaks on as somebody else. Not `</s>`: words may hold it as HTML."""
_MARKER = re.compile(
    r"(?:<\|(?:im_start|start|start_header_id)\|>|<start_of_turn>)\s*(?:assistant|model|user|system)?|"
    r"<\|[A-Za-z_]+\|>|<｜[A-Za-z▁_]+｜>|</?(?:tool_call|answer|response)>|</s>|<bos>"
    r"|\[/?(?:TOOL_CALLS|INST)\]|^\ufeff"
)
_KEY = re.compile(r"""["']?(\w+)["']?\s*:\s*$""")
_LONGEST_KEY = 80
"""Characters before a list among which its field's name is sought."""
_IN_STRING = re.compile(r"""([{[](?:[\s{[]|\\n)*\\"(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)""")
_NUMBER = re.compile(r"[^\d-]*(-?\d{1,18})\D*")
"""No more digits than 64 bits have: Python may refuse to read them, and nothing is numbered so."""
_FAULTS_SHOWN = 5
_CUT = "cut: "
"""Begins the note on a reply of which whole items were kept."""
_WRAPPERS = 6
"""Objects with one key, and lists of one object, that are opened, one in the other."""
_DEEPEST = 200
"""Brackets in one another; the deepest schema here has 5. More is a model that repeats itself."""


def spoken(text: str, *, ended: bool = True) -> str:
    """What a reply says: without thoughts (before the last closing mark, or after an opening one
    that is never closed or has nothing behind it), without channels other than the final one,
    without template markers, up to the end of the first turn that says something.

    A reply that is an unfinished thought says nothing: "". One without any mark is left as it is,
    and one that is JSON with them: what is in its strings are words, of a sign perhaps.
    ended: by itself; else it was cut, or is still being written.
    """
    if bare := _BARE.match(text) or (None if ended else _BARE_SO_FAR.match(text)):
        text = text[bare.end() :]
    if not any(sign in text for sign in ("<", "[/", "[T", "◁", "\ufeff")):
        return text
    if isinstance(_json(text), dict | list):
        return text
    channels = list(_CHANNEL.finditer(text))
    if channels:
        final = [c for c in channels if c[1] == "final"]
        text = text[final[-1].end() :] if final else text[: channels[0].start()]
    ends = list(_THOUGHT_ENDS.finditer(text))
    if len(ends) == len(_THOUGHT_BEGINS.findall(text)) == 1 and _QUOTED.search(text):
        return _first_turn(text, quoted=True)
    said = _first_turn(text[ends[-1].end() :] if ends else text)
    return said or (_first_turn(text) if _THOUGHT_BEGINS.search(text) else "")


def _first_turn(text: str, *, quoted: bool = False) -> str:
    """The first turn that says something, of what is before an opening mark; else "".
    quoted: such marks are words."""
    if not quoted and (begins := _THOUGHT_BEGINS.search(text)):
        text = text[: begins.start()]
    turns = (_MARKER.sub("", turn) for turn in _TURN_ENDS.split(text))
    return next((turn for turn in turns if turn.strip()), "")


def read(schema: type[T], reply: str, *, cut: bool = False) -> tuple[T | None, str]:
    """(value, note) or (None, what is wrong). The note says how far the reply had to be mended.
    cut: it hit its length limit."""
    text = spoken(reply, ended=not cut)
    if not text.strip():
        return None, "the reply is empty"
    fault = ""
    for candidate in _objects(text, cut=cut):
        value, why = _fitted(schema, candidate)
        if value is not None:
            return value, ""
        fault = fault or why
    if cut:  # mending it would pass off the half that came as the whole
        value, kept = _whole_items(schema, text)
        return value, kept if value is not None else "the reply was cut at the length limit"
    if fault:
        return None, fault
    mended = _mend(text)
    if mended is None:
        return None, "not JSON"
    value, fault = _fitted(schema, mended)
    return value, fault if value is None else "repaired"


def _objects(text: str, *, cut: bool) -> Iterator[Any]:
    """The JSON of the text as it stands, else that of its fences, the last first; of a cut reply
    only if nothing was begun behind them."""
    *_, last = text.rpartition("```")
    begun = cut and (text.count("```") % 2 == 1 or "{" in last or "[" in last)
    for part in (text, *(() if begun else reversed(_FENCE.findall(text)))):
        value = _json(part)
        if isinstance(value, str):  # JSON that was written as a string
            value = _json(value)
        if isinstance(value, dict | list):
            yield value


def _json(text: str) -> Any:
    if _too_deep(text):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _mend(text: str) -> dict[str, Any] | list[Any] | None:
    """The object in a reply with prose around it, single quotes, a missing end and the like."""
    import json_repair  # noqa: PLC0415 - only broken replies need it

    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    if start < 0 or _too_deep(text):
        return None
    mended = json_repair.loads(text[start:])
    return mended if isinstance(mended, dict | list) and mended else None


def _too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False
    deep = deepest = 0
    for char in text:
        if char in "[{":
            deep += 1
            deepest = max(deepest, deep)
        elif char in "]}":
            deep -= 1
    return deepest > _DEEPEST


def _whole_items(schema: type[T], text: str) -> tuple[T | None, str]:
    """Of a cut reply in which a list was being written: the list's items that came whole, whatever
    is around it: a wrapper, a call, words, the quotes of a string."""
    names = _lists(schema)
    for part in (text, _unquoted(text)):
        kept, whole = _last_list(part, names)
        if whole:
            value, _ = _fitted(schema, _json(kept) or _mend(kept))
            return value, f"{_CUT}{whole} whole items kept"
    return None, ""


def _last_list(text: str, names: Sequence[str]) -> tuple[str, int]:
    """(the object with the last list of such a name, or a list without it, closed behind its last
    whole item; how many those are)."""
    kept, whole, begins, depth = "", 0, -1, 0  # begins: the object; depth: of brackets in the list
    ended = False  # the item, by a mark of its own: a number ends at its comma
    for at, stack in _marks(text):
        if text[at] == "[":
            key = _KEY.search(text, max(0, at - _LONGEST_KEY), at)
            named = len(stack) > 1 and key is not None and key[1] in names
            if named or (len(names) == 1 and not depth and begins not in stack):
                start, depth = stack[-2] if named else at, len(stack)
                if start != begins:
                    kept, whole, begins = "", 0, start
        elif depth and len(stack) == depth and text[at] != "{":
            comma = text[at] == ","
            if not (comma and ended):
                whole += 1
                kept = text[begins : at + (not comma)] + ("]" if stack[-1] == begins else "]}")
            ended = not comma
        elif len(stack) < depth:
            depth = 0
    return kept, whole


def _marks(text: str) -> Iterator[tuple[int, list[int]]]:
    """Where each bracket, each comma in no string and each end of a string stands, and the brackets
    that are open behind it."""
    stack, quote, escaped = list[int](), "", False
    for at, char in enumerate(text):
        if quote:
            if char == quote and not escaped:
                quote = ""
                yield at, stack
            escaped = char == "\\" and not escaped
        elif char in "{[":
            stack.append(at)
            yield at, stack
        elif stack and char in "}]":
            stack.pop()
            yield at, stack
        elif stack and char in "\"'":
            quote = char
        elif stack and char == ",":
            yield at, stack


def _unquoted(text: str) -> str:
    """The JSON that is written as a string in it, as far as that came; "" if none is."""
    match = _IN_STRING.search(text)
    return json.loads(f'"{match[1]}"', strict=False) if match else ""


def was_cut(how: Iterable[str]) -> bool:
    """Whether a reply whose methods are these was read as one cut at its limit: read anew, it must
    not be mended into more than it was."""
    return any(_CUT in method for method in how)


# ---- fitting to a schema


def _fitted(schema: type[T], value: Any) -> tuple[T | None, str]:
    """(the value, "") or (None, what does not fit), of JSON as it is, else read with good will.

    An object around the object is opened; a list stands for the field that holds the list; null is
    the default; "Frame 2" is 2; a name stands for an object that needs only a name. An object with
    none of the schema's fields is no reply, even where all of them have defaults.
    """
    value = _sound(value)
    opened = _cased(schema, _opened(schema, value))
    if isinstance(opened, dict) and not opened.keys() & schema.model_fields.keys():
        return None, f"it has none of the fields {', '.join(schema.model_fields)}"
    try:
        return schema.model_validate_json(json.dumps(opened)), ""
    except ValidationError as error:
        fault = faults(error)
    try:
        return schema.model_validate_json(json.dumps(_willing(schema, opened))), ""
    except ValidationError:
        return None, fault


def _sound(value: Any) -> Any:
    """Without halves of characters, which no file takes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_sound(part) for part in value]
    if isinstance(value, dict):
        return {_sound(key): _sound(part) for key, part in value.items()}
    return value


def _opened(schema: type[BaseModel], value: Any) -> Any:
    """What lies in objects of one key, in lists of one object, in a call written as text (whose
    arguments may be a string), or in a bare list."""
    layers = list(_layers(value))
    for layer in layers:
        if isinstance(layer, dict) and _cased(schema, layer).keys() & schema.model_fields.keys():
            return layer
    whole = next((layer for layer in layers if layer and isinstance(layer, list)), None)
    lists = _lists(schema)
    return {lists[0]: whole} if whole and len(lists) == 1 else value


def _cased(schema: type[BaseModel], value: Any) -> Any:
    """An object whose keys are the fields' in other letters ("Answered"), with the fields' own."""
    if not isinstance(value, dict):
        return value
    names = {name.casefold(): name for name in schema.model_fields}
    own = [names.get(key.strip().casefold(), key) for key in value]
    return value if len({*own}) < len(own) else dict(zip(own, value.values(), strict=True))


def _lists(schema: type[BaseModel]) -> list[str]:
    """The names of the fields that are lists."""
    return [name for name, field in schema.model_fields.items() if _item(field.annotation)]


def _layers(value: Any) -> Iterator[Any]:
    """What was found, and what is in it, one in the other."""
    for _ in range(_WRAPPERS):
        yield value
        inner = value.values() if isinstance(value, dict) else value
        if not isinstance(inner, Iterable) or isinstance(inner, str):
            return
        parts = [_json(part) if isinstance(part, str) else part for part in inner]
        parts = [part for part in parts if isinstance(part, dict | list)]
        if len(parts) != 1:
            return
        value = parts[0]


def _willing(schema: type[BaseModel], value: Any) -> Any:
    """The object with each of its fields read with good will."""
    if not isinstance(value, dict):
        return _named(schema, value)
    fields: Mapping[str, FieldInfo] = schema.model_fields
    value = _cased(schema, value)
    return {
        key: _value(fields[key].annotation, part) if key in fields else part
        for key, part in value.items()
        if not (part is None and key in fields and not fields[key].is_required())
    }


def _value(kind: Any, value: Any) -> Any:
    """A field's value, as its type would have it."""
    if item := _item(kind):
        alone = isinstance(value, dict) or (item is str and isinstance(value, str))
        parts = [value] if alone else value
        if not isinstance(parts, list):
            return [] if value is None else value
        return [_value(item, part) for part in parts if part is not None]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _willing(kind, value)
    if kind is int and isinstance(value, str) and (number := _NUMBER.fullmatch(value)):
        return int(number[1])
    return value


def _named(schema: type[BaseModel], value: Any) -> Any:
    """A bare value as the object's only required field."""
    needed = [name for name, field in schema.model_fields.items() if field.is_required()]
    if len(needed) != 1 or not isinstance(value, str | int | float):
        return value
    return {needed[0]: _value(schema.model_fields[needed[0]].annotation, value)}


def _item(kind: Any) -> Any:
    """The type of a list's items; None for what is no list."""
    if get_origin(kind) in (Union, UnionType):
        rest = [part for part in get_args(kind) if part is not NoneType]
        return _item(rest[0]) if len(rest) == 1 else None
    return (get_args(kind) or (Any,))[0] if get_origin(kind) is list else None


def faults(error: ValidationError) -> str:
    """What does not fit, short enough to send back; input values are left out."""
    errors = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'reply'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    ]
    more = f" and {len(errors) - _FAULTS_SHOWN} more" if len(errors) > _FAULTS_SHOWN else ""
    return "; ".join(errors[:_FAULTS_SHOWN]) + more
