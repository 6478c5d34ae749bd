"""The providers' own wires beside OpenAI's: how each brings a model's words, words with a thought
of its own beside them, and a call of the tool that was offered."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.helpers import chat_server as fake
from tests.helpers.dialects import THOUGHT, TOOL, Reply, wording
from tests.helpers.dialects import spoken as spoken_openai

Json = dict[str, Any]


class Wire(NamedTuple):
    """words: as a whole answer. beside: with a thought in the wire's own place for it. called: as a
    call of the tool with that name."""

    words: Callable[[str], Json]
    beside: Callable[[str], Json]
    called: Callable[[str, Json], Json]


def _claude(*blocks: Json, why: str = "end_turn") -> Json:
    usage = {"input_tokens": 100, "output_tokens": 7}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": list(blocks), "stop_reason": why, "stop_sequence": None,
            "usage": usage}  # fmt: skip


def _gemini(*parts: Json) -> Json:
    content = {"role": "model", "parts": list(parts)}
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 7, "totalTokenCount": 107}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
    }


def _ollama(**message: Any) -> Json:
    return {"model": "m", "created_at": "2025-01-01T00:00:00Z", "done": True,
            "message": {"role": "assistant", "content": "", **message}, "done_reason": "stop",
            "prompt_eval_count": 100, "eval_count": 7}  # fmt: skip


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


WIRES: dict[str, Wire] = {
    "anthropic": Wire(
        lambda t: _claude(_text(t)),
        lambda t: _claude({"type": "thinking", "thinking": THOUGHT, "signature": "s"}, _text(t)),
        lambda name, given: _claude(
            {"type": "tool_use", "id": "toolu_1", "name": name, "input": given}, why="tool_use"
        ),
    ),
    "gemini": Wire(
        lambda t: _gemini({"text": t}),
        lambda t: _gemini({"text": THOUGHT, "thought": True}, {"text": t}),
        lambda name, given: _gemini({"functionCall": {"name": name, "args": given}}),
    ),
    "ollama": Wire(
        lambda t: _ollama(content=t),
        lambda t: _ollama(content=t, thinking=THOUGHT),
        lambda name, given: _ollama(tool_calls=[{"function": {"name": name, "arguments": given}}]),
    ),
}
BESIDE, CALL = "reasoning beside it", "tool call"


def spoken(wire: str, dialect: str, good: Reply) -> fake.Behaviour | None:
    """A server of that provider that gives the good reply in a dialect; None where it has no such
    form. "openai" has all of them."""
    if wire == "openai":
        return spoken_openai(dialect, good)
    text = good if isinstance(good, str) else json.dumps(good)
    if dialect == BESIDE:
        return _sends(WIRES[wire].beside(text))
    if dialect == CALL:
        return _calls(WIRES[wire], good)
    said = wording(dialect, good)
    return None if said is None else _sends(WIRES[wire].words(said))


def _sends(reply: Json) -> fake.Behaviour:
    return lambda exchange: exchange.send(200, json.dumps(reply).encode() + b"\n")


def _calls(wire: Wire, good: Reply) -> fake.Behaviour | None:
    """Where a tool was offered, and it is not one that a role's call is about."""
    if isinstance(good, str):
        return None

    def behave(exchange: fake.Exchange) -> None:
        name = _offered(exchange.body)
        _sends(wire.called(name, good) if name else wire.words(json.dumps(good)))(exchange)

    return behave


def _offered(body: Json) -> str:
    """The name of the first tool: each wire has its own place for it."""
    for tool in body.get("tools") or ():
        own = tool.get("functionDeclarations") or [tool.get("function") or tool]
        if (name := own[0].get("name")) and name != TOOL["function"]["name"]:
            return str(name)
    return ""
