"""A cache on a disk that is full, or that cannot be written: what is there is used, nothing is paid
for that could not be kept, and the error says which folder and how much."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import videoespresso as ve
from videoespresso.errors import MemoryStoreError
from videoespresso.memory.captions import CaptionMemory
from videoespresso.memory.disk import read_only, unusable
from videoespresso.memory.replies import ReplyCache, StoredReply
from videoespresso.models.embedders import embedder
from videoespresso.types import Caption

ROOM = Path(__file__).parents[2] / "examples" / "videos" / "room.mp4"
QUESTION = "Who is surprised?"
KEY = "0" * 64


class Disk:
    """A disk of its own, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mounted(self, options: str) -> None:
        line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk can be made here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Not mounted yet."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("to make a disk takes root on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder can be written, as `os.access` says it."""
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))


def loaded(folder: Path) -> ve.Settings:
    given = {"cache_dir": folder, "profile": "embedded"}
    return ve.Settings.load(given, environ={})


def test_a_question_from_a_cache_that_is_only_read(disk: Disk) -> None:
    disk.mounted("size=40m")
    cache = disk.folder / "cache"
    first = ve.ask(ROOM, QUESTION, settings=loaded(cache))
    disk.mounted("remount,ro,size=40m")
    assert read_only(cache)
    again = ve.ask(ROOM, QUESTION, settings=loaded(cache))
    assert (again.text, again.evidence) == (first.text, first.evidence)
    assert sum(usage.calls for usage in again.usage.values()) == 0
    with pytest.raises(MemoryStoreError, match="is read-only, and the reply cache") as caught:
        ve.ask(ROOM, "Where is the dog?", settings=loaded(cache))
    assert "VIDEOESPRESSO_CACHE_DIR" in caught.value.hint


@pytest.mark.parametrize("size", ["64k", "200k", "500k", "900k"])
def test_a_full_disk_says_which_folder_and_how_much(disk: Disk, size: str) -> None:
    disk.mounted(f"size={size}")
    with pytest.raises(MemoryStoreError, match=r"is full: .* MB are free") as caught:
        ve.ask(ROOM, QUESTION, settings=loaded(disk.folder / "cache"))
    assert str(disk.folder) in str(caught.value)
    assert "Free some space" in caught.value.hint


def test_replies_of_a_folder_that_is_only_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")
    cache.put(KEY, "spec", "captioner", StoredReply(text="a dog"))
    del cache
    monkeypatch.setattr("videoespresso.memory.replies.read_only", lambda _folder: True)
    only_read = ReplyCache(tmp_path / "replies.sqlite")
    kept = only_read.get(KEY)
    assert kept is not None
    assert kept.text == "a dog"
    with pytest.raises(MemoryStoreError):
        only_read.put("1" * 64, "spec", "captioner", StoredReply(text="a cat"))


@pytest.mark.usefixtures("closed")
def test_captions_of_a_folder_that_is_only_read_are_searched(tmp_path: Path) -> None:
    (tmp_path / "captions").mkdir()
    caption = Caption(frame_id="a@0", time_s=0.0, text="a dog runs")
    (tmp_path / "captions" / "a.jsonl").write_text(caption.model_dump_json() + "\n")
    memory = CaptionMemory.open(tmp_path, embedder())
    assert [hit.caption for hit in memory.search("dog", ["a"], 1)] == [caption]
    assert [path.name for path in tmp_path.iterdir()] == ["captions"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError("database or disk is full"),
        OSError("IO error: No space left on device"),
    ],
)
def test_full_is_known_by_number_and_by_words(tmp_path: Path, error: OSError) -> None:
    made = unusable("the frame store", tmp_path / "gone" / "a.jpg", error, 2_000_000)
    assert f"the disk of {tmp_path} is full: the frame store needs 2.000 MB more" in str(made)
