"""Counts that no call has, vectors out of order, keys that no header holds."""

import json
import warnings
from typing import Any

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.server_agent import PROVIDERS, agent, provider_agent, typed, words
from tests.helpers.wires import WIRES

from videoespresso.errors import ModelError, SettingsError
from videoespresso.models.chat import chat_model
from videoespresso.models.client.envelope import mended
from videoespresso.models.embedders import embedder


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 1e30, "total_tokens": 1},
        {"prompt_tokens": 10**30, "completion_tokens": -1, "total_tokens": 1},
        {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
    ],
)
def test_a_count_that_no_call_has_is_estimated_as_one_that_is_missing(usage: Any) -> None:
    body = fake.completion({"role": "assistant", "content": "A dog runs."}, "m")
    with fake.Server([lambda e: e.send_json(200, body | {"usage": usage})]) as server:
        odd = words(agent(server))
    with fake.Server([fake.say("A dog runs.", usage=None)]) as server:
        none = words(agent(server))
    assert odd.value == "A dog runs."
    assert odd.usage.input_tokens == none.usage.input_tokens > 0
    assert odd.usage.output_tokens == none.usage.output_tokens > 0


def test_blocks_of_text_are_text_without_a_warning_that_has_the_words_in_it() -> None:
    blocks = [{"type": "text", "text": t} for t in ('{"frames": [3], ', '"why": "red"}')]
    body = fake.completion({"role": "assistant", "content": blocks}, "m")
    with fake.Server([lambda e: e.send_json(200, body)]) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert typed(agent(server)).value.frames == [3]
    assert len(server.requests) == 1


GOOD = fake.completion({"role": "assistant", "content": "A dog runs."}, "m")
WORDS = {"type": "text", "text": "A dog runs."}


def _body(**more: Any) -> Any:
    return GOOD | more


def _message(**more: Any) -> Any:
    return _body(choices=[{"index": 0, "message": GOOD["choices"][0]["message"] | more}])


@pytest.mark.parametrize(
    "body",
    [
        *(_body(usage=u) for u in ("none", [], {"prompt_tokens": "many"}, {"prompt_tokens": 1.5})),
        _body(usage={"prompt_tokens": 9, "prompt_tokens_details": "none"}),
        _body(usage={"prompt_tokens": float("nan"), "completion_tokens": float("inf")}),
        _body(choices=[{"finish_reason": ["stop"], "message": {"content": "A dog runs."}}]),
        *(_body(choices=[c]) for c in ("A dog runs.", {"text": "A dog runs."})),
        _body(choices=[{"message": "A dog runs."}]),
        *(_message(content=c) for c in (WORDS, [WORDS, None, 5], ["A dog ", "runs."])),
        _message(content=[{"type": "output_text", "text": "A dog runs."}]),
        *(_message(role=r) for r in (None, "model")),
        *(_message(tool_calls=c) for c in ("none", [None], [{"id": 5, "type": "function"}])),
        _message(function_call="none", refusal=5, audio="none"),
        *({"choices": GOOD["choices"]} | {k: 5} for k in ("id", "model", "system_fingerprint")),
        {"data": GOOD},
        [GOOD],
    ],
    ids=lambda body: str(body)[-60:],
)
def test_a_reply_that_was_paid_for_is_read_whatever_is_around_it(body: Any) -> None:
    with fake.Server([lambda e: e.send_json(200, body)]) as server:
        reply = words(agent(server))
    assert (reply.value, reply.usage.calls) == ("A dog runs.", 1)


def test_an_object_in_the_place_of_its_text_is_a_typed_reply() -> None:
    body = _message(content={"frames": [2, 5], "why": "it stops"})
    with fake.Server([lambda e: e.send_json(200, body)]) as server:
        assert typed(agent(server)).value.frames == [2, 5]


@pytest.mark.parametrize(
    "body", [_body(choices=[]), _body(choices=[None]), {"detail": "no"}, [], None, 5, "A dog runs."]
)
def test_an_answer_without_a_reply_is_said_as_it_came(body: Any) -> None:
    with (
        fake.Server([lambda e: e.send_json(200, body)]) as server,
        pytest.raises(ModelError) as caught,
    ):
        words(agent(server))
    text = str(caught.value)
    assert (
        f"openai:tester@{server.url}: it answered without a reply: {json.dumps(body)[:9]}" in text
    )
    assert caught.value.retryable
    assert "try again" in caught.value.hint


def test_a_good_reply_stays_as_it_is_byte_for_byte() -> None:
    good = json.dumps(GOOD | {"usage": {"prompt_tokens": 9, "cost": 0.1}}, indent=1).encode()
    assert mended("/v1/chat/completions", good) is good
    assert mended("/v1/files", b"[]") == b"[]"


@pytest.mark.parametrize("wire", ["anthropic", "gemini"])
def test_so_it_is_on_the_wires_of_others(wire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = PROVIDERS[wire]
    pytest.importorskip(found.package)
    monkeypatch.setenv(found.key, "not-needed")
    good = WIRES[wire].words("A dog runs.")
    odd = [
        good | {key: u} for key in ("usage", "usageMetadata") for u in ("none", {"a_tokens": "x"})
    ]
    if wire == "anthropic":
        odd += [
            good | {"content": c} for c in ("A dog runs.", [None, WORDS], [{"text": "A dog runs."}])
        ]
    for body in odd:
        with fake.Server([lambda e, body=body: e.send_json(200, body)]) as server:  # type: ignore[misc]
            assert words(provider_agent(wire, server.url)).value == "A dog runs."


def vectors(*rows: tuple[int, list[float]]) -> fake.Behaviour:
    data = [{"object": "embedding", "index": k, "embedding": row} for k, row in rows]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    body = {"object": "list", "model": "m", "data": data, "usage": usage}
    return lambda exchange: exchange.send_json(200, body)


def test_vectors_belong_to_texts_by_their_index() -> None:
    with fake.Server([vectors((1, [0.0, 1.0]), (0, [1.0, 0.0]))]) as server:
        rows = embedder(f"openai:m@{server.url}")(["a", "b"])
    assert rows.tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("row", [[], [float("nan")], [1e39]])
def test_a_vector_of_nothing_is_none(row: list[float]) -> None:
    with fake.Server([vectors((0, row))]) as server, pytest.raises(ModelError, match="gave 1"):
        embedder(f"openai:m@{server.url}")(["a"])


@pytest.mark.parametrize("key", ["sk-planted-01234\n", "sk planted 01234", "sk-pl\u0430nted-01234"])
def test_a_key_that_no_header_holds_is_said_before_any_request(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third has a Cyrillic letter."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(SettingsError, match="no key has") as caught:
        chat_model("openai:m@https://models.example/v1")
    assert key.strip() not in f"{caught.value} {caught.value.hint}"
