"""Dataset mode through the Batch API: limits, and batches that the server refuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.rehearsal import reply
from tests.contract.test_dataset_batches import settings
from tests.helpers.batch_server import BatchServer, Body
from tests.helpers.chat_server import completion
from tests.helpers.clips import clips

import videoespresso as ve
from videoespresso.dataset.batch_rounds import Batch
from videoespresso.dataset.run import Built
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.models.batch_api.collector import BatchState


def rehearsed(body: Body) -> tuple[int, Body]:
    """A request's body, answered at once."""
    return 200, completion({"role": "assistant", "content": reply(body)}, "p", usage=(10, 10))


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer(rehearsed) as running:
        yield running


class Builds:
    """One folder, built again and again."""

    def __init__(self, server: BatchServer, folder: Path) -> None:
        self.server, self.out = server, folder / "out"
        self.videos = clips(folder / "videos", 1)
        self._settings = settings(folder / "cache", server).model_copy(update={"detector": "off"})

    def build(self, batch: Batch | None = None, **limits: Any) -> Built:
        return ve.build_dataset(
            self.videos,
            self.out,
            settings=self._settings.model_copy(update=limits),
            group=4,
            batch=batch or Batch(poll_s=0.01, tell=lambda _states: self.server.finish()),
        )


@pytest.fixture
def builds(server: BatchServer, tmp_path: Path) -> Builds:
    return Builds(server, tmp_path)


def test_what_fits_a_limit_is_sent_and_used_before_the_limit_is_told(builds: Builds) -> None:
    server = builds.server
    for most in (6, 12):  # the captions are 8
        with pytest.raises(BudgetExceeded, match=r"reached: 6 of 6 model calls made;"):
            builds.build(budget_calls=6)
        assert len(server.executed) == most
    done = builds.build()
    assert done.records > 0
    assert len({str(body) for body in server.executed}) == len(server.executed), "none paid twice"
    assert not server.online


def runs(builds: Builds) -> list[dict[str, Any]]:
    """The lines of dataset.json."""
    told: list[dict[str, Any]] = json.loads((builds.out / "dataset.json").read_text())["runs"]
    return told


def calls(usage: dict[str, Any]) -> int:
    return sum(used["calls"] for used in usage.values())


def test_the_runs_of_the_manifest_sum_up_to_what_was_spent(builds: Builds) -> None:
    with pytest.raises(BudgetExceeded):
        builds.build(budget_calls=6)
    rounds = [run["usage"] for run in runs(builds)]
    assert [calls(usage) for usage in rounds] == [0, 6], "what was sent, and what it brought"
    done = builds.build()
    assert sum(calls(run["usage"]) for run in runs(builds)) == len(builds.server.executed)
    assert sum(usage.calls for usage in done.usage.values()) == len(builds.server.executed) - 6


def test_room_that_cheap_replies_leave_is_used(
    builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a request costs at most is far more than what it costs in the end."""
    monkeypatch.setattr("videoespresso.models.batch_api.collector.known_price", lambda *_: None)
    monkeypatch.setattr("videoespresso.models.batch_api.collector.most_usd", lambda *_: 1.0)
    sent: list[int] = []

    def tell(states: list[BatchState]) -> None:
        sent.extend(state.requests for state in states)
        builds.server.finish()

    assert builds.build(Batch(poll_s=0.01, tell=tell), budget_usd=5.5).records > 0
    assert max(sent) == 5


def test_without_waiting_the_limit_says_what_is_to_come(builds: Builds) -> None:
    server, leave = builds.server, Batch(wait=False)
    told = "6 of 6 model calls made or set aside for batches; .*; 6 replies are to come"
    for _ in range(2):
        with pytest.raises(BudgetExceeded, match=told):
            builds.build(leave, budget_calls=6)
        assert (len(server.batches), len(server.executed)) == (1, 0), "sent once"
    server.finish()
    assert builds.build(leave, budget_calls=8).deferred > 0
    server.finish()
    assert len({str(body) for body in server.executed}) == len(server.executed) == 8


def test_batches_that_are_refused_are_not_asked_online_instead(builds: Builds) -> None:
    server, told = builds.server, "failed 3 times before .*: Enqueued token limit reached"
    full = Batch(poll_s=0.01, tell=lambda _states: server.fail("Enqueued token limit reached"))
    with pytest.raises(ModelError, match=told):
        builds.build(full)
    assert (len(server.batches), server.executed, server.online) == (3, [], [])
    assert builds.build().records > 0, "the same command goes on"
    assert not server.online


def test_why_a_batch_failed_is_told_to_who_comes_back(builds: Builds) -> None:
    builds.build(Batch(wait=False))
    builds.server.fail("Enqueued token limit reached")
    told: list[BatchState] = []
    builds.build(Batch(wait=False, tell=told.extend))
    assert [state.status for state in told] == ["ended", "in_progress"]
    assert "Enqueued token limit reached" in told[0].reason
