"""A dataset with an embedder on a server: its calls are among the limits, and are made once."""

from pathlib import Path

import pytest
import tests.helpers.chat_server as fake
from lab.rehearsal_server import RehearsalServer
from tests.helpers.builds import Builds
from tests.unit.test_embedding import vectors

from videoespresso.errors import BudgetExceeded


def test_embeddings_are_counted_limited_and_paid_once(tmp_path: Path) -> None:
    with RehearsalServer() as chat, fake.Server([vectors]) as server:
        builds = Builds(tmp_path, chat, videos=2)
        spec = f"openai:vectors@{server.url}"
        built = builds.build("x", embedder=spec)
        asked = len(server.requests)
        assert asked == built.usage["embedder"].calls > 0
        told = sum(usage.calls for usage in built.usage.values())
        assert told == chat.counts.as_json()["requests"] + asked

        again = builds.build("x", embedder=spec)
        assert len(server.requests) == asked, "a rerun asks nothing"
        assert sum(usage.calls for usage in again.usage.values()) == 0

        chat.forget()
        server.requests.clear()
        with pytest.raises(BudgetExceeded):
            builds.build("y", embedder=spec, budget_calls=told - 1)
        assert chat.counts.as_json()["requests"] + len(server.requests) <= told - 1
        assert server.requests
