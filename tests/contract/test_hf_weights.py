"""`hf:` with an adapter, with a captioner that cannot converse, and with a schema."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from pydantic import BaseModel

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Prompt, Turn
from videoespresso.errors import ModelError
from videoespresso.models import hf, hf_weights
from videoespresso.models.chat import chat_model
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.hf import HfChatModel
from videoespresso.models.hf_weights import identity, parts
from videoespresso.models.specs import ModelSpec

PROMPT = Prompt("captioner", "You are the captioner.\nDescribe the frame.", "")


class Verdict(BaseModel):
    reason: str
    sure: bool


def agent_on(path: str, max_tokens: int = 8) -> Agent:
    spec = ModelSpec.parse(f"hf:{path}")
    model = chat_model(spec, max_tokens=max_tokens)
    return Agent("captioner", spec, model, usage_log=UsageLog())


def picture(colour: str = "red") -> Image.Image:
    image = Image.linear_gradient("L").resize((120, 80)).convert("RGB")
    image.paste(colour, (5, 5, 60, 60))
    return image


def turns(count: int = 1) -> tuple[Turn, ...]:
    return (Turn("user", (*(picture() for _ in range(count)), prompt_parts.CAPTION_CUE)),)


# ---- without torch


def test_a_plus_parts_a_base_from_its_adapter(tmp_path: Path) -> None:
    assert parts("org/base") == ("org/base", "")
    assert parts("org/base+me/lora") == ("org/base", "me/lora")
    odd = tmp_path / "c++"
    odd.mkdir()
    assert parts(str(odd)) == (str(odd), "")
    (odd / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    assert parts(str(odd)) == ("org/base", str(odd))
    assert identity(str(odd)).startswith("org/base+")
    assert identity("org/base") == "org/base"
    for broken in ("{}", "no json"):
        (odd / "adapter_config.json").write_text(broken)
        with pytest.raises(ModelError, match="names no base") as caught:
            parts(str(odd))
        assert "hf:BASE+" in caught.value.hint


# ---- with torch


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of peft about transformers
def test_an_adapter_is_loaded_on_its_base(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from tests.helpers.tiny_captioners import adapter  # noqa: PLC0415 - an extra
    from tests.helpers.tiny_models import smolvlm  # noqa: PLC0415 - an extra

    base = smolvlm(tmp_path / "base")
    lora = adapter(base, tmp_path / "lora")
    plain, both, alone = (
        agent_on(path).text(PROMPT, turns()) for path in (str(base), f"{base}+{lora}", str(lora))
    )
    assert both.value == alone.value
    assert both.value != plain.value, "noise of this size changes what is said"
    assert both.snapshot == alone.snapshot != plain.snapshot
    config = json.loads((lora / "adapter_config.json").read_text())
    (lora / "adapter_config.json").write_text(json.dumps({**config, "r": 3}))
    with pytest.raises(ModelError, match="does not fit its base"):
        agent_on(f"{base}+{lora}").text(PROMPT, turns())


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of transformers about numpy
@pytest.mark.parametrize("name", ["paligemma", "florence2", "blip"])
def test_a_captioner_without_a_chat_template_captions_and_says_what_it_cannot(
    name: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from tests.helpers.tiny_captioners import CAPTIONERS  # noqa: PLC0415 - an extra

    agent = agent_on(str(CAPTIONERS[name](tmp_path)))
    reply = agent.text(PROMPT, turns())
    assert reply.value
    assert 0 < reply.usage.output_tokens <= 9
    pieces: list[str] = []
    assert agent.with_listener(pieces.append).text(PROMPT, turns()).value == reply.value
    assert [r.value for r in agent.text_batch(PROMPT, [turns(), turns()])] == [reply.value] * 2
    for wrong in (turns(0), turns(2)):
        with pytest.raises(ModelError, match="no chat template") as caught:
            agent.text(PROMPT, wrong)
        assert "-m captioner=hf:" in caught.value.hint
    with pytest.raises(ModelError, match="no chat template"):
        agent.typed(PROMPT, turns(), Verdict)


@pytest.mark.extras
@pytest.mark.parametrize("family", ["smolvlm", "qwen2.5-vl", "internvl", "llava-interleave"])
def test_a_typed_reply_is_right_in_form(family: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.helpers.tiny_models import FAMILIES  # noqa: PLC0415 - an extra

    agent = agent_on(str(FAMILIES[family](tmp_path)), max_tokens=80)
    reply = agent.typed(PROMPT, turns(), Verdict)
    assert reply.how == ("prompt: ok",)
    streamed = agent.with_listener(lambda _: None).typed(PROMPT, turns(), Verdict)
    assert streamed.value == reply.value


@pytest.mark.extras
@pytest.mark.parametrize(
    ("family", "patches", "tokens"),
    [("smolvlm", 80, 20), ("qwen", 240, 60), ("onevision", 80, 52), ("interleave", 16, 16)],
)
def test_how_large_a_model_is(family: str, patches: int, tokens: int, tmp_path: Path) -> None:
    from tests.helpers import tiny_models  # noqa: PLC0415 - an extra

    model = HfChatModel(path=str(getattr(tiny_models, family)(tmp_path)))
    sizes = model.sizes
    assert sizes is not None
    assert (sizes["patches"], sizes["image_tokens"]) == (patches, tokens)
    weights = {name: w.numel() for name, w in model._loaded[1].named_parameters()}
    assert sizes["language"] + sizes["vision"] == sum(weights.values())
    text = ("language_model", "text_model", "lm_head")
    assert sizes["language"] == sum(
        n for name, n in weights.items() if any(t in name for t in text)
    )


def test_of_a_mixture_of_experts_those_of_one_token_count() -> None:
    class Weight:
        def __init__(self, count: int) -> None:
            self.numel = lambda: count

    class Mixed:
        class config:
            class text_config:
                num_experts, num_experts_per_tok = 8, 2

        def named_parameters(self) -> list[tuple[str, Weight]]:
            return [("model.layers.0.mlp.experts.gate_up_proj", Weight(800)),
                    ("model.layers.0.self_attn.q_proj", Weight(10)),
                    ("model.visual.blocks.0.attn", Weight(5))]  # fmt: skip

    assert hf.active_parameters(Mixed()) == {"language": 210, "vision": 5}


def test_a_torchvision_of_another_torch_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from videoespresso.cli.doctor import _torchvision  # noqa: PLC0415 - the doctor's line of it

    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "ops.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist\\nmore lines')"
    )
    monkeypatch.setattr(hf_weights, "find_spec", lambda name: name)
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    [check] = _torchvision()
    assert not check.ok
    assert check.detail == (
        "torchvision was built for another torch: operator torchvision::nms does not exist"
    )
    assert "torchvision" in check.hint
    monkeypatch.setattr(hf_weights, "find_spec", lambda _: None)
    assert list(_torchvision()) == []
