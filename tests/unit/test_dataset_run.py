"""What a run makes of the outcomes that come, whoever does the videos."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from videoespresso.dataset.engine import Report
from videoespresso.dataset.folder import Folder
from videoespresso.dataset.run import BREAK_AFTER, Built, Run
from videoespresso.dataset.video_worker import Outcome
from videoespresso.dataset_record import Reject
from videoespresso.errors import ModelError


class Given:
    """An engine with the outcomes that it is given."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.left = list(outcomes)

    def start(self, paths: Sequence[str]) -> None:
        pass

    @property
    def working(self) -> bool:
        return bool(self.left)

    def next(self, timeout_s: float) -> Outcome | None:
        return self.left.pop(0)

    def report(self) -> Report:
        return Report()

    def stop(self) -> None:
        self.left.clear()

    def close(self) -> None:
        pass


def reject(stage: str, group: int | None = None) -> dict[str, Any]:
    told = Reject(video="v.mp4", stage=stage, criterion="c", reason="r", group=group)
    return told.model_dump(mode="json")


def failed(name: str) -> Outcome:
    reason = "refused to answer: content filter"
    return Outcome(name, failures={"f": {"stage": "caption", "reason": reason, "video": name}})


def refused(name: str) -> Outcome:
    return Outcome(name, "a" * 64, rejects={"r": reject("verify", 0)}, complete=True)


def duplicate(name: str) -> Outcome:
    return Outcome(name, rejects={"r": reject("probe")}, complete=True)


def deferred(name: str) -> Outcome:
    return Outcome(name, "a" * 64, deferred={"key"})


def unreadable(name: str) -> Outcome:
    return Outcome(name, rejects={"r": reject("probe")}, complete=True, unreadable="no video")


def run(tmp_path: Path, outcomes: Sequence[Outcome], *unseen: str) -> Built:
    """unseen: paths that the run does not come to."""
    folder = Folder(tmp_path / "set")
    folder.open()
    paths = [*(outcome.path for outcome in outcomes), *unseen]
    return Run(folder, Given(outcomes), paths, {}, lambda _: None, lambda _: None).run()


def alternating(kind: Callable[[str], Outcome]) -> list[Outcome]:
    """Twice as many failures as end a run, each with another outcome behind it."""
    made = [(failed(f"{k}-lost"), kind(f"{k}-other")) for k in range(2 * BREAK_AFTER)]
    return [outcome for pair in made for outcome in pair]


@pytest.mark.parametrize("kind", [refused, duplicate, deferred])
def test_failures_with_good_videos_between_end_no_run(
    tmp_path: Path, kind: Callable[[str], Outcome]
) -> None:
    assert run(tmp_path, alternating(kind)).failed == 2 * BREAK_AFTER


def test_files_that_cannot_be_read_between_do_not_hide_a_server_that_is_down(
    tmp_path: Path,
) -> None:
    with pytest.raises(ModelError, match=f"{BREAK_AFTER} videos in a row failed: .*filter"):
        run(tmp_path, alternating(unreadable))


@pytest.mark.parametrize(("unseen", "videos"), [((), 1), (("moved.mp4",), 2)])
def test_only_a_run_that_has_seen_all_files_retires_a_video_that_was_replaced(
    tmp_path: Path, unseen: tuple[str, ...], videos: int
) -> None:
    before, now = Outcome("a.mp4", "a" * 64), Outcome("a.mp4", "b" * 64, lying="b" * 64)
    folder = Folder(tmp_path / "set")
    folder.open()
    for outcome in (before, now):
        folder.write_shard(outcome.name, outcome.shard())
    run(tmp_path, [now], *unseen)
    assert len(list(folder.shards())) == videos
