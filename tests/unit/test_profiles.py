"""Profiles by what a frame costs, and what a server has: asked before anything is decoded."""

import socket
import tomllib
from pathlib import Path

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.small import square_video

import videoespresso as ve
from videoespresso.agents.prompts import load
from videoespresso.cli.app import main
from videoespresso.errors import SettingsError
from videoespresso.models import costs, served
from videoespresso.models.chat import _reasons, chat_model
from videoespresso.models.client import prices
from videoespresso.models.client.prices import image_tokens, price, text_tokens
from videoespresso.models.profiles import PROFILES, resolve
from videoespresso.models.specs import ModelSpec
from videoespresso.settings import ROLES, Settings

FRAME = (640, 360)
CAPTION = 60
"""Tokens of a caption: more than the prompt's sentence asks for."""


def frame_usd(spec: ModelSpec) -> float:
    known = price(spec)
    assert known is not None, f"{spec} has no price"
    return known.usd(image_tokens(spec, *FRAME), CAPTION)


def candidates(provider: str) -> list[ModelSpec]:
    """The models of `prices.toml` that could caption: they see, stay, and answer at once."""
    table = tomllib.loads((Path(prices.__file__).parent / "prices.toml").read_text())[provider]
    captioner = ModelSpec.parse(
        next(p.specs["captioner"] for p in PROFILES.values() if provider in p.specs["captioner"])
    )
    query = captioner.model.partition("?")[2]
    effort = "effort" in captioner.options
    names = [
        name
        for name, row in table.items()
        if not name.startswith("text-embedding")
        and "ends" not in row
        # a model that reasons bills what it thinks, unless it may be told not to
        and (provider != "openai" or effort or not _reasons(name))
    ]
    return [ModelSpec(provider, f"{name}?{query}" if query else name) for name in names]


@pytest.mark.parametrize("name", ["openai", "gemini", "anthropic"])
def test_no_model_of_the_provider_captions_a_frame_for_less(name: str) -> None:
    captioner = ModelSpec.parse(PROFILES[name].specs["captioner"])
    others = candidates(captioner.provider)
    assert len(others) > 2
    assert frame_usd(captioner) == min(frame_usd(other) for other in others)
    assert not prices.ends(captioner)


def test_the_captioner_costs_a_twentieth_of_gpt_4o_mini() -> None:
    mini = ModelSpec.parse("openai:gpt-4o-mini")
    now = ModelSpec.parse(PROFILES["openai"].specs["captioner"])
    assert image_tokens(mini, *FRAME) == 14167
    assert frame_usd(mini) > 20 * frame_usd(now)
    assert PROFILES["openai"].specs["generator"] == "openai:gpt-4o"
    assert now.options["detail"] == "low"


def test_formulas_are_said_as_they_are_counted() -> None:
    said = {
        "openai:gpt-4o": "85+170 a 512 tile",
        "openai:gpt-4o?detail=low": "85",
        "openai:gpt-4.1-nano": "32x32 patches*2.46",
        "google_genai:gemini-2.5-flash": "258 a tile",
        "anthropic:claude-haiku-4-5": "width*height/750",
        "ollama:qwen3-vl": "28x28 patches",
    }
    assert {s: prices.image_formula(ModelSpec.parse(s)) for s in said} == said


def test_a_model_that_ends_says_when() -> None:
    assert prices.ends(ModelSpec.parse("openai:gpt-4o-2024-08-06?detail=high")) == "2027-01-14"
    assert prices.ends(ModelSpec.parse("openai:gpt-4o@http://h/v1")) == ""
    assert prices.ends(ModelSpec.parse("nobody:x")) == ""


def test_a_model_that_was_shut_down_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-12345678")
    given = {"model": "openai:gpt-4.1-nano", "cache_dir": tmp_path}  # ended on 2026-10-23
    with_nano = ve.open_context(Settings.load(given, environ={}))
    assert any("shut down by its provider on 2026-10-23" in w for w in with_nano.warnings)
    given |= {"model": "openai:gpt-6-luna", "detector": "off"}
    assert not ve.open_context(Settings.load(given, environ={})).warnings


# ---- a server


def test_the_server_is_where_the_setting_says_and_its_model_what_it_serves() -> None:
    with fake.Server([fake.serves("qwen3-vl-8b")]) as server:
        settings = Settings(profile="server", server_url=f"{server.url}/")
        roles = resolve(settings)
        assert set(roles) == set(ROLES)
        assert roles["captioner"].spec == f"openai:@{server.url}"
        found = served.located(roles, ("captioner", "reasoner"))
        assert found["captioner"].spec == f"openai:qwen3-vl-8b@{server.url}"
        assert found["detector"] == roles["detector"]
        assert len(server.paths) == 1


def test_a_given_name_is_not_looked_up() -> None:
    spec = ModelSpec.parse("openai:x@http://localhost:9/v1")
    assert served.named(spec) is spec


@pytest.mark.parametrize(
    ("behaviour", "error", "hint"),
    [
        (fake.serves(), "serves no model", "Load one"),
        (fake.serves("a", "b"), "serves 2 models: a, b", "-m openai:a@http"),
        (fake.status(404), "no list of models", "ends in /v1"),
        (fake.html(), "no list of models", "ends in /v1"),
        (fake.status(401), "wants a key", "OPENAI_API_KEY"),
        (lambda exchange: exchange.send_json(200, {"data": "x"}), "no list", "/v1"),
    ],
)
def test_what_cannot_be_taken_is_a_sentence(
    behaviour: fake.Behaviour, error: str, hint: str
) -> None:
    with fake.Server([behaviour]) as server, pytest.raises(SettingsError, match=error) as caught:
        served.named(ModelSpec.parse(f"openai:@{server.url}"))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("key", "sent"), [("sk-proj-planted-12345678", False), ("word-for-vllm", True)]
)
def test_a_key_that_only_openai_gives_out_reaches_no_server_of_ones_own(
    key: str, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    behaviour = fake.by_path(("/models", fake.serves("m")), otherwise=fake.say("hi"))
    with fake.Server([behaviour]) as server:
        chat_model(served.named(ModelSpec.parse(f"openai:@{server.url}"))).invoke("hi")
        headers = [str(one.get("authorization")) for one in server.headers]
    assert len(headers) == 2
    assert [key in header for header in headers] == [sent, sent]


def test_an_adapter_is_not_the_model() -> None:
    rows = [{"id": "lora", "parent": "base"}, {"id": "base", "parent": None}]
    with fake.Server([lambda exchange: exchange.send_json(200, {"data": rows})]) as server:
        assert served.model_names(server.url) == ("base", "lora")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("name", ["", "x"])
def test_a_closed_port_is_found_before_anything_is_decoded(name: str, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    settings = Settings.load({"model": f"openai:{name}@{url}", "cache_dir": tmp_path}, environ={})
    with pytest.raises(SettingsError, match="nothing answers at http://127") as caught:
        ve.ask(square_video(tmp_path / "clip.mp4"), "What happens?", settings=settings)
    assert "VIDEOESPRESSO_SERVER_URL" in caught.value.hint
    assert not list((tmp_path / "frames").rglob("*.jpg"))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h", "http://me:pass@h/v1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        resolve(Settings.load({"profile": "server", "server_url": url}, environ={}))


# ---- Ollama


def test_ollama_is_asked_for_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake.Server([fake.ollama_has("gemma3:4b", "llava:latest")]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url.removeprefix("http://").removesuffix("/v1"))
        served.check([ModelSpec.parse("ollama:llava"), ModelSpec.parse("ollama:gemma3:4b")])
        spec = ModelSpec.parse(PROFILES["ollama"].specs["reasoner"])
        with pytest.raises(SettingsError, match=r"it has gemma3:4b, llava:latest") as caught:
            served.check([spec])
        assert f"ollama pull {spec.model}" in caught.value.hint
        assert server.paths == ["/api/tags"] * 3


def test_an_empty_and_an_absent_ollama(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec.parse("ollama:x")
    with fake.Server([fake.ollama_has()]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url.removesuffix("/v1"))
        with pytest.raises(SettingsError, match="no model yet"):
            served.check([spec])
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{closed_port()}")
    with pytest.raises(SettingsError, match="is Ollama running") as caught:
        served.check([spec])
    assert "ollama serve" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://localhost:11434"),
        ("0.0.0.0", "http://localhost:11434"),
        ("box:1234", "http://box:1234"),
        ("https://ollama.example", "https://ollama.example"),
    ],
)
def test_where_ollama_is(host: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert served.ollama_url() == url


def test_a_dry_run_without_a_key_says_why_it_needs_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["dataset", "build", "clip.mp4", "--out", str(tmp_path / "set"), "--dry-run"]
    assert main([*line, "--profile", "openai"]) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert "really makes up to 3 videos" in printed
    assert "needs OPENAI_API_KEY" in printed
    assert not (tmp_path / "set").exists()


def test_the_estimate_counts_the_prompts_that_are_sent() -> None:
    assert text_tokens([load("captioner").text]) == costs.ONE
    assert text_tokens([load("captioner_sheet").text]) == costs.SHEET
    luna, own = map(ModelSpec.parse, ("openai:gpt-6-luna", "openai:gpt-6-luna@http://a.test/v1"))
    assert costs.captions(luna).input == 8 * costs.SHEET  # 60 frames
    assert costs.captions(own).input == 60 * costs.ONE
