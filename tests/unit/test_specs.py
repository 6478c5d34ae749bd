"""Specs, profiles, and prices by spec."""

from pathlib import Path

import pytest

from videoespresso.agents import prompts
from videoespresso.errors import SettingsError
from videoespresso.models.client.prices import image_tokens, price
from videoespresso.models.profiles import (
    CHAT_ROLES,
    PROFILES,
    configured,
    resolve,
    takes_one_image,
)
from videoespresso.models.specs import ModelSpec, server_mark
from videoespresso.settings import ROLES, Settings


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("embedded:", ("embedded", "", "")),
        ("openai:gpt-4o", ("openai", "gpt-4o", "")),
        (
            "openai:qwen2.5-vl@http://localhost:8000/v1",
            ("openai", "qwen2.5-vl", "http://localhost:8000/v1"),
        ),
        ("ollama:llama3.2-vision:11b", ("ollama", "llama3.2-vision:11b", "")),
        ("hf:OpenGVLab/InternVL3-1B-hf", ("hf", "OpenGVLab/InternVL3-1B-hf", "")),
        ("hf:/models/my model", ("hf", "/models/my model", "")),
        ("hf:C:\\models\\x", ("hf", "C:\\models\\x", "")),
        ("openai:team@model@https://[::1]:8080/v1", ("openai", "team@model", "https://[::1]:8080/v1")),
        ("google_genai:gemini-2.5-flash", ("google_genai", "gemini-2.5-flash", "")),
        ("onnx:/m/smol?dtype=q4f16&threads=4", ("onnx", "/m/smol?dtype=q4f16&threads=4", "")),
        ("onnx:HuggingFaceTB/SmolVLM", ("onnx", "HuggingFaceTB/SmolVLM", "")),
        ("hf:x/y?device=cuda:1", ("hf", "x/y?device=cuda:1", "")),
        ("ollama:odd?name=x@http://localhost/v1", ("ollama", "odd?name=x", "http://localhost/v1")),
    ],
)  # fmt: skip
def test_a_spec_is_read_and_written_back(text: str, parts: tuple[str, str, str]) -> None:
    spec = ModelSpec.parse(text)
    assert (spec.provider, spec.model, spec.base_url) == parts
    assert str(spec) == text
    assert ModelSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    "text",
    ["onnx:m?dtype=int3", "onnx:m?device=cpu", "onnx:m?threads=0", "hf:m?threads=2"],
)
def test_an_option_that_a_provider_has_not_names_those_it_has(text: str) -> None:
    with pytest.raises(SettingsError, match="has no option") as caught:
        ModelSpec.parse(text)
    assert "dtype=" in caught.value.hint


def test_options_are_read_in_their_order() -> None:
    spec = ModelSpec.parse("onnx:m?threads=4&dtype=q4")
    assert (spec.name, list(spec.options)) == ("m", ["threads", "dtype"])
    assert spec.local


@pytest.mark.parametrize(
    "text",
    ["", "gpt-4o", "openai:", ":gpt-4o", "Open AI:x", "openai:m@http://", "hf: ", "openai:m@http://h:port/v1"],
)  # fmt: skip
def test_a_wrong_spec_is_refused_with_examples(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ModelSpec.parse(text)
    assert "openai:gpt-4o" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "openai:x@localhost:8911/v1", "openai:x@localhost", "openai:x@10.0.0.7:8000/v1",
        "openai:@gpu-box:8000", "anthropic:x@models.example.com/v1", "ollama:llava@[::1]:11434",
    ],
)  # fmt: skip
def test_an_address_without_a_scheme_is_no_model_of_the_provider(text: str) -> None:
    with pytest.raises(SettingsError, match="no http://") as caught:
        ModelSpec.parse(text)
    assert f"@http://{text.partition('@')[2].partition('/')[0]}" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["openai:@cf/meta/llama-3.2", "google_vertexai:claude-3-5@20240620", "hf:me/model@v1.0"],
)
def test_a_model_s_name_may_have_an_at(text: str) -> None:
    assert str(ModelSpec.parse(text)) == text


@pytest.mark.parametrize(
    "url",
    ["http://me:hunter22@host/v1", "http://hunter22@host/v1", "https://host/v1?key=hunter22"],
)
def test_a_secret_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ModelSpec.parse(f"openai:m@{url}")
    assert "hunter22" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("embedded:", True),
        ("hf:x/y", True),
        ("ollama:llava", True),
        ("openai:m@http://localhost:8000/v1", True),
        ("openai:m@http://127.0.0.1/v1", True),
        ("openai:m@http://localhost.example.com/v1", False),
        ("ollama:llava@https://example.com", False),
        ("openai:gpt-4o", False),
    ],
)
def test_what_runs_on_this_machine_is_free(text: str, local: bool) -> None:
    spec = ModelSpec.parse(text)
    assert spec.local is local
    found = price(spec)
    assert (found is not None and found.usd(10**6, 10**6) == 0.0) is local


def test_prices_by_name_snapshot_and_never_by_accident() -> None:
    gpt = price(ModelSpec.parse("openai:gpt-4o-mini"))
    assert gpt is not None
    assert gpt.usd(1_000_000, 1_000_000) == pytest.approx(0.75)
    assert price(ModelSpec.parse("openai:gpt-4o-mini-2024-07-18")) == gpt
    assert price(ModelSpec.parse("openai:gpt-4o-minimal")) is None
    assert price(ModelSpec.parse("openai:gpt-4o@https://reseller.example/v1")) is None
    assert price(ModelSpec.parse("source:gpt-4o")) is None


@pytest.mark.parametrize(
    ("text", "size", "tokens"),
    [
        # OpenAI's own examples: "calculating costs" in its vision guide
        ("openai:gpt-4o", (1024, 1024), 765),
        ("openai:gpt-4o", (2048, 4096), 1105),
        ("openai:gpt-4.1-mini", (1024, 1024), 1659),
        ("openai:gpt-4o", (512, 288), 255),
        ("openai:gpt-4o-mini", (640, 360), 14167),
        ("openai:gpt-4o-mini?detail=low", (640, 360), 2833),
        ("openai:gpt-4o?detail=low", (640, 360), 85),
        ("openai:gpt-4o?detail=high", (512, 288), 255),
        ("openai:gpt-4.1-nano", (640, 360), 591),
        ("openai:gpt-4.1-nano?detail=low", (640, 360), 355),
        ("anthropic:claude-sonnet-4-5", (1000, 1000), 1334),
        # Google's own examples: its guide "Understand and count tokens"
        ("google_genai:gemini-2.5-flash", (384, 384), 258),
        ("google_genai:gemini-2.5-flash", (960, 540), 1548),
        ("google_genai:gemini-2.5-flash?detail=medium", (960, 540), 256),
        ("google_genai:gemini-3.6-flash", (960, 540), 1120),
        ("openai:qwen2.5-vl@http://localhost:8000/v1", (280, 56), 20),
    ],
)
def test_image_tokens(text: str, size: tuple[int, int], tokens: int) -> None:
    assert image_tokens(ModelSpec.parse(text), *size) == tokens


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_fills_every_role(name: str) -> None:
    roles = resolve(Settings(profile=name))
    assert set(roles) == set(ROLES)
    for role in CHAT_ROLES:
        assert str(roles[role].model) == roles[role].spec
        assert roles[role].source == f"profile {name}"


def test_nothing_configured_is_the_embedded_pack_and_says_so() -> None:
    settings = Settings()
    assert not configured(settings)
    roles = resolve(settings)
    assert {roles[role].spec for role in CHAT_ROLES} == {"embedded:"}
    assert roles["reasoner"].source == "profile embedded (default)"


def test_a_given_spec_beats_its_profile() -> None:
    settings = Settings.load({"profile": "openai", "reasoner": "openai:gpt-4.1"}, environ={})
    roles = resolve(settings)
    assert roles["reasoner"].spec == "openai:gpt-4.1"
    assert roles["reasoner"].source == "given"
    assert roles["selector"].source == "profile openai"
    assert configured(settings)


@pytest.mark.parametrize("values", [{"profile": "opnai"}, {"reasoner": "gpt-4o"}])
def test_a_wrong_profile_or_spec_is_found_before_the_video(values: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        resolve(Settings.load(values, environ={}))


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("ollama:llava:13b", True),
        ("ollama:llava", True),
        ("ollama:llama3.2-vision", True),
        ("openai:llava-hf/llava-1.5-7b-hf@http://localhost:8000/v1", True),
        ("openai:gpt-4o", False),
        ("openai:llava-onevision@http://localhost:8000/v1", False),
        ("embedded:", False),
    ],
)
def test_one_image_models_are_known_by_name(text: str, one: bool) -> None:
    assert takes_one_image(ModelSpec.parse(text)) is one


# ---- prompts


def test_placeholders_are_checked_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)
    (tmp_path / "captioner.md").write_text("You are the captioner. $style costs $$1.\n")
    prompt = prompts.load("captioner", style="Brief")
    assert prompt.text == "You are the captioner. Brief costs $1."
    assert prompt.sha == prompts.load("captioner", style="Long").sha
    for values in ({}, {"style": "x", "more": "y"}, {"stile": "x"}):
        with pytest.raises(SettingsError, match="captioner"):
            prompts.load("captioner", **values)
    with pytest.raises(SettingsError, match="no prompt") as caught:
        prompts.load("captoner")
    assert "captioner" in caught.value.hint
    (tmp_path / "stray.md").write_text("costs $ 1")
    with pytest.raises(SettingsError, match="stray"):
        prompts.load("stray")
    (tmp_path / "captioner.md").write_text("Changed. $style\n")
    assert prompts.load("captioner", style="x").sha != prompt.sha


def test_a_server_that_no_spec_names_is_told_apart_and_not_told() -> None:
    spec = ModelSpec.parse("openai:gpt-4o")
    marks = [server_mark(spec, url) for url in ("https://a.example/v1", "https://b.example/v1")]
    assert len(set(marks)) == 2
    assert all(mark.isalnum() for mark in marks)
    assert server_mark(spec, "https://me:secret@a.example/v1/") == marks[0]
    assert server_mark(spec, None) == ""
    assert server_mark(ModelSpec.parse("openai:gpt-4o@http://x/v1"), "http://x/v1") == ""
