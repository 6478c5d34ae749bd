"""What is around a model's words in a server's reply, made as its SDK expects it.

SDKs fall over a count that is a word, a content that is a number, a message that is missing. Such a
reply was paid for, and the words in it are as good as any.
"""

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

Json = dict[str, Any]

_SHOWN = 120
"""Characters of an answer that is no reply which an error shows."""


class UnwantedError(Exception):
    """A server does what no model server has to do; asked again it would do the same, unless
    `retryable`."""

    def __init__(self, text: str, hint: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.hint, self.retryable = hint, retryable


def mender(path: str) -> Callable[[Any], Json | None] | None:
    """What mends the replies to requests on that path."""
    return next((mend for end, mend in _WIRES.items() if path.endswith(end)), None)


def mended(path: str, content: bytes) -> bytes:
    """The reply to a request on that path, as its SDK expects it; the very bytes where it is so.
    Raises UnwantedError where there is none in it."""
    mend = mender(path)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):  # no JSON: the SDK says so
        return content
    if mend is None or (isinstance(body, dict) and body.get("error")):
        return content
    if (sound := mend(body)) is None:
        text = content.decode("utf-8", "replace")
        raise UnwantedError(
            f"it answered without a reply: {text[:_SHOWN]}{'...' * (len(text) > _SHOWN)}",
            "Check that the base URL belongs to a chat server, and try again.",
            retryable=True,
        )
    return content if sound == body else json.dumps(sound).encode()


def _openai(body: Any) -> Json | None:
    whole = _with(body, "choices")
    choices = whole.get("choices")
    found = [_choice(c) for c in choices if c] if isinstance(choices, list) else []
    return _kept(whole, _BODY) | {"choices": found} if found else None


def _choice(choice: Any) -> Json:
    """With a message, whose words may lie beside it, as those of the older completions do."""
    given: Json = choice if isinstance(choice, dict) else {"text": choice}
    message = given.get("message") or given.get("text")
    message = message if isinstance(message, dict) else {"content": message}
    kept = _kept(message, _MESSAGE) | {"role": "assistant"}
    if "content" in message:
        kept["content"] = _plain(_words(message["content"]))
    if isinstance(calls := message.get("tool_calls"), list):
        kept["tool_calls"] = [call for c in calls if (call := _call(c)) is not None]
    return _kept(given, _CHOICE) | {"message": kept}


def _words(content: Any) -> Any:
    """A content that can be read: text, None, or blocks. An object is a typed reply which the
    server has read already, if it holds no text."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        return [block for part in content if (block := _block(part)) is not None]
    text = content.get("text") if isinstance(content, dict) else None
    return text if isinstance(text, str) else json.dumps(content, ensure_ascii=False)


def _plain(content: Any) -> Any:
    """Blocks of nothing but text as text: OpenAI's SDK warns of blocks, with the words in it."""
    if not isinstance(content, list):
        return content
    blocks = [{"type": "text", "text": b} if isinstance(b, str) else b for b in content]
    texts = [b.get("text") for b in blocks if b.get("type") == "text"]
    return "".join(map(str, texts)) if len(texts) == len(blocks) else content


def _block(part: Any) -> Json | str | None:
    """A part of a content; None for what is none."""
    if not isinstance(part, dict):
        return part if isinstance(part, str) else None
    if part.get("type") in (None, "text", "output_text") and part.get("text") is not None:
        return part | {"type": "text", "text": str(part["text"])}
    return part if isinstance(part.get("type"), str) else None


def _call(call: Any) -> Json | None:
    """A call of a tool; None for what names none."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return call if isinstance(call, dict) and call.get("type") == "custom" else None
    given = function.get("arguments")
    text = given if isinstance(given, str) else json.dumps(given or {}, ensure_ascii=False)
    name = call.get("id")
    kept: Json = {"type": "function", **call, "function": function | {"arguments": text}}
    return kept if name is None or isinstance(name, str) else kept | {"id": str(name)}


def _anthropic(body: Any) -> Json | None:
    whole = _with(body, "content")
    content = _words(whole.get("content"))
    if content is None:
        return None
    blocks = [content] if isinstance(content, str) else content
    blocks = [{"type": "text", "text": b} if isinstance(b, str) else b for b in blocks]
    kept = _kept(whole, _BODY)
    counts = {"input_tokens": 0, "output_tokens": 0} | (kept.get("usage") or {})
    return {"id": "", "model": "", **kept, "content": blocks, "usage": counts,
            "type": "message", "role": "assistant"}  # fmt: skip


def _gemini(body: Any) -> Json | None:
    """One without candidates may say why: that is read where a refusal is."""
    return _kept(body, _BODY) if isinstance(body, dict) and body else None


def _with(body: Any, key: str) -> Json:
    """The object that has the key: the body, or the one in it."""
    inner = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    objects = (o for o in (body, *inner) if isinstance(o, dict))
    return next((o for o in objects if key in o), {})


def _kept(thing: Json, kinds: Mapping[str, type]) -> Json:
    """Without fields of another kind than theirs, and with counts that are numbers."""
    sound: Json = {
        k: v for k, v in thing.items() if v is None or isinstance(v, kinds.get(k, object))
    }
    return sound | {k: _counts(sound[k]) for k in _USAGE if sound.get(k)}


def _counts(usage: Json) -> Json:
    """The usage without counts that are none; what else stands in it is kept."""
    kept: Json = {}
    for key, value in usage.items():
        if isinstance(value, dict):
            kept[key] = _counts(value)
        elif key.lower().endswith(_COUNTED):
            kept |= {} if (count := _number(value)) is None else {key: count}
        elif isinstance(value, list) or not key.lower().endswith("details"):
            kept[key] = value
    return kept


def _number(value: Any) -> int | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if isfinite(number) else None


_WIRES: Mapping[str, Callable[[Any], Json | None]] = {
    "/chat/completions": _openai,
    "/v1/messages": _anthropic,
    ":generateContent": _gemini,
}
_USAGE = ("usage", "usageMetadata")
_COUNTED = ("_tokens", "tokencount")
"""How the names of counts end."""
_BODY = {"usage": dict, "usageMetadata": dict, "id": str, "model": str, "created": int,
         "system_fingerprint": str, "service_tier": str, "object": str, "stop_reason": str,
         "stop_sequence": str, "modelVersion": str, "responseId": str}  # fmt: skip
_CHOICE = {"finish_reason": str, "logprobs": dict}
_MESSAGE = {"refusal": str, "audio": dict, "annotations": list, "function_call": dict,
            "tool_calls": list}  # fmt: skip
