"""Every role's real call with a good reply, and the ways in which servers and models say it."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from PIL import Image
from tests.helpers import chat_server as fake

from videoespresso.agents import caller, judge, reasoner
from videoespresso.agents.annotator import annotate
from videoespresso.agents.base import Agent
from videoespresso.agents.captioner import caption
from videoespresso.agents.checker import check
from videoespresso.agents.distractor import distract
from videoespresso.agents.follower import follow
from videoespresso.agents.generator import generate
from videoespresso.agents.prompt_parts import Shown
from videoespresso.agents.scorer import rate
from videoespresso.agents.selector import look, select
from videoespresso.agents.verifier import verify
from videoespresso.types import Caption, ChatTurn, EvidenceStep

Reply = str | dict[str, Any]


class Role(NamedTuple):
    """call: asks as the product does. good: what the model means to say, words or an object."""

    call: Callable[[Agent], object]
    good: Reply


PICTURES = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "gray")]
TEXTS = ("A red car stops.", "A dog waits.", "Rain falls on the road.")
CAPTIONS = [Caption(frame_id=f"v@{k}", time_s=float(k), text=t) for k, t in enumerate(TEXTS)]
FRAMES = [Shown(p, c.time_s, c.text) for p, c in zip(PICTURES, CAPTIONS, strict=True)]
STEPS = [EvidenceStep(text=c.text, frame_id=c.frame_id, time_s=c.time_s) for c in CAPTIONS]
ASK, ANSWER, OPTIONS = "Why does the car stop?", "A dog waits.", ("It rains.", "A dog waits.")
TURNS = [ChatTurn(said="Who waits?", question="Who waits?", video="/a/a.mp4", answer="A dog.")]
TOOL = caller.offer("count", "Counts.", {"type": "object", "properties": {}})

STEP = [
    {"text": "A red car stops.", "frame": 1, "items": [{"name": "car", "box": [10, 10, 50, 90]}]},
    {"text": "A dog waits.", "frame": 2, "items": []},
]
CORE = {"core": [{"why": "It stops.", "frame": 1}, {"why": "It waits.", "frame": 3}]}
END = {"answered": True, "answer": "A dog waits.", "choice": "B"}
WRONG = ("A cat waits.", "A dog runs.", "A man waits.", "A dog barks.")
RATINGS = dict.fromkeys(("logic", "factuality", "accuracy", "conciseness", "overall"), 7)


def _judged(agent: Agent) -> object:
    turns = judge.turns(ASK, ANSWER, "A dog.", TEXTS, judge.ORDERS[0])
    return agent.typed(judge.prompt(), turns, judge.Opinion, judge.bounds()).value


def _sheet(agent: Agent) -> object:
    """As of a provider whose models tell pictures apart."""
    agent.frames_at_once = len(PICTURES)
    return caption(agent, PICTURES)


ROLES: dict[str, Role] = {
    "captioner": Role(lambda a: caption(a, PICTURES[:1]), TEXTS[0]),
    "captioner, sheet": Role(
        _sheet,
        {"captions": [{"frame": k, "caption": t} for k, t in enumerate(TEXTS, 1)]},
    ),
    "scorer": Role(
        lambda a: rate(a, ASK, PICTURES),
        {"scores": [{"frame": k, "score": float(k)} for k in (1, 2, 3)]},
    ),
    "selector": Role(lambda a: select(a, ASK, CAPTIONS), CORE),
    "selector, limit": Role(lambda a: select(a, ASK, CAPTIONS, 1), CORE),
    "selector, numbered sheet": Role(lambda a: look(a, ASK, FRAMES), CORE),
    "reasoner, evidence": Role(lambda a: reasoner.evidence(a, ASK, FRAMES)[0], {"steps": STEP}),
    "reasoner, answer": Role(lambda a: reasoner.conclude(a, ASK, FRAMES, "{}", OPTIONS), END),
    "reasoner, one reply": Role(
        lambda a: reasoner.at_once(a, ASK, FRAMES, OPTIONS)[:2], {"steps": STEP, **END}
    ),
    "reasoner, no evidence": Role(lambda a: reasoner.direct(a, ASK, FRAMES, OPTIONS), END),
    "checker": Role(lambda a: check(a, ASK, STEPS, ANSWER), {"carried": True, "missing": ""}),
    "follower": Role(
        lambda a: follow(a, "And then?", TURNS, ["/a/a.mp4", "/a/b.mp4"]),
        {"question": "What does the dog do then?", "video": 2},
    ),
    "generator": Role(
        lambda a: generate(a, CAPTIONS).value,
        {"pairs": [{"question": ASK, "answer": ANSWER, "task": "Causal Inference"}] * 2},
    ),
    "verifier": Role(
        lambda a: verify(a, CAPTIONS, ASK, ANSWER).value,
        {"reason": "It is seen.", "criterion": "", "accepted": True},
    ),
    "annotator": Role(
        lambda a: annotate(a, CAPTIONS, ASK, ANSWER).value,
        {
            "core": [TEXTS[1], TEXTS[2]],
            "evidence": [{"text": "A dog waits.", "core": 1, "items": ["dog"]}] * 2,
        },
    ),
    "distractor": Role(
        lambda a: distract(a, [(c.time_s, c.text) for c in CAPTIONS], ASK, ANSWER).value,
        {"wrong": [{"text": text, "error": "It is not there."} for text in WRONG]},
    ),
    "judge": Role(_judged, {"reason": "It fits.", "can_tell": True, **RATINGS}),
    "caller": Role(
        lambda a: caller.choose(a, [caller.opening(ASK, FRAMES, ())], [TOOL]), "I have enough."
    ),
}

# ---- what a model says

THOUGHT = 'A draft: {"steps": []} or ```json\n{"carried": false}\n```. Let me see.'
DRAFT = '{"steps": [}'


def _between(opening: str, closing: str) -> Callable[[str], str]:
    return lambda text: f"{opening}\n{THOUGHT}\n{closing}\n\n{text}"


SAID: dict[str, Callable[[str], str]] = {
    "plain": lambda t: t,
    "think": _between("<think>", "</think>"),
    "think without its opening": _between("", "</think>"),
    "thinking": _between("<thinking>", "</thinking>"),
    "reasoning": _between("<Reasoning>", "</Reasoning>"),
    "seed": _between("<seed:think>", "</seed:think>"),
    "magistral": _between("[THINK]", "[/THINK]"),
    "kimi": _between("◁think▷", "◁/think▷"),
    "cohere": lambda t: (
        f"<|START_THINKING|>{THOUGHT}<|END_THINKING|><|START_RESPONSE|>{t}<|END_RESPONSE|>"
    ),
    "apertus": lambda t: f"<|inner_prefix|>{THOUGHT}<|inner_suffix|>{t}",
    "medgemma": lambda t: f"<unused94>thought\n{THOUGHT}<unused95>{t}",
    "glm box": lambda t: f"<|begin_of_box|>{t}<|end_of_box|>",
    "glm answer": lambda t: f"<think>{THOUGHT}</think>\n<answer>{t}</answer>",
    "harmony": lambda t: (
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{t}<|return|>"
    ),
    "harmony that goes on": lambda t: (
        f"<|channel|>final<|message|>{t}<|return|>"
        f"<|start|>assistant<|channel|>analysis<|message|>{THOUGHT}"
    ),
    "sky": lambda t: (
        f"<|begin_of_thought|>{THOUGHT}<|end_of_thought|>"
        f"<|begin_of_solution|>{t}<|end_of_solution|>"
    ),
    "granite": _between("Here is my thought process:", "Here is my response:"),
    "granite, short": _between("Here's my thought process:", "Here's my response:"),
    "granite, thinking": _between("Here's my thinking process:", "Here's my response:"),
    "granite, bold": _between("**Here is my thought process:**", "**Here is my response:**"),
    "granite's tags": lambda t: f"<think>{THOUGHT}</think>\n<response>{t}</response>",
    "harmony without its tokens": lambda t: f"analysis{THOUGHT}assistantfinal{t}",
    "harmony without its tokens, with its role": lambda t: (
        f"assistantanalysis{THOUGHT}assistantfinal{t}"
    ),
    "a thought behind it": lambda t: f"{t}\n<think>{THOUGHT}</think>",
    "a thought behind it, not closed": lambda t: f"{t}\n<think>{THOUGHT}",
    "analysis": _between("<analysis>", "</analysis >"),
    "think with a space": _between("<think >", "</think>"),
    "end of turn": lambda t: f"{t}<|im_end|>",
    "a turn and the next": lambda t: (
        f"<|im_start|>assistant\n{t}<|im_end|>\n<|im_start|>user\nMore"
    ),
    "llama's turn": lambda t: f"<|start_header_id|>assistant<|end_header_id|>\n\n{t}<|eot_id|>",
    "end of text": lambda t: f"<bos>{t}<eos>",
    "deepseek's end": lambda t: f"{t}<｜end▁of▁sentence｜>",
    "gemma's end": lambda t: f"{t}<end_of_turn>",
    "byte order mark": lambda t: f"\ufeff{t}",
}
"""Of words and of JSON alike."""

WRITTEN: dict[str, Callable[[dict[str, Any]], str]] = {
    "fence": lambda g: f"Sure! Here:\n```json\n{json.dumps(g)}\n```\nAnything else?",
    "two fences": lambda g: f"Draft:\n```json\n{DRAFT}\n```\nNow:\n```\n{json.dumps(g)}\n```",
    "wrapped": lambda g: json.dumps({"result": {"data": g}}),
    "in a list": lambda g: json.dumps([g]),
    "as a string": lambda g: json.dumps(json.dumps(g)),
    "as an instance of the schema": lambda g: json.dumps({"type": "object", "properties": g}),
    "called in text": lambda g: (
        f"<tool_call>{json.dumps({'name': 'f', 'arguments': g})}</tool_call>"
    ),
    "called in mistral's text": lambda g: (
        f"[TOOL_CALLS]{json.dumps([{'name': 'f', 'arguments': g}])}"
    ),
    "called with a string": lambda g: json.dumps({"name": "f", "arguments": json.dumps(g)}),
    "python": repr,
    "keys in capitals": lambda g: json.dumps({key.title(): value for key, value in g.items()}),
    "prose around it": lambda g: f"The reply is {json.dumps(g)} as you wished.",
    "last bracket missing": lambda g: json.dumps(g)[:-1],
    "comma too many": lambda g: json.dumps(g)[:-1] + ",}",
    "comment": lambda g: "{ // my reply\n" + json.dumps(g)[1:],
    "more keys": lambda g: json.dumps({"confidence": 1e999, "thought": "hm", **g}),
}
"""Of JSON only."""

# ---- how a server takes a request


def _message(message: dict[str, Any], finish: str = "stop") -> fake.Behaviour:
    return lambda exchange: exchange.send_json(200, fake.completion(message, "m", finish))


def _as_call(text: str, arguments: str | None = None) -> fake.Behaviour:
    """A tool call, where tools are offered and a schema cannot be."""

    def behave(exchange: fake.Exchange) -> None:
        if "response_format" in exchange.body:
            return fake.status(400, "response_format is not supported")(exchange)
        tools = exchange.body.get("tools")
        if not tools or tools == [TOOL]:
            return fake.say(text)(exchange)
        function = {"name": tools[0]["function"]["name"], "arguments": arguments}
        function["arguments"] = text if arguments is None else arguments
        call = {"id": "c1", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return _message(message, "tool_calls")(exchange)

    return behave


def _without(*fields: str, status: int = 400, text: str = "") -> Callable[[str], fake.Behaviour]:
    """A server that refuses requests with one of these fields, until they are left out."""

    def made(said: str) -> fake.Behaviour:
        def behave(exchange: fake.Exchange) -> None:
            asked = [f for f in fields if f in exchange.body and exchange.body[f] != [TOOL]]
            if exchange.body["messages"][0]["role"] == "system" and "system" in fields:
                asked.append("system")
            (fake.status(status, text or f"{asked} not supported") if asked else fake.say(said))(
                exchange
            )

        return behave

    return made


def _one_image(said: str) -> fake.Behaviour:
    def behave(exchange: fake.Exchange) -> None:
        many = json.dumps(exchange.body).count('"image_url"') > 2  # type and key: two an image
        (fake.status(400, "At most 1 image(s) may be provided.") if many else fake.say(said))(
            exchange
        )

    return behave


SERVED: dict[str, Callable[[str], fake.Behaviour]] = {
    "reasoning beside it": lambda t: _message(
        {"role": "assistant", "content": t, "reasoning_content": THOUGHT, "reasoning": THOUGHT}
    ),
    "content as a list": lambda t: _message(
        {"role": "assistant", "content": [{"type": "text", "text": t}]}
    ),
    "tool call": _as_call,
    "tool call without arguments": lambda t: _as_call(t, ""),
    "tool call with {}": lambda t: _as_call(t, "{}"),
    "no usage": lambda t: fake.say(t, usage=None),
    "no schema": _without("response_format"),
    "no schema, no tools": _without("response_format", "tools", status=500, text="grammar"),
    "no temperature": _without("temperature", text="temperature is not supported"),
    "no max_tokens": _without("max_tokens", text="max_tokens is not supported"),
    "no system message": _without("system", text="System role not supported"),
    "one image": _one_image,
}

DIALECTS: tuple[str, ...] = (*SAID, *WRITTEN, *SERVED)


def spoken(dialect: str, good: Reply) -> fake.Behaviour | None:
    """A server that gives the good reply in a dialect; None where words have no such form."""
    if dialect in SERVED:
        return SERVED[dialect](_plain(good))
    said = wording(dialect, good)
    return None if said is None else fake.say(said)


def wording(dialect: str, good: Reply) -> str | None:
    """What a model writes that says it so; None where there is no such form of it."""
    if dialect in SAID:
        return SAID[dialect](_plain(good))
    return None if isinstance(good, str) or dialect in SERVED else WRITTEN[dialect](good)


def _plain(good: Reply) -> str:
    return good if isinstance(good, str) else json.dumps(good)
