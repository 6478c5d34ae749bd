"""What models are sent, byte for byte, and the keys under which replies are kept.

Where a hash changes, replies that were paid for are paid again. After a change that is meant, write
the hashes anew with `REWRITE_PROMPT_BYTES=1 pytest tests/unit/test_prompt_bytes.py`, and read in
the diff of `tests/data/prompt_bytes.json` that only what was meant has changed.

Parts of a case: `keys` in the reply cache; `system` messages; other `messages`, without pixels;
`images` as encoded; `bound`, what LangChain is given beside the messages: the strict schema and its
method, or the tools. Each is over all calls of the case, in order. The pictures are flat squares of
16 pixels, which every JPEG encoder writes alike. Numbers drawn on a grid are not alike from one
Pillow to another, so the grids are compared only with the Pillow that wrote the file.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import PIL
import pytest
from langchain_core.messages import BaseMessage
from PIL import Image
from tests.helpers.recorder import Keys, Recorder
from tests.helpers.scripted import scripted_context

from videoespresso.agents.annotator import annotate
from videoespresso.agents.base import Agent
from videoespresso.agents.caller import choose, offer, opening, replied
from videoespresso.agents.captioner import caption
from videoespresso.agents.checker import check
from videoespresso.agents.distractor import distract
from videoespresso.agents.follower import follow
from videoespresso.agents.generator import generate
from videoespresso.agents.prompt_parts import Shown
from videoespresso.agents.prompts import FOLDER
from videoespresso.agents.reasoner import conclude, direct, evidence
from videoespresso.agents.selector import select
from videoespresso.agents.verifier import verify
from videoespresso.memory.journal import stage_key
from videoespresso.memory.replies import reply_key
from videoespresso.models.client.messages import Call, Turn
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec
from videoespresso.tools.registry import BUILT_IN
from videoespresso.tools.sampling import SamplingPlan
from videoespresso.types import Box, Caption, ChatTurn, EvidenceStep

FILE = Path(__file__).parents[1] / "data" / "prompt_bytes.json"
Hashes = dict[str, dict[str, str]]


class On(NamedTuple):
    """A model: its spec, its settings, and the methods of structured output that it has not."""

    spec: str
    given: dict[str, Any]
    refuses: tuple[str, ...] = ()


SERVER = {"top_p": 0.9, "seed": 7, "openai_api_base": "https://models.test/v1"}
GRID = "one image"
MODELS = {
    "openai json_schema": On("openai:gpt-4o", SERVER),
    "openai tool": On("openai:gpt-4o", SERVER, ("json_schema",)),
    "openai prompt": On("openai:gpt-4o", SERVER, ("json_schema", "function_calling")),
    "ollama json_schema": On("ollama:qwen2.5vl", {}),
    "server with an address": On("openai:qwen@http://localhost:8000/v1", {}),
    "in process": On("hf:small", {"identity": "these weights", "max_pixels": 9, "dtype": "int8"}),
    GRID: On("ollama:llava", {}),
}


def picture(mode: str, *colours: str) -> Image.Image:
    """Flat squares side by side."""
    image = Image.new(mode, (16 * len(colours), 16))
    for k, colour in enumerate(colours):
        image.paste(Image.new(mode, (16, 16), colour), (16 * k, 0))
    return image


CAPTIONS = [
    Caption(frame_id="v@0", time_s=0.0, text="A street,\nwet “with” rain."),
    Caption(frame_id="v@2040", time_s=2.04, text="A red car stops; a dog né Rex waits."),
]
BOXES = (
    Box(label="dog", xyxy=(0.5, 0.5, 0.6, 0.6), score=0.8),
    Box(label="car", xyxy=(0.101, 0.2, 0.304, 0.4), score=0.9),
)
PICTURES = [picture("RGB", "red", "blue"), picture("RGBA", "#00ff0080", "white")]
FRAMES = [
    Shown(PICTURES[0], 0.0, CAPTIONS[0].text),
    Shown(PICTURES[1], 2.04, CAPTIONS[1].text, BOXES),
    Shown(picture("L", "gray"), None),
]
FOUND = [("read_text", 2.04, "STOP\nBus 7 → Köln"), ("count", 0.0, "2 cars.")]
ASKED, ANSWERED, OPTIONS = "Why does the car stop?", "A dog waits.", ("It rains.", "Öl.")
STEPS = [
    EvidenceStep(text="The car stops.", frame_id="v@2040", time_s=2.04),
    EvidenceStep(text="It\nrains.", frame_id="v@0", time_s=0.0),
]
TURNS = [
    ChatTurn(said=str(k), question=f"Q{k}?", video="/a/b.mp4", answer="A\nB.", evidence=(STEPS[1],))
    for k in range(10)
]
PAIR = CAPTIONS, ASKED, ANSWERED
SAID = '{"steps": []}'
CONCLUDED = '{"answered": true, "answer": "x"}'
SHEET = '{"captions": [{"frame": 1, "caption": "A dog."}, {"frame": 2, "caption": "Rain."}]}'
CARRIED = '{"carried": true}'


def call(agent: Agent) -> object:
    """A conversation with all kinds of turns, and our tools on offer."""
    ours = [entry.load() for entry in BUILT_IN]
    offered = [offer("my.tool", 'Does "it".', {"type": "object", "properties": {}})] + [
        offer(tool.name, tool.description, tool.parameters)
        for tool in ours
        if hasattr(tool, "parameters")
    ]
    calls = tuple(Call(name="count", arguments={"what": "é"}, id=f"c{k}") for k in range(3))
    turns = [
        opening(ASKED, FRAMES, FOUND),
        Turn("assistant", ("Let me count.",), calls=calls),
        replied("c0", FOUND),
        replied("c1", ()),
        replied("c2", (), "it\nfailed"),
    ]
    return choose(agent, turns, offered)


CASES: dict[str, tuple[Callable[[Agent], object], tuple[str, ...]]] = {
    "captioner": (lambda a: [caption(a, [picture]) for picture in PICTURES], ("A dog.",)),
    "captioner, sheet": (lambda a: caption(a, PICTURES), (SHEET,)),
    "selector": (lambda a: select(a, ASKED, CAPTIONS), ('{"core": []}',)),
    "selector, limit": (lambda a: select(a, ASKED, CAPTIONS, 3), ('{"core": []}',)),
    "frames: evidence": (lambda a: evidence(a, ASKED, FRAMES), (SAID,)),
    "frames: evidence, findings": (lambda a: evidence(a, ASKED, FRAMES, FOUND), (SAID,)),
    "frames: conclude": (lambda a: conclude(a, ASKED, FRAMES, SAID), (CONCLUDED,)),
    "frames: conclude, options, findings": (
        lambda a: conclude(a, ASKED, FRAMES, SAID, OPTIONS, FOUND),
        (CONCLUDED,),
    ),
    "frames: direct": (lambda a: direct(a, ASKED, FRAMES, OPTIONS), (CONCLUDED,)),
    "frames: call": (call, ("enough",)),
    "checker": (lambda a: check(a, ASKED, STEPS, ANSWERED), (CARRIED,)),
    "checker, nothing": (lambda a: check(a, ASKED, [], ANSWERED), (CARRIED,)),
    "checker, second try": (lambda a: check(a, ASKED, STEPS, ANSWERED), ("no", CARRIED)),
    "follower": (
        lambda a: follow(a, "And then?", TURNS, ["/a/a.mp4", "/a/b.mp4"]),
        ('{"question": "Q?"}',),
    ),
    "follower, first": (lambda a: follow(a, "And?", [], ["a.mp4"]), ('{"question": "Q?"}',)),
    "generator": (lambda a: generate(a, CAPTIONS), ('{"pairs": []}',)),
    "verifier": (lambda a: verify(a, *PAIR), ('{"accepted": true}',)),
    "annotator": (lambda a: annotate(a, *PAIR), ('{"core": [], "evidence": []}',)),
    "distractor": (
        lambda a: distract(a, [(c.time_s, c.text) for c in CAPTIONS], ASKED, ANSWERED),
        ('{"wrong": []}', '{"wrong": [{"text": "A cat waits."}]}'),
    ),
}


def digest(value: object) -> str:
    """sha256 of a value as JSON, the order of its keys included."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def hashes_of(on: On, case: str, cache: Path) -> dict[str, str]:
    """Asks, and hashes what was sent."""
    ask, said = CASES[case]
    model, keys = Recorder(replies=said, refuses=on.refuses, **on.given), Keys(cache)
    spec = ModelSpec.parse(on.spec)
    ask(Agent("role", spec, model, usage_log=UsageLog(), replies=keys, concurrency=1))
    assert keys.put_under, "nothing was kept"
    images: list[str] = []

    def shown(block: Any) -> Any:
        if isinstance(block, str) or block["type"] != "image_url":
            return block
        images.append(block["image_url"]["url"])
        return block | {"image_url": block["image_url"] | {"url": "..."}}

    def plain(message: BaseMessage) -> list[Any]:
        content = message.content
        parts = content if isinstance(content, str) else [shown(block) for block in content]
        calls = [[c["name"], c["args"], c["id"]] for c in getattr(message, "tool_calls", ())]
        return [message.type, parts, calls, getattr(message, "tool_call_id", None)]

    sent = [[plain(message) for message in messages] for messages, _ in model.heard]
    return {
        "keys": digest(keys.put_under),
        "system": digest([messages[0] for messages in sent]),
        "messages": digest([messages[1:] for messages in sent]),
        "images": digest(images),
        "bound": digest([bound for _, bound in model.heard]),
    }


def other_keys(tmp_path: Path) -> dict[str, str]:
    """Keys of what is kept beside replies, and who answers, which is a part of them."""
    context, _ = scripted_context(tmp_path, {})
    agents = {
        name: Agent(
            "captioner", ModelSpec.parse(on.spec), Recorder(**on.given), usage_log=UsageLog()
        )
        for name, on in MODELS.items()
    }
    by = {n: replace(context, agents={**context.agents, "captioner": a}) for n, a in agents.items()}
    told = {"b": [1, 2.5, None, "ö"], "a": {"d": True, "c": "x"}}
    return {
        "memory_key": context.memory_key("v" * 64),
        **{f"memory_key, {name}": made.memory_key("v" * 64) for name, made in by.items()},
        **{f"identity, {name}": digest(agent.identity) for name, agent in agents.items()},
        "stage_key": stage_key("generate", {"model": "openai:x", "prompt": "p"}, told),
        "reply_key": reply_key(told),
        "SamplingPlan": SamplingPlan().key(),
    }


def found(tmp_path: Path) -> Hashes:
    """All hashes as they are now."""
    prompts = sorted(FOLDER.glob("*.md"))
    return {
        "prompts": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in prompts},
        "other keys": other_keys(tmp_path / "context"),
        "pillow": {"version": PIL.__version__},
    } | {
        f"{case}; {name}": hashes_of(on, case, tmp_path / f"{k}-{n}.sqlite")
        for k, case in enumerate(CASES)
        for n, (name, on) in enumerate(MODELS.items())
        if name != GRID or case.startswith("frames")
    }


def test_what_is_sent_and_its_keys_do_not_change(tmp_path: Path) -> None:
    now = found(tmp_path)
    if os.environ.get("REWRITE_PROMPT_BYTES"):
        FILE.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        pytest.skip(f"{FILE.name} was written anew")
    kept: Hashes = json.loads(FILE.read_text(encoding="utf-8"))
    same_pillow = now.pop("pillow") == kept.pop("pillow")
    changed = [
        f"{case}: {part}"
        for case in {**kept, **now}
        if same_pillow or not case.endswith(f"; {GRID}")
        for part in {**kept.get(case, {}), **now.get(case, {})}
        if kept.get(case, {}).get(part) != now.get(case, {}).get(part)
    ]
    assert not changed, f"{len(changed)} hashes changed:\n" + "\n".join(changed)
