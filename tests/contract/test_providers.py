"""Gemini and Claude through their own client classes, against a server that speaks as theirs do."""

import gc
import importlib.util
import json
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from PIL import Image
from pydantic import BaseModel
from tests.helpers import chat_server as fake

from videoespresso.agents.base import Agent, Prompt, Retries, Turn
from videoespresso.errors import ModelError, SettingsError
from videoespresso.models.chat import chat_model
from videoespresso.models.client.errors import AccountError, BusyError, RefusedError
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.profiles import PROFILES
from videoespresso.models.specs import ModelSpec

pytestmark = pytest.mark.extras

PROMPT = Prompt("captioner", "You are the captioner.", "0" * 64)
TURNS = (Turn("user", (Image.new("RGB", (64, 36), "red"), "Describe this frame.")),)


class Seen(BaseModel):
    """What a typed reply holds."""

    colour: str


class Provider(NamedTuple):
    """What differs: the package, the variable of the key, and the forms of reply and error."""

    package: str
    key: str

    def reply(self, text: str, model: str, *, typed: bool) -> dict[str, Any]:
        if self.package == "langchain_anthropic":
            content: list[dict[str, Any]] = [{"type": "text", "text": text}]
            if typed:
                call = {"type": "tool_use", "id": "toolu_1", "name": "Seen"}
                content = [call | {"input": json.loads(text)}]
            usage = {"input_tokens": 100, "output_tokens": 7}
            about = {"id": "msg_1", "type": "message", "role": "assistant", "model": model}
            return about | {"content": content, "stop_reason": "end_turn", "usage": usage}
        content_ = {"role": "model", "parts": [{"text": text}]}
        counts = {"promptTokenCount": 100, "candidatesTokenCount": 7, "totalTokenCount": 107}
        candidates = [{"content": content_, "finishReason": "STOP", "index": 0}]
        return {"candidates": candidates, "usageMetadata": counts, "modelVersion": model}

    def error(self, code: int) -> dict[str, Any]:
        if self.package == "langchain_anthropic":
            return {"type": "error", "error": {"type": "test_error", "message": "no"}}
        return {"error": {"code": code, "message": "no", "status": "TEST"}}


PROVIDERS = {
    "anthropic": Provider("langchain_anthropic", "ANTHROPIC_API_KEY"),
    "gemini": Provider("langchain_google_genai", "GOOGLE_API_KEY"),
}


@pytest.fixture(autouse=True)
def quiet_ends() -> Iterator[None]:
    """The SDKs leave connections to the garbage collector, which would warn in a later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(params=PROVIDERS)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    provider = PROVIDERS[request.param]
    if importlib.util.find_spec(provider.package) is None:
        pytest.skip(f"{provider.package} is not installed")
    monkeypatch.setenv(provider.key, "AIzaPlantedPlantedPlanted123")
    return str(request.param)


def agent(name: str, server: fake.Server, role: str = "captioner") -> Agent:
    url = server.url.removesuffix("/v1")
    spec = ModelSpec.parse(f"{PROFILES[name].specs[role]}@{url}")
    model = chat_model(spec, timeout_s=20)
    retries = Retries(tries=2, base_s=0.0)
    return Agent(role, spec, model, usage_log=UsageLog(), retries=retries)


def says(name: str, text: str, *, typed: bool = False) -> fake.Behaviour:
    def behave(exchange: fake.Exchange) -> None:
        exchange.send_json(200, PROVIDERS[name].reply(text, "snapshot-1", typed=typed))

    return behave


def test_a_picture_goes_out_and_words_come_in(name: str) -> None:
    with fake.Server([says(name, "A red frame.")]) as server:
        reply = agent(name, server).text(PROMPT, TURNS)
    assert reply.value == "A red frame."
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (100, 7)
    body, text = server.requests[0], json.dumps(server.requests[0])
    assert "You are the captioner." in text
    assert "/9j/" in text.replace("_", "/")  # a JPEG in base64, or its form for addresses
    if name == "gemini":
        assert "gemini-2.5-flash-lite:generateContent" in server.paths[0]
        assert body["generationConfig"]["mediaResolution"] == "MEDIA_RESOLUTION_MEDIUM"
        assert body["generationConfig"]["maxOutputTokens"] == 1024
    else:
        assert (body["model"], body["max_tokens"]) == ("claude-haiku-4-5", 1024)
        assert body["temperature"] == 0.0


def test_a_model_with_its_own_rules_gets_them(name: str) -> None:
    with fake.Server([says(name, "Yes.")]) as server:
        agent(name, server, "reasoner").text(PROMPT, TURNS)
    body = server.requests[0]
    if name == "gemini":
        assert body["generationConfig"]["thinkingConfig"] == {"thinking_level": "LOW"}
        assert "temperature" not in body["generationConfig"]
    else:
        assert "temperature" not in body


def test_a_typed_reply(name: str) -> None:
    with fake.Server([says(name, '{"colour": "red"}', typed=True)]) as server:
        reply = agent(name, server).typed(PROMPT, TURNS, Seen)
    assert reply.value == Seen(colour="red")
    assert reply.how[-1] in ("json_schema: ok", "tool: ok")
    if name == "gemini":
        about = server.requests[0]["generationConfig"]
        assert about["mediaResolution"] == "MEDIA_RESOLUTION_MEDIUM"
        assert about["responseMimeType"] == "application/json"


@pytest.mark.parametrize(
    ("code", "kind"), [(401, AccountError), (404, ModelError), (429, BusyError), (503, ModelError)]
)
def test_an_error_is_ours_and_tried_again_only_where_that_helps(
    name: str, code: int, kind: type[ModelError]
) -> None:
    def behave(exchange: fake.Exchange) -> None:
        exchange.send_json(code, PROVIDERS[name].error(code))

    with fake.Server([behave]) as server, pytest.raises(kind) as caught:
        agent(name, server).text(PROMPT, TURNS)
    assert "AIza" not in str(caught.value)
    assert f"{code}" in str(caught.value)
    assert len(server.requests) == (2 if code in (429, 503) else 1)


REFUSED = {
    "anthropic": [{"content": [], "stop_reason": "refusal"}],
    "gemini": [
        {"candidates": [{"finishReason": "SAFETY", "index": 0}]},
        {"candidates": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
    ],
}


def test_what_a_filter_holds_back_is_a_refusal_and_not_asked_for_again(name: str) -> None:
    for changed in REFUSED[name]:
        body = PROVIDERS[name].reply("", "m", typed=False) | changed
        with fake.Server([lambda e, b=body: e.send_json(200, b)]) as server:
            with pytest.raises(RefusedError, match="held the reply back"):
                agent(name, server).typed(PROMPT, TURNS, Seen)
            assert len(server.requests) == 1


@pytest.mark.parametrize(
    "text", ["Your credit balance is too low to access the API.", "API key not valid. Pass one."]
)
def test_an_account_that_is_served_nothing_is_named_as_that(name: str, text: str) -> None:
    def behave(exchange: fake.Exchange) -> None:
        error = {"type": "invalid_request_error", "code": 400, "message": text, "status": "X"}
        exchange.send_json(400, {"type": "error", "error": error})

    with fake.Server([behave]) as server:
        with pytest.raises(AccountError, match=text[:20]) as caught:
            agent(name, server).typed(PROMPT, TURNS, Seen)
        assert PROVIDERS[name].key in (caught.value.hint or "")
        assert len(server.requests) == 1


def test_no_key_is_found_before_any_request(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROVIDERS[name].key)
    with pytest.raises(SettingsError, match="needs a key") as caught:
        chat_model(PROFILES[name].specs["captioner"])
    assert PROVIDERS[name].key in caught.value.hint
