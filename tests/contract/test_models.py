"""What every chat model must do for an agent."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import BaseModel
from tests.helpers import chat_server as fake
from tests.helpers.blank_model import blank_hf_model
from tests.helpers.tiny_models import FAMILIES

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Prompt, Turn
from videoespresso.errors import ModelError, ModelOutputError, SettingsError
from videoespresso.models.chat import chat_model
from videoespresso.models.client.messages import messages
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.embedded import PACK_LVLM, PACK_TORCH
from videoespresso.models.specs import ModelSpec

needs_pack = pytest.mark.skipif(
    not (PACK_LVLM / "pack.json").exists(), reason="the pack is not built (make pack)"
)
PROMPT = Prompt("captioner", "You are the captioner.\nDescribe the frame in one sentence.", "")


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blank_hf_model(tmp_path_factory.mktemp("blank"))


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where a tiny model of a family is, each made once."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name == "smolvlm2":
            pytest.importorskip("num2words")
        if name not in made:
            made[name] = FAMILIES[name](tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(
    params=[
        "openai",
        pytest.param("ollama", marks=pytest.mark.extras),
        pytest.param("embedded", marks=needs_pack),
        pytest.param("hf", marks=pytest.mark.extras),
        pytest.param("hf pack", marks=[pytest.mark.extras, needs_pack]),
        *(pytest.param(name, marks=pytest.mark.extras) for name in FAMILIES),
    ]
)
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """An agent on each kind of model. One list to extend."""
    if request.param == "openai":
        with fake.Server([fake.say("a red car stops")]) as server:
            yield of(f"openai:good@{server.url}")
    elif request.param == "ollama":
        pytest.importorskip("langchain_ollama")
        with fake.Server([fake.say_as_ollama("a red car stops")]) as server:
            yield of(f"ollama:llava-next@{server.url.removesuffix('/v1')}")
    elif request.param == "embedded":
        yield of("embedded:")
    elif request.param in FAMILIES:
        yield of(f"hf:{request.getfixturevalue('family_folder')(request.param)}", max_tokens=8)
    else:
        hf_pack = request.param == "hf pack"
        folder = PACK_TORCH if hf_pack else request.getfixturevalue("blank")
        yield of(f"hf:{folder}", max_tokens=24)


def of(text: str, max_tokens: int = 64) -> Agent:
    spec = ModelSpec.parse(text)
    return Agent("captioner", spec, chat_model(spec, max_tokens=max_tokens), usage_log=UsageLog())


def picture(colour: str = "red", size: tuple[int, int] = (320, 180)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    image.paste(colour, (40, 40, 120, 120))
    return image


TURNS = (Turn("user", prompt_parts.caption_parts(picture())),)
FRAMES = [
    prompt_parts.Shown(picture("red"), 1.0),
    prompt_parts.Shown(picture("blue", (200, 300)), 2.5),
]
# in the dialect the roles speak: the pack knows no other, and may have nothing to say in one
CONVERSATIONS = {
    "captioner": TURNS,
    "selector": (
        Turn("user", prompt_parts.select_parts("Why?", [(1.0, "A red car."), (2.0, "A dog.")])),
    ),
    "reasoner": (
        Turn("user", prompt_parts.evidence_parts("What happens?", FRAMES)),
        Turn("assistant", ("At 1.0 s there is a red square.",)),
        Turn("user", prompt_parts.answer_parts(["It rains.", "It moves."])),
    ),
}


@pytest.mark.parametrize("role", CONVERSATIONS)
def test_images_and_turns_in_words_out(agent: Agent, role: str) -> None:
    turns = CONVERSATIONS[role]
    reply = agent.text(Prompt(role, f"You are the {role}.", ""), turns)
    assert reply.value
    images = [part for turn in turns for part in turn.parts if isinstance(part, Image.Image)]
    assert reply.usage.images == len(images)
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens > 0
    assert reply.usage.calls == 1
    assert reply.usage.usd == 0.0
    (entry,) = agent.usage_log.entries()
    assert entry.images == tuple(image.size for image in images)


def test_streamed_words_are_the_same_words(agent: Agent) -> None:
    pieces: list[str] = []
    reply = agent.text(PROMPT, TURNS)
    streamed = agent.with_listener(pieces.append).text(PROMPT, TURNS)
    assert pieces[-1].strip() == streamed.value == reply.value
    if agent.spec.provider != "openai":  # of servers that imitate it some refuse to count a stream
        assert all(entry.reported for entry in agent.usage_log.entries()), "it says what it took"
        assert streamed.usage.output_tokens == reply.usage.output_tokens
    assert agent.usage_log.total().calls == 2


class Verdict(BaseModel):
    supported: bool


def test_a_typed_reply_is_valid_or_a_typed_error(agent: Agent) -> None:
    try:
        reply = agent.typed(PROMPT, TURNS, Verdict)
    except ModelOutputError as error:
        refused = error
    else:
        assert isinstance(reply.value, Verdict)
        return
    assert refused.reply
    assert "Verdict" in str(refused) or "length limit" in str(refused)


@pytest.mark.extras
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_sees_every_picture(name: str, family_folder: Callable[[str], Path]) -> None:
    agent = of(f"hf:{family_folder(name)}", max_tokens=8)
    pictures = [
        Image.linear_gradient("L").resize(size).convert("RGB") for size in ((300, 90), (90, 300))
    ]
    for colour in ("red", "blue", "lime", "black"):
        pictures.append(Image.new("RGB", (320, 180), "white"))
        pictures[-1].paste(colour, (0, 0, 160, 180))
    replies = [agent.text(PROMPT, (Turn("user", (p, "Describe this frame.")),)) for p in pictures]
    assert len({reply.value for reply in replies}) > 1, "what it says depends on what it sees"
    none, one, two = (
        agent.text(PROMPT, (Turn("user", (*pictures[:n], "Describe.")),)).usage for n in range(3)
    )
    assert none.input_tokens < min(one.input_tokens, two.input_tokens), "OneVision tiles one only"
    assert two.images == 2


@pytest.mark.extras
@pytest.mark.parametrize("name", FAMILIES)
def test_waiting_requests_are_answered_together(
    name: str, family_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from videoespresso.models.hf import HfChatModel  # noqa: PLC0415 - an extra

    spec = ModelSpec("hf", str(family_folder(name)))
    model = HfChatModel(path=spec.model, max_tokens=8, batch=3)
    _, weights = model._loaded
    sizes: list[int] = []
    generate = weights.generate

    def counted(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        return generate(**inputs)

    monkeypatch.setattr(weights, "generate", counted)
    agent = Agent("captioner", spec, model, usage_log=UsageLog())
    asked = [(Turn("user", (picture(c, s), "Describe.")),) for c, s in zip(
        ("red", "blue", "green", "black", "white", "red", "blue"),
        ((320, 180), (90, 200), (64, 64), (320, 180), (200, 90), (180, 320), (30, 30)),
        strict=True,
    )]  # fmt: skip
    with model._lock:  # everybody waits
        pool = ThreadPoolExecutor(1)
        together = pool.submit(agent.text_batch, PROMPT, asked)
        while len(model._waiting) < agent.concurrency:
            time.sleep(0.01)
    replies = [reply.value for reply in together.result()]
    pool.shutdown()
    assert sum(sizes) == len(asked)
    assert 1 < max(sizes) <= 3
    assert [agent.text(PROMPT, turns).value for turns in asked] == replies


@pytest.mark.extras
def test_what_cannot_be_done_together_is_done_alone(
    family_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from videoespresso.models.hf import HfChatModel, _Request  # noqa: PLC0415 - an extra

    model = HfChatModel(path=str(family_folder("qwen2.5-vl")), max_tokens=4)
    _, weights = model._loaded
    generate = weights.generate

    def small(**inputs: Any) -> Any:
        if len(inputs["input_ids"]) > 1:
            raise RuntimeError("out of memory")
        return generate(**inputs)

    monkeypatch.setattr(weights, "generate", small)
    some = [_Request(messages("", TURNS), {"stop": None}) for _ in range(2)]
    model._answer(some)
    assert all(one.result is not None for one in some)


@pytest.mark.extras
def test_options_of_a_model_in_process(family_folder: Callable[[str], Path]) -> None:
    folder = family_folder("qwen2.5-vl")
    plain = of(f"hf:{folder}", max_tokens=4)
    other = of(f"hf:{folder}?dtype=bfloat16&device=cpu&max_pixels=3136&batch=2", max_tokens=4)
    assert other.concurrency == 2
    large = (Turn("user", (picture(size=(640, 360)), "Describe.")),)
    few, many = (agent.text(PROMPT, large).usage.input_tokens for agent in (other, plain))
    assert few < many, "fewer pixels are fewer tokens"
    _, weights = other.model._loaded  # type: ignore[attr-defined]
    assert str(weights.dtype) == "torch.bfloat16"


@pytest.mark.parametrize(
    "option", ["dtype=int8", "device=tpu", "max_pixels=0", "batch=0", "batch=x", "quant=4", "x"]
)
def test_an_option_that_cannot_be_is_told(option: str) -> None:
    with pytest.raises(SettingsError, match="has no option") as caught:
        chat_model(f"hf:some/model?{option}")
    assert "max_pixels=N" in caught.value.hint


def test_a_batch_is_in_order(agent: Agent) -> None:
    colours = ["red", "blue", "red"]
    asked = [(Turn("user", (picture(colour), "Describe this frame.")),) for colour in colours]
    replies = agent.text_batch(PROMPT, asked)
    alone = [agent.text(PROMPT, turns).value for turns in asked]
    assert [reply.value for reply in replies] == alone


@pytest.mark.extras
def test_large_images_are_reduced_before_the_model_sees_them(blank: Path) -> None:
    from videoespresso.models.hf import HfChatModel, _reduced  # noqa: PLC0415 - an extra

    large = picture(size=(2000, 1000))
    assert _reduced(large, 500_000).size == (1000, 500)
    assert _reduced(picture(), 500_000).size == (320, 180)
    model = HfChatModel(path=str(blank), max_pixels=100, max_tokens=3)
    spec = ModelSpec("hf", str(blank))
    assert Agent("captioner", spec, model, usage_log=UsageLog()).text(PROMPT, TURNS).raw is not None


@pytest.mark.extras
@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [("no/such-model-anywhere", SettingsError, "nor in the cache"),
     ("{tmp}", ModelError, "cannot be loaded")],
)  # fmt: skip
def test_weights_that_are_not_there(
    name: str, kind: type[Exception], said: str, tmp_path: Path
) -> None:
    agent = of(f"hf:{name.format(tmp=tmp_path)}")
    with pytest.raises(kind, match=said) as caught:
        agent.text(PROMPT, TURNS)
    assert caught.value.hint  # type: ignore[attr-defined]
    assert "\n" not in str(caught.value)


@pytest.mark.extras
def test_the_identity_changes_with_the_weights(tmp_path: Path) -> None:
    from videoespresso.models.hf import HfChatModel  # noqa: PLC0415 - an extra

    (tmp_path / "config.json").write_text("{}")
    before = HfChatModel(path=str(tmp_path)).identity
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert HfChatModel(path=str(tmp_path)).identity != before
    assert HfChatModel(path="some/id").identity == "some/id"
