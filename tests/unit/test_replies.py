"""The reply cache: keys, two processes, damage."""

import logging
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from PIL import Image
from pydantic import BaseModel
from tests.helpers import chat_server as fake

from videoespresso.agents.base import Agent, Prompt, Retries, Turn
from videoespresso.errors import MemoryStoreError
from videoespresso.memory.replies import REMEMBER_S, ReplyCache, StoredReply, reply_key
from videoespresso.models.chat import chat_model
from videoespresso.models.client.request import Request
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec
from videoespresso.types import Usage

SPEC = ModelSpec.parse("openai:gpt-4o")
PROMPT = Prompt("captioner", "You are the captioner.", "a" * 64)
RED = Image.new("RGB", (8, 8), "red")


class A(BaseModel):
    x: int


class B(BaseModel):
    x: float


class Warm(FakeListChatModel):
    temperature: float = 0.0
    identity: str = "these weights"


def request(**changes: object) -> Request:
    given: dict[str, object] = {
        "spec": SPEC,
        "model": Warm(responses=[""]),
        "prompt": PROMPT,
        "turns": (Turn("user", (RED, "What?")),),
        "schema": A,
    }
    return Request(**(given | changes))  # type: ignore[arg-type]


def test_the_key_is_the_content() -> None:
    same = Turn("user", (Image.new("RGB", (8, 8), "red"), "What?"))
    assert request(turns=(same,)).key == request().key


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": ModelSpec.parse("openai:gpt-4o-mini")},
        {"spec": ModelSpec.parse("openai:gpt-4o@http://localhost/v1")},
        {"prompt": Prompt("captioner", "You are the other captioner.", "a" * 64)},
        {"prompt": Prompt("captioner", PROMPT.text, "b" * 64)},
        {"turns": (Turn("user", (Image.new("RGB", (8, 8), (254, 0, 0)), "What?")),)},
        {"turns": (Turn("user", (Image.new("RGB", (4, 16), "red"), "What?")),)},
        {"turns": (Turn("user", ("What?", RED)),)},
        {"turns": (Turn("user", (RED,)), Turn("user", ("What?",)))},
        {"turns": (Turn("assistant", (RED, "What?")),)},
        {"schema": B},
        {"schema": None},
        {"model": Warm(responses=[""], temperature=0.7)},
        {"model": Warm(responses=[""], identity="other weights")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_key_changes_with_everything_a_reply_depends_on(changes: dict[str, object]) -> None:
    assert request(**changes).key != request().key


def test_put_get_and_the_first_stays(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite")
    key = reply_key({"a": 1})
    assert cache.get(key) is None
    reply = StoredReply(text="ä", how=("text: ok",), usage=Usage(calls=1, usd=0.5))
    cache.put(key, str(SPEC), "captioner", reply)
    cache.put(key, str(SPEC), "captioner", StoredReply(text="later"))
    assert ReplyCache(tmp_path / "r.sqlite").get(key) == reply
    stats = cache.stats()
    assert (stats.replies, stats.usage.usd, stats.by_spec) == (1, 0.5, {str(SPEC): 1})
    assert cache.clear() == 1
    assert cache.get(key) is None


def test_default_place_is_the_cache_folder(cache_folder: Path) -> None:
    assert ReplyCache().path == cache_folder / "replies.sqlite"


def test_inabilities_are_believed_for_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite")
    cache.remember_inability("openai:x", "tool")
    assert cache.inabilities("openai:x") == {"tool"}
    assert cache.inabilities("openai:y") == frozenset()
    later = time.time() + REMEMBER_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert cache.inabilities("openai:x") == frozenset()


def test_a_stored_reply_that_no_longer_fits_is_asked_again(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite")
    model = FakeListChatModel(responses=['{"x": 1}', '{"x": 2}'])
    agent = Agent("captioner", SPEC, model, usage_log=UsageLog(), replies=cache)
    turns = [Turn("user", ("hi",))]
    key = Request(SPEC, model, PROMPT, tuple(turns), A).key
    cache.put(key, str(SPEC), "captioner", StoredReply(text='{"x": "no"}'))
    assert agent.typed(PROMPT, turns, A).value.x == 1


def dated(exchange: fake.Exchange) -> None:
    """A server that says which model it is."""
    reply = fake.completion({"role": "assistant", "content": '{"x": 1}'}, "tester-2026-01-01")
    exchange.send_json(200, reply | {"system_fingerprint": "fp_1"})


@pytest.mark.parametrize("typed", [False, True])
def test_cost_and_snapshot_are_the_same_from_the_cache(tmp_path: Path, typed: bool) -> None:
    turns, cache = [Turn("user", ("hi",))], ReplyCache(tmp_path / "r.sqlite")
    with fake.Server([fake.status(500), dated]) as server:
        spec = ModelSpec.parse(f"openai:tester@{server.url}")
        agent = Agent(
            "captioner", spec, chat_model(spec), usage_log=UsageLog(), replies=cache,
            retries=Retries(base_s=0.0),
        )  # fmt: skip
        made, again = (
            agent.typed(PROMPT, turns, A) if typed else agent.text(PROMPT, turns) for _ in range(2)
        )
        assert len(server.requests) == 2
    assert again.how[0] == "cache"
    assert (made.snapshot, again.snapshot) == ("tester-2026-01-01 fp_1",) * 2
    assert made.cost == again.cost == made.usage
    assert (made.cost.calls, made.cost.input_tokens) == (2, 100)
    assert (again.usage.calls, again.usage.cached_calls) == (0, 1)


def test_weights_in_this_process_are_their_own_snapshot() -> None:
    agent = Agent(
        "captioner", ModelSpec.parse("hf:x"), Warm(responses=["hi"]), usage_log=UsageLog()
    )
    assert agent.text(PROMPT, [Turn("user", ("hi",))]).snapshot == "these weights"


def test_replies_stored_before_there_were_snapshots_are_read(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite")
    cache.put("k", str(SPEC), "captioner", StoredReply(text="?"))
    with sqlite3.connect(tmp_path / "r.sqlite") as db:
        old = '{"text": "old", "how": ["text: ok"], "usage": {"calls": 1, "usd": 0.25}}'
        db.execute("UPDATE replies SET reply = ?", (old,))
    db.close()
    found = cache.get("k")
    assert found == StoredReply(text="old", how=("text: ok",), usage=Usage(calls=1, usd=0.25))


def test_a_reply_that_no_longer_fits_is_paid_for_once_and_not_at_every_run(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite")
    model = FakeListChatModel(responses=['{"x": 1}', '{"x": 2}'])
    agent = Agent("captioner", SPEC, model, usage_log=UsageLog(), replies=cache)
    turns = [Turn("user", ("hi",))]
    key = Request(SPEC, model, PROMPT, tuple(turns), A).key
    cache.put(key, str(SPEC), "captioner", StoredReply(text='{"x": "no"}'))
    assert [agent.typed(PROMPT, turns, A).value.x for _ in range(2)] == [1, 1]


def test_a_damaged_file_is_moved_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "r.sqlite"
    path.write_bytes(b"this is not a database, whatever its name says" * 50)
    cache = ReplyCache(path)
    with caplog.at_level(logging.WARNING):
        assert cache.get("0" * 64) is None
    assert "moved to" in caplog.text
    assert len(list(tmp_path.glob("r.broken-*"))) == 1
    cache.put("0" * 64, "s", "r", StoredReply(text="new"))
    assert cache.get("0" * 64) == StoredReply(text="new")


@pytest.mark.skipif(os.name == "nt", reason="folders have other permissions there")
def test_an_unusable_place_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MemoryStoreError) as caught:
        ReplyCache(tmp_path / "file" / "r.sqlite").get("0" * 64)
    assert "VIDEOESPRESSO_CACHE_DIR" in caught.value.hint


PROCESS = """
import sys, time
from pathlib import Path
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from videoespresso.agents.base import Agent, Prompt, Turn
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec

root, me = Path(sys.argv[1]), sys.argv[2]

class Slow(FakeListChatModel):
    def _call(self, *args, **kwargs):
        with open(root / "calls", "a") as calls:
            calls.write(me + "\\n")
        (root / "asked").touch()
        time.sleep(float(sys.argv[3]))
        return "a reply"

(root / f"ready{me}").touch()
while not (root / "go").exists():
    time.sleep(0.01)
agent = Agent("captioner", ModelSpec.parse("openai:gpt-4o"), Slow(responses=[""]),
              usage_log=UsageLog(), replies=ReplyCache(root / "r.sqlite"))
print(agent.text(Prompt("captioner", "You.", "s"), [Turn("user", (sys.argv[4],))]).value)
"""


def start(root: Path, me: str, seconds: float, question: str = "q") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, str(root), me, str(seconds), question]
    source = str(Path(__file__).resolve().parents[2] / "src")
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": source}
    )


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def test_two_processes_pay_once(tmp_path: Path) -> None:
    processes = [start(tmp_path, str(n), 0.5) for n in range(2)]
    for n in range(2):
        wait_for(tmp_path / f"ready{n}")
    (tmp_path / "go").touch()
    for process in processes:
        assert process.communicate()[0].strip() == "a reply"
        assert process.returncode == 0
    assert len((tmp_path / "calls").read_text().split()) == 1


def test_a_killed_asker_leaves_no_lock_behind(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    first = start(tmp_path, "0", 600)
    wait_for(tmp_path / "asked")
    first.kill()
    first.communicate()
    second = start(tmp_path, "1", 0)
    assert second.communicate()[0].strip() == "a reply"
    assert (tmp_path / "calls").read_text().split() == ["0", "1"]


def test_locks_that_cannot_be_made_are_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "replies.locks").write_text("a file where the folder should be")
    cache = ReplyCache(tmp_path / "replies.sqlite")
    with (
        pytest.raises(MemoryStoreError, match="the reply cache cannot use") as caught,
        cache.lock("0" * 64),
    ):
        pass
    assert "VIDEOESPRESSO_CACHE_DIR" in caught.value.hint
