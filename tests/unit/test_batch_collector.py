"""Batch mode against a server that speaks the Batch API: what is collected, sent and taken in."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.batch_runs import (
    KEY,
    PROMPT,
    Run,
    answered,
    files,
    flawed,
    question,
    serving,
    verdict,
)
from tests.helpers.batch_server import BatchServer

from videoespresso.agents.base import Agent, Turn
from videoespresso.errors import BudgetExceeded, MemoryStoreError
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.batch_api.collector import BatchCollector, BatchState, Deferred
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as running:
        yield running


def test_from_questions_to_replies(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    came = run.ask(range(5)) + run.ask(range(5))
    assert all(isinstance(deferred, Deferred) for deferred in came)
    assert (run.wanted, run.collector.waiting) == (5, 0)
    (state,) = run.collector.submit()
    assert (state.status, state.requests, state.spec) == ("in_progress", 5, str(run.agent.spec))
    assert (run.wanted, run.collector.waiting) == (0, 5)
    assert all(isinstance(deferred, Deferred) for deferred in run.ask(range(5)))
    assert run.wanted == 0, "on its way already"
    assert run.collector.poll() == [state]
    server.finish()
    (ended,) = run.collector.poll()
    assert (ended.status, ended.good, ended.bad, ended.batch_id) == ("ended", 5, 0, state.batch_id)
    assert run.collector.poll() == []
    replies = run.ask(range(5))
    assert answered(replies) == [0, 1, 2, 3, 4]
    assert replies[0].how == ("cache", "batch", "json_schema: ok")
    assert replies[0].snapshot == "tester-2026-01-01 fp_1"
    assert (replies[0].cost.calls, replies[0].cost.input_tokens, replies[0].cost.images) == (
        1,
        100,
        1,
    )
    assert run.usage_log.total().calls == run.budget.spent.calls == 5
    assert len(server.executed) == 5
    assert not server.online
    assert [name for name, _ in server.files.values()] == ["out.jsonl"]  # no pixels there either
    assert server.keys == {f"Bearer {KEY}"}


def test_the_body_is_what_would_have_been_sent(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(1))
    run.collector.submit()
    server.finish()
    online = run.named("openai:tester")
    online.collector = online.replies = None
    run.ask(range(1), online)
    (sent,) = server.online
    sent.pop("stream", None)
    assert server.executed == [sent]
    assert sent["messages"][-1]["content"][0]["image_url"]["url"].startswith("data:image/")


def test_no_pixels_and_no_keys_stay_on_disk(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(3))
    assert len(files(tmp_path)) == 1
    run.collector.submit()
    assert not files(tmp_path)
    run.ask(range(5, 7))
    run.collector.close()
    assert not files(tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert KEY.encode() not in content, path
            assert b"base64" not in content, path


@pytest.mark.parametrize("limit", [{"most_requests": 2}, {"most_bytes": 4000}])
def test_files_are_split_at_the_limits(
    server: BatchServer, tmp_path: Path, limit: dict[str, int]
) -> None:
    run = Run(server, tmp_path, **limit)
    run.ask(range(7))
    states = run.collector.submit()
    assert len(states) > 2
    assert sum(state.requests for state in states) == 7
    for name, content in server.files.values():
        assert len(content.splitlines()) <= limit.get("most_requests", 7), name
        assert len(content) <= limit.get("most_bytes", 10**9)
    server.finish()
    run.collector.poll()
    assert answered(run.ask(range(7))) == list(range(7))


def test_a_file_has_one_model(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)  # the server asserts it
    run.ask(range(3))
    run.ask(range(3), run.named("openai:other"))
    assert run.wanted == 6
    assert len(run.collector.submit()) == 2


def test_words_tools_and_methods(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.replies.remember_inability(str(run.agent.spec), "json_schema")
    run.ask(range(1))
    with pytest.raises(Deferred):
        run.agent.text_batch(PROMPT, [[Turn("user", (f"Question {k}",))] for k in range(3)])
    assert run.wanted == 4  # all are asked for before the first is waited for
    run.collector.submit()
    server.finish()
    run.collector.poll()
    (typed,) = run.ask(range(1))
    assert typed.how == ("cache", "batch", "tool: ok")
    assert typed.value.number == 0
    words = run.agent.text_batch(PROMPT, [[Turn("user", (f"Question {k}",))] for k in range(3)])
    assert [json.loads(reply.value)["number"] for reply in words] == [0, 1, 2]


def test_models_without_a_batch_api_are_asked_at_once(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    agent = Agent(
        "verifier", ModelSpec.parse("embedded:"), chat_model("embedded:"), usage_log=run.usage_log,
        replies=run.replies, collector=run.collector,
    )  # fmt: skip
    assert agent.text(PROMPT, [Turn("user", ("Question 1",))]).value


def test_the_folder_alone_is_enough_days_later(server: BatchServer, tmp_path: Path) -> None:
    first = Run(server, tmp_path)
    first.ask(range(3))
    first.collector.submit()
    first.collector.close()
    server.finish()
    replies, usage_log = ReplyCache(tmp_path / "replies.sqlite"), UsageLog()
    later = BatchCollector(
        tmp_path / "batches", replies, Budget(), usage_log
    )  # no agent, no schema
    (state,) = later.poll()
    assert (state.good, state.bad) == (3, 0)
    assert replies.stats().replies == 3
    later.close()


def test_a_reply_taken_in_unread_that_does_not_fit_is_sent_back(
    server: BatchServer, tmp_path: Path
) -> None:
    first = Run(server, tmp_path)
    first.ask(range(2))
    first.collector.submit()
    first.collector.close()
    server.execute = lambda body: flawed(body) if question(body) == 1 else verdict(body)
    server.finish()
    later = Run(server, tmp_path)
    assert later.collector.poll()[0].good == 2
    came = later.ask(range(2))
    assert answered(came) == [0]
    assert later.reasons == {}  # it is wanted again
    assert later.collector._store.request(came[1].key).rounds == 1
    assert later.collector._store.request(came[1].key).reason == "not JSON"


def test_one_collector_a_folder(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    with pytest.raises(MemoryStoreError, match="another process"):
        Run(server, tmp_path)
    run.collector.close()
    Run(server, tmp_path).collector.close()


def test_many_threads_ask_for_the_same_and_for_others(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path, most_requests=7)
    threads = [threading.Thread(target=run.ask, args=(range(20),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(state.requests for state in run.collector.submit()) == 20
    server.finish()
    states: list[BatchState] = run.collector.poll()
    assert [state.good for state in states] == [7, 7, 6]


def test_half_price_and_a_hard_budget(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setattr("videoespresso.models.client.prices.is_local", lambda url: False)
    monkeypatch.setattr("videoespresso.models.client.prices.openai_base_url", lambda: None)
    run = Run(server, tmp_path, Budget(max_usd=0.1))
    spec = ModelSpec.parse("openai:gpt-4o")
    agent = Agent(
        "verifier", spec, chat_model(spec), usage_log=run.usage_log, replies=run.replies,
        budget=run.budget, collector=run.collector,
    )  # fmt: skip
    with pytest.raises(BudgetExceeded, match="may cost"):
        run.ask(range(100), agent)
    deferred = run.wanted
    assert 5 < deferred < 100
    run.collector.submit()
    server.finish()
    run.collector.poll()
    # 100 tokens in at $2.50 and 7 out at $10 a million, half of it
    each = (100 * 2.5e-6 + 7 * 1e-5) / 2
    assert run.budget.spent.usd == pytest.approx(deferred * each)
    assert run.usage_log.total().usd == pytest.approx(deferred * each)
    (reply,) = run.ask(range(1), agent)
    assert reply.cost.usd == pytest.approx(each)
    with pytest.raises(BudgetExceeded):  # what the replies left over goes on to the next ones
        run.ask(range(100), agent)
    assert run.wanted > 0


def test_what_is_on_its_way_counts_in_the_next_process(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(4))
    run.collector.submit()
    run.crash()
    budget = Budget(max_calls=5)
    later = Run(server, tmp_path, budget)
    with pytest.raises(BudgetExceeded, match="5 of 5"):
        later.ask(range(4, 9))
    assert later.wanted == 1
    server.finish()
    later.collector.poll()
    assert budget.spent.calls == 4
