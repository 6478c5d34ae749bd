"""Batch mode in a process that dies, at every step: nothing is lost or paid twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.batch_runs import KEY, Run, answered, files, question, serving
from tests.helpers.batch_server import BatchServer

from videoespresso.models.batch_api.store import BatchStore


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as running:
        yield running


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
    plain, writes, deadline = BatchStore._transaction, count(1), 0
    monkeypatch.setattr(
        BatchStore,
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
from videoespresso.models.batch_api.openai import BatchApi

def deadly(method):
    def call(*args):
        method(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    return call

setattr(BatchApi, sys.argv[3], deadly(getattr(BatchApi, sys.argv[3])))

from videoespresso.agents.base import Agent, Prompt, Turn
from videoespresso.models.batch_api.collector import BatchCollector, Deferred
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.client.budget import Budget
from videoespresso.models.chat import chat_model
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec

folder, spec = Path(sys.argv[1]), ModelSpec.parse(sys.argv[2])
replies, usage_log = ReplyCache(folder / "replies.sqlite"), UsageLog()
collector = BatchCollector(folder / "batches", replies, Budget(), usage_log)
agent = Agent(
    "v", spec, chat_model(spec), usage_log=usage_log, replies=replies, collector=collector
)
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
