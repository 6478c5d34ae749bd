"""Replies by rule for every role, so that a run can be rehearsed and measured.

The rules know nothing of what is on a picture: a caption is drawn by the picture's bytes, the rest
follows from the captions and the model's name. What they are good for is a run's course - how many
calls, in what order, how often, how fast - never what a record is worth. The same request gets the
same reply.
"""

import hashlib
import json
import random
import re
from collections.abc import Sequence
from typing import Any

from videoespresso.tasks import TASKS

Json = dict[str, Any]

PAIRS = 3
"""Pairs a group gets."""
REJECTED, AGAIN = 8, 16
"""One pair in so many is refused by the verifier; as many get wrong options of no use at first."""

_WHO = "baker sailor nurse painter farmer dancer pilot judge tailor juggler miner diver"
_DOES = "lifts drops paints hides kicks opens burns washes steals breaks waters throws"
_WHAT = "kettle ladder violin melon drum candle helmet anchor carpet trumpet basket mirror"
_WHERE = "harbour attic kitchen desert stadium cellar library meadow station temple"
_LINE = re.compile(r"^\(-?[\d.]+ s\) (.*) \[\d+\]$", re.MULTILINE)
_NUMBER = re.compile(r"\[(\d+)\]$", re.MULTILINE)
_QUESTION = re.compile(r"^Question: (.*)$", re.MULTILINE)
_ANSWER = re.compile(r"^Answer: (.*)$", re.MULTILINE)


def reply(body: Json, pairs: int = PAIRS) -> str:
    """What the rules say to a chat completions request. Raises ValueError for another role's."""
    messages = body["messages"]
    match = re.match(r"You are the (\w+)\.", _text(messages[0]))
    role, model = match[1] if match else "", str(body.get("model"))
    if role == "captioner":
        texts = [caption(_digest(model + picture)) for picture in _pictures(messages[-1])]
        sheet = [{"frame": n, "caption": text} for n, text in enumerate(texts, 1)]
        return texts[0] if len(texts) == 1 else json.dumps({"captions": sheet})
    shown = next(_text(m) for m in messages if m["role"] == "user")
    if role in _ASKED:
        return json.dumps(_ASKED[role](messages))
    captions = _LINE.findall(shown)
    if role == "generator":
        return json.dumps({"pairs": _pairs(captions, pairs, model)})
    answer = _match(_ANSWER, shown)
    draw = random.Random(_digest(model + _match(_QUESTION, shown) + answer))
    if role == "verifier":
        refused = draw.randrange(REJECTED) == 0
        verdict = {"reason": "by rule", "criterion": "subjective" if refused else ""}
        return json.dumps({**verdict, "accepted": not refused})
    if role == "annotator":
        return json.dumps(_annotation(captions, draw))
    if role == "distractor":
        again = any(m["role"] == "assistant" for m in messages)
        leaks = draw.randrange(AGAIN) == 0 and not again
        return json.dumps({"wrong": _wrong(answer, draw, leaks)})
    raise ValueError(f"no rule for the role {role!r}")


def _selected(messages: Sequence[Json]) -> Json:
    """The first frame and the last one."""
    numbers = sorted(map(int, _NUMBER.findall(_text(messages[-1]))))
    return {
        "core": [{"why": "by rule", "frame": n} for n in dict.fromkeys((numbers[0], numbers[-1]))]
    }


def _reasoned(messages: Sequence[Json]) -> Json:
    """Evidence to a first message, an answer to the next: drawn by what was shown."""
    who = caption(_digest(_text(messages[1])))
    if len(messages) < 4:
        return {"steps": [{"text": who, "frame": 1, "items": []}]}
    return {"answered": True, "answer": who, "choice": None}


def _carried(_messages: Sequence[Json]) -> Json:
    return {"carried": True, "missing": ""}


def _followed(messages: Sequence[Json]) -> Json:
    """The new question as it stands, about the first video."""
    return {"question": _text(messages[-1]).rpartition("New question: ")[2], "video": 1}


_ASKED = {
    "selector": _selected, "reasoner": _reasoned, "checker": _carried, "follower": _followed,
}  # fmt: skip
"""The roles of a question: role -> what the rules say to a conversation."""


def caption(drawn_by: str) -> str:
    """A sentence, the same for the same text, very likely another for another."""
    draw = random.Random(drawn_by)
    who, does, what, where = (draw.choice(words.split()) for words in (_WHO, _DOES, _WHAT, _WHERE))
    return f"A {who} {does} a {what} in the {where}."


def _pairs(captions: Sequence[str], count: int, model: str) -> list[Json]:
    draw = random.Random(_digest("\n".join([model, *captions])))
    made = []
    for number in range(count):
        first, last = sorted(draw.sample(range(len(captions)), 2))
        made.append(
            {
                "question": f"What comes {number + 1} after this: {captions[first]}",
                "answer": f"Later it is seen that {captions[last]}",
                "task": draw.choice(TASKS),
            }
        )
    return made


def _annotation(captions: Sequence[str], draw: random.Random) -> Json:
    core = [captions[k] for k in sorted(draw.sample(range(len(captions)), 2))]
    steps = [
        {"text": f"It shows: {text}", "core": n, "items": [text.split()[4]]}
        for n, text in enumerate(core, 1)
    ]
    return {"core": core, "evidence": steps}


def _wrong(answer: str, draw: random.Random, leaks: bool) -> list[Json]:
    if leaks:
        return [{"text": answer, "error": "none"}] * 3
    others = [caption(str(draw.random())) for _ in range(3)]
    return [
        {"text": f"Number {n}: it is seen that {text}", "error": text}
        for n, text in enumerate(others, 1)
    ]


def _match(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""


def _text(message: Json) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _pictures(message: Json) -> list[str]:
    parts = message["content"] if isinstance(message["content"], list) else []
    return [json.dumps(part["image_url"]) for part in parts if "image_url" in part]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
