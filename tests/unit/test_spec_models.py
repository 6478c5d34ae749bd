"""From a spec to a model."""

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest

from videoespresso.errors import ModelError, SettingsError
from videoespresso.models.chat import NO_KEY, chat_model
from videoespresso.models.client.prices import FREE, price
from videoespresso.models.specs import ModelSpec, is_private


def test_no_key_is_a_settings_error_before_any_request() -> None:
    with pytest.raises(SettingsError, match="key") as caught:
        chat_model("openai:gpt-4o")
    assert "OPENAI_API_KEY" in caught.value.hint


def test_a_local_server_needs_no_key_and_gets_ours_never(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chat_model("openai:m@http://localhost:9/v1")
    assert model.openai_api_key.get_secret_value() == NO_KEY  # type: ignore[attr-defined]
    assert model.max_retries == 0  # type: ignore[attr-defined]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine-12345678")
    assert "sk-mine" not in repr(chat_model("openai:m@http://localhost:9/v1"))


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://192.168.1.5:8000/v1", True),
        ("http://gpubox:8000/v1", True),
        ("http://gpubox.local/v1", True),
        ("http://[::1]:8000/v1", True),
        ("https://api.reseller.example/v1", False),
        ("http://8.8.8.8/v1", False),
        ("", False),
    ],
)
def test_a_server_of_ones_own_network_needs_no_key(url: str, private: bool) -> None:
    assert is_private(url) is private
    if url and private:
        assert chat_model(f"openai:m@{url}")
    elif url:
        with pytest.raises(SettingsError, match="needs a key"):
            chat_model(f"openai:m@{url}")


def test_the_sdk_variables_for_a_base_url_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec.parse("openai:gpt-4o")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:9/v1")
    assert chat_model(spec).openai_api_base == "http://localhost:9/v1"  # type: ignore[attr-defined]
    assert price(spec) == FREE
    monkeypatch.setenv("OPENAI_BASE_URL", "https://reseller.example/v1")
    assert price(spec) is None


def test_reasoning_models_get_their_own_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-12345678")

    def sent(spec: str) -> dict[str, Any]:
        return chat_model(spec, max_tokens=9)._get_request_payload("hi")  # type: ignore[attr-defined, no-any-return]

    plain, reasoning = sent("openai:gpt-4o"), sent("openai:gpt-5-mini")
    local = sent("openai:qwen@http://localhost:9/v1")
    assert (plain["temperature"], plain["max_completion_tokens"]) == (0.0, 9)
    assert "temperature" not in reasoning
    assert (local["temperature"], local["max_tokens"]) == (0.0, 9)
    assert "max_completion_tokens" not in local


class Langchain(ModuleType):
    """`langchain.chat_models`, as far as we use it."""

    def __init__(self, answer: object) -> None:
        super().__init__("langchain.chat_models")
        self.answer = answer
        self.asked: dict[str, Any] = {}

    def init_chat_model(self, model: str, **options: Any) -> object:
        self.asked = {"model": model, **options}
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def with_langchain(patch: pytest.MonkeyPatch, answer: object) -> Langchain:
    fake = Langchain(answer)
    patch.setitem(sys.modules, "langchain", ModuleType("langchain"))
    patch.setitem(sys.modules, "langchain.chat_models", fake)
    patch.setattr(importlib.util, "find_spec", lambda name: object())
    return fake


def test_options_of_a_spec_are_not_of_the_models_name() -> None:
    text = "openai:gpt-6-luna?detail=low&effort=none"
    spec = ModelSpec.parse(text)
    assert (str(spec), spec.name) == (text, "gpt-6-luna")
    assert spec.options == {"detail": "low", "effort": "none"}
    assert price(spec) == price(ModelSpec.parse("openai:gpt-6-luna"))
    assert price(spec) is not None
    assert ModelSpec.parse("hf:x/y?dtype=float16").name == "x/y"
    for wrong in ("openai:gpt-4o?detail=lowest", "openai:gpt-4o?size=3", "google_genai:g?detail="):
        with pytest.raises(SettingsError, match="has no option") as caught:
            ModelSpec.parse(wrong)
        assert "detail=low" in caught.value.hint


def test_options_reach_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-12345678")
    model = chat_model("openai:gpt-6-luna?detail=low&effort=none", max_tokens=9)
    sent = model._get_request_payload("hi")  # type: ignore[attr-defined]
    assert (sent["model"], sent["reasoning_effort"]) == ("gpt-6-luna", "none")
    assert sent["max_completion_tokens"] == 9
    assert "detail" not in sent


def test_other_providers_go_through_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    made = object()
    fake = with_langchain(monkeypatch, made)
    assert chat_model("mistralai:pixtral@https://h/v1", timeout_s=7) is made
    assert fake.asked["model_provider"] == "mistralai"
    assert fake.asked["base_url"] == "https://h/v1"
    assert (fake.asked["max_retries"], fake.asked["timeout"]) == (0, 7)
    assert chat_model("ollama:llava") is made
    assert fake.asked["num_ctx"] == 16384
    assert "max_retries" not in fake.asked
    assert fake.asked["num_predict"] > 0


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (
            ImportError("requires langchain-mistralai"),
            SettingsError,
            "pip install langchain-mistralai",
        ),
        (ValueError("Unsupported provider\nmore"), SettingsError, "MISTRALAI_API_KEY"),
    ],
)
def test_what_a_provider_lacks_is_named(
    error: Exception, kind: type[Exception], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_langchain(monkeypatch, error)
    with pytest.raises(kind) as caught:
        chat_model("mistralai:pixtral")
    assert hint in caught.value.hint  # type: ignore[attr-defined]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "packages"),
    [
        ("google_genai:gemini-2.5-flash", '"videoespresso[gemini]"'),
        ("mistralai:pixtral", "langchain langchain-mistralai"),
        ("ollama:qwen2.5vl", '"videoespresso[ollama]"'),
        ("anthropic:claude-sonnet-4-5", '"videoespresso[anthropic]"'),
    ],
)
def test_without_langchain_what_to_install_is_given(
    spec: str, packages: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="langchain") as caught:
        chat_model(spec)
    assert caught.value.hint == f"pip install {packages}"


@pytest.mark.extras
def test_a_provider_whose_package_is_missing_is_named_by_langchain_itself() -> None:
    if importlib.util.find_spec("langchain_mistralai") is not None:
        pytest.skip("it is installed")
    pytest.importorskip("langchain")
    with pytest.raises(SettingsError, match="langchain-mistralai") as caught:
        chat_model("mistralai:pixtral")
    assert caught.value.hint == "pip install langchain-mistralai"


def test_hf_without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    model = chat_model("hf:some/model")  # nothing is imported yet
    with pytest.raises(ModelError, match="torch") as caught:
        model.invoke("hi")
    assert "videoespresso[local]" in caught.value.hint
    with pytest.raises(ModelError, match="torch"):
        list(model.stream("hi"))


@pytest.mark.parametrize("text", ["opnai:x", "antropic:claude", "olama:llava", "google-genai:x"])
def test_a_slip_of_the_pen_is_no_package_to_install(text: str) -> None:
    """A package of that name may be anybody's."""
    with pytest.raises(SettingsError, match="no provider") as caught:
        chat_model(text)
    assert caught.value.hint.startswith("Did you mean ")
    assert "pip" not in caught.value.hint
