"""Files that are replaced, moved and copied between runs on one dataset."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.rehearsal_server import RehearsalServer
from tests.helpers.builds import GROUP, Builds
from tests.helpers.clips import clip

from videoespresso.api.build_dataset import build_dataset


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    with RehearsalServer() as server:
        yield Builds(tmp_path_factory.mktemp("replaced"), server, videos=1)


class Set:
    """A dataset of two files whose bytes are one of several clips."""

    def __init__(self, builds: Builds, name: str) -> None:
        self.builds, self.name = builds, name
        self.out = builds.folder / name
        self.videos = builds.folder / f"{name}-videos"
        self.videos.mkdir()

    def put(self, name: str, seed: int) -> Path:
        return clip(self.videos / name, seed, seconds=4)

    def run(self, *given: Path) -> dict[str, str]:
        """Video id -> path, of the records after a run over these files, else over all."""
        settings = self.builds.settings(self.name)
        build_dataset(given or [self.videos], self.out, settings=settings, group=GROUP, jobs=1)
        return self.records()

    def records(self) -> dict[str, str]:
        lines = (self.out / "records.jsonl").read_text().splitlines()
        return {(v := json.loads(line)["video"])["id"]: Path(v["path"]).name for line in lines}


@pytest.fixture
def some(builds: Builds, request: pytest.FixtureRequest) -> Set:
    return Set(builds, request.node.name)


def test_records_of_a_file_that_was_replaced_go_and_come_back_with_it(some: Set) -> None:
    some.put("a.mp4", 1)
    before = some.run()
    some.put("a.mp4", 2)
    after = some.run()
    assert list(before.values()) == list(after.values()) == ["a.mp4"]
    assert set(before).isdisjoint(after)
    some.builds.server.forget()
    some.put("a.mp4", 1)
    assert some.run() == before
    assert some.builds.server.counts.as_json()["requests"] == 0


def test_records_of_a_file_that_was_replaced_by_a_copy_of_another_go(some: Set) -> None:
    kept = some.put("a.mp4", 1)
    replaced = some.put("b.mp4", 2)
    assert len(some.run()) == 2
    shutil.copyfile(kept, replaced)
    assert list(some.run().values()) == ["a.mp4"]


def test_a_video_that_was_moved_keeps_its_records(some: Set) -> None:
    first = some.put("b.mp4", 1)
    ((video, _),) = some.run().items()
    first.rename(some.videos / "a.mp4")
    some.put("b.mp4", 2)
    assert some.run()[video] == "a.mp4"


def test_a_file_of_the_same_name_in_another_folder_replaces_nothing(
    some: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        folder = some.videos / str(seed)
        folder.mkdir()
        clip(folder / "0.mp4", seed, seconds=4)
        monkeypatch.chdir(folder)
        found = some.run(Path("0.mp4"))
        assert len(found) == seed


def test_a_file_that_cannot_be_read_today_keeps_its_records(some: Set) -> None:
    path = some.put("a.mp4", 1)
    some.put("b.mp4", 2)
    before = some.run()
    path.write_bytes(b"half a download")
    assert some.run() == before
