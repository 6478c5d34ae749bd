"""Agents against a server that misbehaves: what is sat out, and what another try cannot help."""

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.server_agent import AT_ONCE, agent, words

from videoespresso.errors import ModelError
from videoespresso.models.client.retry import Retries, _say_late


@pytest.mark.parametrize(
    "trouble",
    [
        fake.status(429, retry_after="0"),
        fake.status(500),
        fake.status(503),
        fake.drop(),
        fake.cut(),
        fake.html(),
        fake.no_choices(),
        fake.say(""),
    ],
    ids=["429", "500", "503", "drop", "cut", "html", "no choices", "empty"],
)
def test_trouble_that_passes_is_sat_out(trouble: fake.Behaviour) -> None:
    with fake.Server([trouble, fake.say("frame two")]) as server:
        asker = agent(server)
        reply = words(asker)
        assert len(server.requests) == 2
    assert reply.value == "frame two"
    assert reply.usage.calls == 2
    assert asker.budget.spent.calls == 2


def test_a_hanging_server_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """That a longer time may be needed is said at the first try, and once."""
    _say_late.cache_clear()
    with fake.Server([fake.hang(), fake.hang(), fake.say("late")]) as server:
        assert words(agent(server, timeout_s=1.0)).value == "late"
        assert len(server.requests) >= 3
    said = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert [("raise timeout_s" in text, "from zero" in text) for text in said] == [(True, True)]


def test_a_servers_words_are_quoted_once_and_without_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-12345678")
    words_of_it = "the tensor cores are on holiday, key sk-planted-12345678"
    trouble = [fake.status(400, words_of_it)] * 9
    with fake.Server(trouble) as server, pytest.raises(ModelError) as caught:
        words(agent(server))
    text = f"{caught.value} {caught.value.hint}"
    assert text.count("tensor cores") == 1
    assert "sk-planted" not in text


@pytest.mark.parametrize(
    ("trouble", "text"),
    [
        (fake.status(429, retry_after="0"), "429"),
        (fake.status(500), "500"),
        (fake.drop(), "connection"),
        (fake.cut(), "connection"),
        (fake.html(), "not a chat completion"),
        (fake.no_choices(), "answered without a reply"),
    ],
    ids=["429", "500", "drop", "cut", "html", "no choices"],
)
def test_trouble_that_stays_ends_after_bounded_tries(trouble: fake.Behaviour, text: str) -> None:
    with fake.Server([trouble]) as server:
        asker = agent(server)
        with pytest.raises(ModelError, match=text) as caught:
            words(asker)
        assert len(server.requests) == AT_ONCE.tries
    assert caught.value.retryable
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert asker.usage_log.total().calls == AT_ONCE.tries


def test_nobody_listens() -> None:
    with fake.Server([fake.say("")]) as server:
        pass
    with pytest.raises(ModelError, match="connection") as caught:
        words(agent(server))
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("code", "error_code", "hint"),
    [
        (401, None, "OPENAI_API_KEY"),
        (403, None, "OPENAI_API_KEY"),
        (404, None, "/v1"),
        (400, None, "form of request"),
        (429, "insufficient_quota", "billing"),
    ],
)
def test_what_another_try_cannot_help_is_tried_once(
    code: int, error_code: str | None, hint: str
) -> None:
    with fake.Server([fake.status(code, error_code=error_code)]) as server:
        with pytest.raises(ModelError, match=str(code)) as caught:
            words(agent(server))
        assert len(server.requests) == 1
    assert not caught.value.retryable
    assert hint in caught.value.hint


def test_retry_after_is_honoured_and_bounded() -> None:
    waits: list[float | None] = []

    class Noted(Retries):
        def wait_s(self, tried: int, error: ModelError) -> float | None:
            waits.append(super().wait_s(tried, error))
            return waits[-1] and 0.0

    script = [fake.status(429, retry_after="3"), fake.status(429, retry_after="500")]
    with fake.Server(script) as server, pytest.raises(ModelError) as caught:
        words(agent(server, retries=Noted(longest_s=60.0)))
    assert waits == [3.0, None]
    assert caught.value.retry_after_s == 500.0
