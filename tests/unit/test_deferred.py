"""Batch mode against a server that speaks the Batch API: every way a batch can end, and be cut."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import BaseModel
from tests.batch_server import BatchServer, Body
from tests.misbehaving import completion

from videoespresso.agents.base import Agent, Prompt, Retries, Turn
from videoespresso.agents.deferred import BatchCollector, BatchState, Deferred
from videoespresso.errors import BudgetExceeded, MemoryStoreError, ModelError, SettingsError
from videoespresso.memory.batches import BatchTable
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.budget import Budget
from videoespresso.models.chat import chat_model
from videoespresso.models.ledger import Ledger
from videoespresso.models.specs import ModelSpec

PROMPT = Prompt("verifier", "You are the verifier.", "0" * 64)
KEY = "sk-planted-0123456789abcdef"


class Verdict(BaseModel):
    good: bool
    number: int


def question(body: Body) -> int:
    """The number in a request's last text."""
    content = body["messages"][-1]["content"]
    text = content if isinstance(content, str) else content[-1]["text"]
    return int(text.split()[1])


def verdict(body: Body) -> tuple[int, Body]:
    """What a good model says, with its date."""
    text = json.dumps({"good": True, "number": question(body)})
    message = {"role": "assistant", "content": text}
    if tools := body.get("tools"):
        function = {"name": tools[0]["function"]["name"], "arguments": text}
        calls = [{"id": "c", "type": "function", "function": function}]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
    reply = completion(message, f"{body['model']}-2026-01-01")
    return 200, reply | {"system_fingerprint": "fp_1"}


RUNS: "list[Run]" = []
"""Those of this test."""


class Run:
    """A builder in miniature: what one process has."""

    def __init__(
        self, server: BatchServer, folder: Path, budget: Budget | None = None, **more: Any
    ):
        self.folder, self.server = folder, server
        self.replies, self.ledger = ReplyCache(folder / "replies.sqlite"), Ledger()
        self.budget = budget or Budget()
        self.collector = BatchCollector(
            folder / "batches", self.replies, self.budget, self.ledger, **more
        )
        self.agent = self.named("openai:tester")
        RUNS.append(self)

    def named(self, name: str, **more: Any) -> Agent:
        spec = ModelSpec.parse(f"{name}@{self.server.url}")
        return Agent(
            "verifier", spec, chat_model(spec), ledger=self.ledger, replies=self.replies,
            budget=self.budget, deferred=self.collector, retries=Retries(base_s=0.0), **more,
        )  # fmt: skip

    def ask(self, numbers: range, agent: Agent | None = None) -> list[Any]:
        """For each question its reply, or the Deferred."""
        came: list[Any] = []
        for number in numbers:
            turns = [Turn("user", (Image.new("RGB", (8, 8), (number, 0, 0)), f"Question {number}"))]
            try:
                came.append((agent or self.agent).typed(PROMPT, turns, Verdict))
            except Deferred as deferred:
                came.append(deferred)
        return came

    def crash(self) -> None:
        """What the system does when the process dies: nothing is written, locks are dropped."""
        for _, file in self.collector._spool._files.values():
            file.close()
        self.collector._owner.release()
        self.collector._table.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with BatchServer(verdict) as running:
        yield running
    while RUNS:
        RUNS.pop().crash()


def answered(came: list[Any]) -> list[int]:
    return [reply.value.number for reply in came if not isinstance(reply, Deferred)]


def files(folder: Path) -> list[Path]:
    return sorted((folder / "batches").glob("*.jsonl"))


def test_from_questions_to_replies(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    came = run.ask(range(5)) + run.ask(range(5))
    assert all(isinstance(deferred, Deferred) and not deferred.sent for deferred in came)
    assert (run.collector.wanted, run.collector.waiting) == (5, 0)
    (state,) = run.collector.submit()
    assert (state.status, state.requests, state.spec) == ("in_progress", 5, str(run.agent.spec))
    assert (run.collector.wanted, run.collector.waiting) == (0, 5)
    assert all(deferred.sent for deferred in run.ask(range(5)))
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
    assert run.ledger.total().calls == run.budget.spent.calls == 5
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
    online.deferred = online.replies = None
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
    assert run.collector.wanted == 6
    assert len(run.collector.submit()) == 2


def test_words_tools_and_rungs(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.replies.remember_inability(str(run.agent.spec), "json_schema")
    run.ask(range(1))
    with pytest.raises(Deferred):
        run.agent.text_batch(PROMPT, [[Turn("user", (f"Question {k}",))] for k in range(3)])
    assert run.collector.wanted == 4  # all are asked for before the first is waited for
    run.collector.submit()
    server.finish()
    run.collector.poll()
    (typed,) = run.ask(range(1))
    assert typed.how == ("cache", "batch", "tool: ok")
    assert typed.value.number == 0
    words = run.agent.text_batch(PROMPT, [[Turn("user", (f"Question {k}",))] for k in range(3)])
    assert [json.loads(reply.value)["number"] for reply in words] == [0, 1, 2]


def test_awaited(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    turns = [Turn("user", ("Question 7",))]
    with pytest.raises(Deferred):
        asyncio.run(run.agent.atyped(PROMPT, turns, Verdict))
    run.collector.submit()
    server.finish()
    run.collector.poll()
    assert asyncio.run(run.agent.atyped(PROMPT, turns, Verdict)).value.number == 7
    assert not server.online


def test_models_without_a_batch_api_are_asked_at_once(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    agent = Agent(
        "verifier", ModelSpec.parse("embedded:"), chat_model("embedded:"), ledger=run.ledger,
        replies=run.replies, deferred=run.collector,
    )  # fmt: skip
    assert agent.text(PROMPT, [Turn("user", ("Question 1",))]).value
    with pytest.raises(SettingsError, match="no Batch API"):
        run.collector._sender.api("anthropic:claude-haiku-4-5")


def flawed(body: Body) -> tuple[int, Body] | str:
    """Good, prose, cut, empty, an error, a broken line, a reply that is none: by the number."""
    number = question(body)
    status, reply = verdict(body)
    message = reply["choices"][0]
    if number == 1:
        message["message"]["content"] = "Well, it depends."
    elif number == 2:
        message["message"]["content"] = '{"good": tr'
        message["finish_reason"] = "length"
    elif number == 3:
        message["message"]["content"] = ""
    elif number == 4:
        return 400, {"error": {"message": "too many images", "type": "x", "code": None}}
    elif number == 5:
        return "{this is no line"
    elif number == 6:
        return 200, {"id": "x", "object": "chat.completion"}
    return status, reply


def test_what_is_no_use_has_a_reason_and_another_round(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    server.execute = flawed
    run.ask(range(8))
    run.collector.submit()
    server.finish()
    (state,) = run.collector.poll()
    assert (state.good, state.bad) == (2, 6)
    reasons = " | ".join(run.collector.reasons())
    assert sum(run.collector.reasons().values()) == 6
    for word in ("not JSON", "cut at the length", "empty", "too many images", "no reply came",
                 "not a chat completion"):  # fmt: skip
        assert word in reasons
    assert run.budget.spent.calls == 7  # the broken line is not known to have been made
    came = run.ask(range(8))
    assert [isinstance(c, Deferred) for c in came] == [False, *[True] * 6, False]
    assert run.collector.wanted == 6
    server.execute = lambda body: flawed(body) if question(body) == 1 else verdict(body)
    run.collector.submit()
    server.finish()
    run.collector.poll()
    assert list(run.collector.reasons()) == ["not JSON"]
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
    assert run.collector.reasons() == {"batch_expired: This request could not be executed.": 2}
    assert answered(run.ask(range(5))) == [0, 1, 2]
    assert run.collector.wanted == 2
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


def test_a_batch_that_the_server_forgot(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(2))
    run.collector.submit()
    server.batches.clear()
    (state,) = run.collector.poll()
    assert state.bad == 2
    assert "does not know" in state.reason


def test_cancelled(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(4))
    run.collector.submit()
    run.ask(range(4, 6))
    (state,) = run.collector.cancel()
    assert (state.status, run.collector.wanted) == ("cancelling", 0)
    assert not files(tmp_path)
    server.finish("cancelled", only=1)
    (ended,) = run.collector.poll()
    assert (ended.good, ended.bad) == (1, 3)
    assert run.collector._table.request(run.ask(range(1, 2))[0].key).rounds == 0
    budget = run.budget
    assert (budget._usd_reserved, budget._calls_reserved) == (0.0, 1)


# ---- money


def test_half_price_and_a_hard_budget(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setattr("videoespresso.models.prices.is_local", lambda url: False)
    monkeypatch.setattr("videoespresso.models.prices.openai_base_url", lambda: None)
    run = Run(server, tmp_path, Budget(max_usd=0.1))
    spec = ModelSpec.parse("openai:gpt-4o")
    agent = Agent(
        "verifier", spec, chat_model(spec), ledger=run.ledger, replies=run.replies,
        budget=run.budget, deferred=run.collector,
    )  # fmt: skip
    with pytest.raises(BudgetExceeded, match="may cost"):
        run.ask(range(100), agent)
    deferred = run.collector.wanted
    assert 5 < deferred < 100
    run.collector.submit()
    server.finish()
    run.collector.poll()
    # 100 tokens in at $2.50 and 7 out at $10 a million, half of it
    each = (100 * 2.5e-6 + 7 * 1e-5) / 2
    assert run.budget.spent.usd == pytest.approx(deferred * each)
    assert run.ledger.total().usd == pytest.approx(deferred * each)
    (reply,) = run.ask(range(1), agent)
    assert reply.cost.usd == pytest.approx(each)
    with pytest.raises(BudgetExceeded):  # what the replies left over goes on to the next ones
        run.ask(range(100), agent)
    assert run.collector.wanted > 0


def test_what_is_on_its_way_counts_in_the_next_process(server: BatchServer, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    run.ask(range(4))
    run.collector.submit()
    run.crash()
    budget = Budget(max_calls=5)
    later = Run(server, tmp_path, budget)
    with pytest.raises(BudgetExceeded, match="5 of 5"):
        later.ask(range(4, 9))
    assert later.collector.wanted == 1
    server.finish()
    later.collector.poll()
    assert budget.spent.calls == 4


# ---- interruptions


class Killed(BaseException):
    """The process ends here."""


def cycle(server: BatchServer, folder: Path) -> bool:
    """One process: asks, submits, polls; whether all is answered."""
    run = Run(server, folder, most_requests=2)
    try:
        if len(answered(run.ask(range(3)))) == 3:
            return True
        run.collector.submit()
        server.finish()
        run.collector.poll()
        return False
    finally:
        run.crash()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_write_nothing_is_lost_or_paid_twice(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Killed before, or after, each single write of the state, and then run again."""
    plain, writes, deadline = BatchTable._transaction, count(1), 0
    monkeypatch.setattr(
        BatchTable,
        "_transaction",
        lambda table: Killing(plain(table), kill=next(writes) == deadline, after=after),
    )
    for deadline in range(1, 100):
        folder, writes = tmp_path / str(deadline), count(1)
        folder.mkdir()
        server.executed.clear()
        killed = False
        for _ in range(6):
            try:
                if cycle(server, folder):
                    break
            except Killed:
                killed = True
        else:
            pytest.fail(f"never finished after a kill at write {deadline}")
        assert sorted(question(body) for body in server.executed) == [0, 1, 2], deadline
        assert not files(folder)
        if not killed:
            assert deadline > 15
            return
    pytest.fail("the writes never ended")


class Killing:
    """A transaction before which, or after which, the process dies."""

    def __init__(self, inner: Any, *, kill: bool, after: bool) -> None:
        self.inner, self.kill, self.after = inner, kill, after

    def __enter__(self) -> Any:
        if self.kill and not self.after:
            raise Killed
        return self.inner.__enter__()

    def __exit__(self, *error: Any) -> Any:
        left = self.inner.__exit__(*error)
        if self.kill:
            raise Killed
        return left


PROCESS = """
import os, signal, sys
from pathlib import Path
from videoespresso.models.openai_batch import BatchApi

def deadly(method):
    def call(*args):
        method(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    return call

setattr(BatchApi, sys.argv[3], deadly(getattr(BatchApi, sys.argv[3])))

from videoespresso.agents.base import Agent, Prompt, Turn
from videoespresso.agents.deferred import BatchCollector, Deferred
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.budget import Budget
from videoespresso.models.chat import chat_model
from videoespresso.models.ledger import Ledger
from videoespresso.models.specs import ModelSpec

folder, spec = Path(sys.argv[1]), ModelSpec.parse(sys.argv[2])
replies, ledger = ReplyCache(folder / "replies.sqlite"), Ledger()
collector = BatchCollector(folder / "batches", replies, Budget(), ledger)
agent = Agent("v", spec, chat_model(spec), ledger=ledger, replies=replies, deferred=collector)
try:
    agent.text(Prompt("v", "You are the verifier.", "0"), [Turn("user", ("Question 1",))])
except Deferred:
    collector.submit()
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("step", ["upload", "create"])
def test_kill_9_after_the_server_took_it_and_before_we_knew(
    server: BatchServer, tmp_path: Path, step: str
) -> None:
    source = str(Path(__file__).resolve().parents[2] / "src")
    spec = f"openai:tester@{server.url}"
    process = subprocess.run(
        [sys.executable, "-c", PROCESS, str(tmp_path), spec, step],
        env=os.environ | {"PYTHONPATH": source},
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert len(files(tmp_path)) == 1
    collector = Run(server, tmp_path).collector
    (state,) = collector.submit()
    assert state.status == "in_progress"
    assert server.calls.count("POST /files") == 1
    assert server.calls.count("POST /batches") == 1
    assert not files(tmp_path)


def test_the_folder_alone_is_enough_days_later(server: BatchServer, tmp_path: Path) -> None:
    first = Run(server, tmp_path)
    first.ask(range(3))
    first.collector.submit()
    first.collector.close()
    server.finish()
    replies, ledger = ReplyCache(tmp_path / "replies.sqlite"), Ledger()
    later = BatchCollector(tmp_path / "batches", replies, Budget(), ledger)  # no agent, no schema
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
    assert later.collector.reasons() == {}  # it is wanted again
    assert later.collector._table.request(came[1].key).rounds == 1
    assert later.collector._table.request(came[1].key).reason == "not JSON"


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
