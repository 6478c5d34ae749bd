"""Every way a batch can end other than well, and a server that refuses."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.batch_runs import KEY, Run, answered, flawed, question, serving, verdict
from tests.helpers.batch_server import BatchServer

from videoespresso.errors import ModelError
from videoespresso.models.batch_api.collector import ROUNDS, Deferred
from videoespresso.models.batch_api.results import TRIES


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as running:
        yield running


def test_what_is_no_use_has_a_reason_and_another_round(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    server.execute = flawed
    run.ask(range(8))
    run.collector.submit()
    server.finish()
    (state,) = run.collector.poll()
    assert (state.good, state.bad) == (2, 6)
    reasons = " | ".join(run.reasons)
    assert sum(run.reasons.values()) == 6
    for word in ("not JSON", "cut at the length", "empty", "too many images", "no reply came",
                 "not a chat completion"):  # fmt: skip
        assert word in reasons
    assert run.budget.spent.calls == 7  # the broken line is not known to have been made
    came = run.ask(range(8))
    assert [isinstance(c, Deferred) for c in came] == [False, *[True] * 6, False]
    assert run.wanted == 6
    server.execute = lambda body: flawed(body) if question(body) == 1 else verdict(body)
    run.collector.submit()
    server.finish()
    run.collector.poll()
    assert list(run.reasons) == ["not JSON"]
    server.execute = verdict
    assert not server.online
    assert answered(run.ask(range(8))) == list(range(8))
    assert len(server.online) == 1  # two batches brought nothing for question 1: asked online


def test_an_expired_batch_keeps_what_was_done(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(5))
    run.collector.submit()
    server.finish("expired", only=3)
    (state,) = run.collector.poll()
    assert (state.status, state.good, state.bad) == ("ended", 3, 2)
    assert state.reason == "the batch expired"
    assert run.reasons == {"batch_expired: This request could not be executed.": 2}
    assert answered(run.ask(range(5))) == [0, 1, 2]
    assert run.wanted == 2
    run.collector.submit()
    server.finish()
    run.collector.poll()
    assert answered(run.ask(range(5))) == [0, 1, 2, 3, 4]
    assert len(server.executed) == 5


def test_a_failed_batch_says_why(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(2))
    run.collector.submit()
    server.fail("Enqueued token limit reached")
    (state,) = run.collector.poll()
    assert "Enqueued token limit reached" in state.reason
    assert (state.good, state.bad) == (0, 2)
    assert run.budget.spent.calls == 0


def refused(run: Run, server: BatchServer) -> None:
    """A round whose batches are all refused."""
    run.ask(range(4))
    run.collector.submit()
    server.fail("Enqueued token limit reached")
    run.collector.poll()


def test_a_refused_batch_is_no_round_and_is_sent_again_but_not_for_ever(
    server: BatchServer, tmp_path: Path
) -> None:
    run = Run(server, tmp_path)
    for _ in range(TRIES):
        refused(run, server)
    assert answered(run.ask(range(4))) == []
    with pytest.raises(ModelError, match=r"failed 3 times .*: Enqueued token limit") as caught:
        run.collector.submit()
    assert "fewer videos" in caught.value.hint
    assert len(server.batches) == TRIES
    run.collector.submit()  # another day
    server.finish()
    run.collector.poll()
    assert answered(run.ask(range(4))) == [0, 1, 2, 3]
    assert not server.online


def test_a_queue_that_takes_one_batch_at_a_time(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path, most_requests=1)
    for done in range(5):
        assert answered(run.ask(range(5))) == list(range(done))
        run.collector.submit()
        first = next(b for b in server.batches.values() if b["status"] == "in_progress")
        first["status"] = "finalizing"  # out of the way of `fail`
        server.fail("Enqueued token limit reached")
        server.finish()
        run.collector.poll()
    assert answered(run.ask(range(5))) == [0, 1, 2, 3, 4]
    assert not server.online


def test_a_batch_that_failed_in_the_middle_is_a_round(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    for _ in range(ROUNDS):
        run.ask(range(3))
        run.collector.submit()
        server.finish("failed", only=1)
        run.collector.poll()
    assert answered(run.ask(range(3))) == [0, 1, 2]
    assert [question(body) for body in server.online] == [2]


def test_a_batch_that_the_server_forgot(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(2))
    run.collector.submit()
    server.batches.clear()
    (state,) = run.collector.poll()
    assert state.bad == 2
    assert "does not know" in state.reason


def test_cancelled_at_the_server(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(4))
    run.collector.submit()
    server.finish("cancelled", only=1)
    (ended,) = run.collector.poll()
    assert (ended.good, ended.bad) == (1, 3)
    assert run.collector._store.request(run.ask(range(1, 2))[0].key).rounds == 0
    assert (run.budget._counts.usd_reserved, run.budget._counts.calls_reserved) == (0.0, 1)


def test_a_refusal_is_told_and_nothing_is_lost(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(2))
    server.refuse = {"POST /batches": 400}
    with pytest.raises(ModelError, match="400"):
        run.collector.submit()
    assert server.calls.count("POST /batches") == 1  # a second `create` could be paid twice
    server.refuse = {}
    run.collector.submit()
    assert server.calls.count("POST /files") == 1
    server.finish()
    run.collector.poll()
    assert answered(run.ask(range(2))) == [0, 1]


def test_a_server_that_is_down_for_a_moment(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(1))
    run.collector.submit()
    server.refuse = {"GET /files/…/content": 404}
    server.finish()
    with pytest.raises(ModelError, match="404"):
        run.collector.poll()
    server.refuse = {}
    run.collector.poll()
    assert answered(run.ask(range(1))) == [0]
