"""What was learned of a server: for it alone, shown by the doctor, forgotten on order."""

from pathlib import Path

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.server_agent import words
from typer.testing import CliRunner

from videoespresso.agents.base import Agent
from videoespresso.cli.app import app
from videoespresso.cli.doctor import _remembered
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.chat import chat_model
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec

SPEC = ModelSpec.parse("openai:tester")


def no_temperature(exchange: fake.Exchange) -> None:
    refused = fake.status(400, "Unsupported value: 'temperature' does not support 0.0.")
    (refused if "temperature" in exchange.body else fake.say("A dog."))(exchange)


def ask(server: fake.Server, replies: ReplyCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a server that the environment names, and not the spec."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    words(Agent("captioner", SPEC, chat_model(SPEC), usage_log=UsageLog(), replies=replies))


def test_what_one_server_lacks_another_is_asked_for(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = ReplyCache()
    with fake.Server([no_temperature]) as one, fake.Server([fake.say("A cat.")]) as other:
        ask(one, replies, monkeypatch)
        ask(other, replies, monkeypatch)
        assert "temperature" in other.requests[0]
    (check,) = _remembered(replies.path)
    assert check.detail.startswith("openai:tester (server ")
    assert "does not take temperature (20" in check.detail
    assert "cache clear --learned" in check.hint
    done = CliRunner().invoke(app, ["cache", "clear", "--learned", "--yes"])
    assert done.exit_code == 0, done.output
    assert list(_remembered(replies.path)) == []
    assert replies.stats().replies == 2  # what was paid stays


def test_nothing_is_shown_where_nothing_was_learned(tmp_path: Path) -> None:
    assert list(_remembered(tmp_path / "none.sqlite")) == []
    assert not (tmp_path / "none.sqlite").exists()
