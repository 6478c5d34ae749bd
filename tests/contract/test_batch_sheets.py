"""Captions through the Batch API: the sheets that calls send, and their parts where one fails."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.rehearsal import reply
from PIL import Image
from tests.contract.test_dataset_batches import records, settings
from tests.helpers.batch_server import BatchServer, Body
from tests.helpers.chat_server import completion
from tests.helpers.clips import clips

import videoespresso as ve
from videoespresso.agents import captioner
from videoespresso.agents.base import Agent, Retries
from videoespresso.dataset.batch_rounds import Batch
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.batch_api.collector import BatchCollector, Deferred
from videoespresso.models.chat import chat_model
from videoespresso.models.client.budget import Budget
from videoespresso.models.client.usage import UsageLog
from videoespresso.models.specs import ModelSpec


def pictures(body: Body) -> list[str]:
    content = body["messages"][-1]["content"]
    return [json.dumps(part) for part in content if part.get("type") == "image_url"]


def is_caption(body: Body) -> bool:
    return str(body["messages"][0]["content"]).startswith("You are the captioner.")


class Rules:
    """Replies by rule. prose: numbers of requests for captions that are answered with prose;
    silent: those whose sheet lacks its second frame."""

    def __init__(self, prose: set[int] | None = None, silent: set[int] | None = None) -> None:
        self.prose, self.silent = prose or set(), silent or set()
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, body: Body) -> tuple[int, Body]:
        text = reply(body)
        if is_caption(body):
            number = len(self.asked)
            self.asked.append(tuple(pictures(body)))
            if number in self.prose:
                text = "I see many things."
            elif number in self.silent:
                came = json.loads(text)
                del came["captions"][1]
                text = json.dumps(came)
        return 200, completion({"role": "assistant", "content": text}, "p", usage=(10, 10))

    @property
    def sizes(self) -> list[int]:
        return [len(shown) for shown in self.asked]


def walls(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (16, 16), (10 * k, 0, 0)) for k in range(count)]


class Desk:
    """A captioner in batch mode; `again` is what a process does on another day."""

    def __init__(self, server: BatchServer, folder: Path) -> None:
        self.server, self.folder = server, folder

    def again(self, count: int) -> list[str] | None:
        """The captions, or None while they are in batches; what is collected is sent."""
        replies = ReplyCache(self.folder / "replies.sqlite")
        collector = BatchCollector(self.folder / "batches", replies, Budget(), UsageLog())
        spec = ModelSpec.parse(f"openai:p@{self.server.url}")
        agent = Agent(
            "captioner", spec, chat_model(spec), usage_log=UsageLog(), replies=replies,
            retries=Retries(base_s=0.0), collector=collector, sheet=8, concurrency=1,
        )  # fmt: skip
        try:
            collector.poll()
            return captioner.caption(agent, walls(count))
        except Deferred:
            collector.submit()
            return None
        finally:
            collector.close()

    def done(self, count: int, rounds: int) -> list[str]:
        """The captions after that many batches, no more and no fewer."""
        for _ in range(rounds):
            assert self.again(count) is None
            self.server.finish()
        made = self.again(count)
        assert made is not None
        return made


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[list[str]]:
    """What the rules say to each frame by itself."""
    with BatchServer(Rules()) as server:
        spec = ModelSpec.parse(f"openai:p@{server.url}")
        agent = Agent("captioner", spec, chat_model(spec), usage_log=UsageLog())
        yield captioner.caption(agent, walls(20))


# the fake server executes a batch from its last request to its first
@pytest.mark.parametrize(
    ("faults", "rounds", "sizes"),
    [
        ({}, 1, [4, 8, 8]),
        ({"prose": {1}}, 2, [4, 8, 8, 4, 4]),
        ({"prose": {1, 3}}, 3, [4, 8, 8, 4, 4, 2, 2]),
        ({"silent": {1}}, 2, [4, 8, 8, 1]),
        ({"prose": {1}, "silent": {2}}, 2, [4, 8, 8, 1, 4, 4]),
    ],
)
def test_a_sheet_that_fails_is_in_the_next_batch_in_halves(
    tmp_path: Path, alone: list[str], faults: dict[str, set[int]], rounds: int, sizes: list[int]
) -> None:
    rules = Rules(**faults)
    with BatchServer(rules) as server:
        assert Desk(server, tmp_path).done(20, rounds) == alone
        assert rules.sizes == sizes
        assert max(Counter(rules.asked).values()) == 1, "nothing is asked twice"
        assert not server.online


def test_a_frame_that_takes_two_batches_changes_no_sheet(tmp_path: Path, alone: list[str]) -> None:
    """Its block is read again each day, with more captions known."""
    rules = Rules(silent={1})
    with BatchServer(lambda body: rules(body) if len(rules.asked) != 3 else empty(rules)) as server:
        assert Desk(server, tmp_path).done(20, 3) == alone
        assert rules.sizes == [4, 8, 8, 1, 1]
        assert not server.online


def empty(rules: Rules) -> tuple[int, Body]:
    rules.asked.append(("silence",))
    return 200, completion({"role": "assistant", "content": ""}, "p", usage=(10, 10))


def test_a_dataset_asks_for_the_same_sheets_online_and_in_batches(tmp_path: Path) -> None:
    videos = clips(tmp_path / "videos", 2)
    with BatchServer(Rules()) as server:

        def build(name: str, batch: Batch | None) -> list[dict[str, Any]]:
            means = settings(tmp_path / f"cache-{name}", server)
            means = means.model_copy(update={"detector": "off", "sheet": 4})
            ve.build_dataset(videos, tmp_path / name, settings=means, group=4, batch=batch)
            return records(tmp_path / name)

        online = build("online", None)
        calls = len(server.online)
        batched = build("batched", Batch(poll_s=0.01, tell=lambda _states: server.finish()))
        assert len(server.online) == calls, "nothing is asked online"
        assert batched == online
        sheets = [sorted(len(pictures(b)) for b in asked if is_caption(b))
                  for asked in (server.online, server.executed)]  # fmt: skip
        assert sheets[0] == sheets[1]
        assert max(sheets[0]) == 4
        assert len(server.executed) == calls
