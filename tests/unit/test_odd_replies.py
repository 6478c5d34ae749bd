"""Counts that no call has, vectors out of order, keys that no header holds."""

from typing import Any

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.server_agent import agent, words

from videoespresso.errors import ModelError, SettingsError
from videoespresso.models.chat import chat_model
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
