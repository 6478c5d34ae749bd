"""What is written of a video when two processes are at work on it, one after the other."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from tests.graph.test_dataset import ROLES, Teacher
from tests.helpers.clips import clip
from tests.helpers.scripted import scripted_context

from videoespresso.dataset.folder import Folder
from videoespresso.dataset.video_worker import Outcome, Worker
from videoespresso.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "out")
    made.open()
    return made


@pytest.fixture
def video(tmp_path: Path) -> str:
    return str(clip(tmp_path / "video.mp4", 1, seconds=40))


def down(_: list[BaseMessage]) -> str:
    raise ModelError("the server is down")


def worker(
    folder: Folder, cache: str, settings: dict[str, Any] | None = None, **replies: Any
) -> Worker:
    script = Teacher().script(**replies)
    place = folder.root.parent / cache
    context, _ = scripted_context(place, script, roles=ROLES, **settings or {})
    return Worker(folder, context)


def test_nobody_else_has_a_video_before_its_shard_is_written(
    folder: Folder, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile: list[Outcome] = []
    write = folder.write_shard

    def slowly(name: str, shard: dict[str, Any]) -> None:
        if not meanwhile:
            meanwhile.append(worker(folder, "other").do(video))
        write(name, shard)

    monkeypatch.setattr(folder, "write_shard", slowly)
    first = worker(folder, "one", verifier=down).do(video)
    assert first.failures
    assert meanwhile[0].busy
    assert worker(folder, "other").do(video).complete


@pytest.mark.parametrize(("changed", "stays"), [({}, True), ({"tau": 0.5}, False)])
def test_a_part_does_not_replace_the_whole_made_with_the_same(
    folder: Folder, video: str, changed: dict[str, Any], stays: bool
) -> None:
    assert worker(folder, "one").do(video).complete
    before = folder.merge()
    assert before["records"] > 1
    for journal in folder.work.glob("*.jsonl"):
        journal.unlink()
    assert not worker(folder, "other", changed, verifier=down).do(video).complete
    assert (folder.merge() == before) is stays
