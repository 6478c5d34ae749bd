"""The journal of a video's stages: kept line by line, whatever ends the process."""

import errno
import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from videoespresso.errors import MemoryStoreError
from videoespresso.memory.journal import Journal, Journals, JournalTaken, stage_key


@contextmanager
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as opened:
        yield opened


def test_what_was_put_is_there_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    with journal(path) as first:
        first.put("a", "verify", {"text": "ö \ud800 \u2028", "n": 1.5})
    with journal(path) as second:
        assert second.get("a") == {"text": "ö \ud800 \u2028", "n": 1.5}
        assert second.get("b") is None
        assert second.torn == 0


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_is_cut_anywhere_is_forgotten_and_written_over(
    cut: int, tmp_path: Path
) -> None:
    path = tmp_path / "v.jsonl"
    with journal(path) as first:
        first.put("a", "verify", {"x": 1})
        first.put("b", "annotate", {"text": "some words of evidence"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])  # from 1, only the end of the line is missing
    with journal(path) as second:
        assert second.get("a") == {"x": 1}
        assert second.get("b") is None
        assert second.torn == 1
        second.put("c", "distract", {"y": 2})
    with journal(path) as third:
        assert (third.get("a"), third.get("c"), third.torn) == ({"x": 1}, {"y": 2}, 0)


def test_a_damaged_line_in_the_middle_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    with journal(path) as first:
        for name in "abc":
            first.put(name, "verify", {"name": name})
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00\xff\n" + b"[1]\n" + lines[2])
    with journal(path) as second:
        assert second.get("a")
        assert second.get("b") is None
        assert second.get("c")
        assert second.torn == 2


def test_a_full_disk_leaves_no_part_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v.jsonl"
    with journal(path) as first:
        first.put("a", "verify", {"x": 1})

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            for _ in range(2):
                with pytest.raises(MemoryStoreError, match="No space left") as caught:
                    first.put("b", "verify", {"x": 2})
        assert "Free the disk" in caught.value.hint
        assert first.get("b") is None
        first.put("c", "verify", {"x": 3})
    with journal(path) as second:
        assert [second.get(name) for name in "abc"] == [{"x": 1}, None, {"x": 3}]
        assert second.torn == 0


def hold(path: Path, ready: Any, done: Any) -> None:
    with Journal(path):
        ready.set()
        done.wait(30)


def test_a_lock_that_outlives_its_killed_process_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    holder = Journal(tmp_path / "v.jsonl").__enter__()
    gone = threading.Timer(0.2, holder.__exit__)
    gone.start()
    with journal(tmp_path / "v.jsonl") as mine:
        mine.put("k", "stage", 1)
    gone.join()
    assert mine.get("k") == 1


def test_one_process_at_a_time(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("spawn")
    ready, done = fork.Event(), fork.Event()
    other = fork.Process(target=hold, args=(tmp_path / "v.jsonl", ready, done))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(JournalTaken), Journal(tmp_path / "v.jsonl"):
            pass
    finally:
        other.kill()  # the system frees what a killed process held
        other.join()
    with Journal(tmp_path / "v.jsonl") as mine:
        mine.put("a", "verify", {})


def test_the_key_depends_on_stage_identity_and_payload() -> None:
    keys = {
        stage_key("verify", {"model": "a"}, [1]),
        stage_key("verify", {"model": "b"}, [1]),
        stage_key("verify", {"model": "a"}, [2]),
        stage_key("annotate", {"model": "a"}, [1]),
    }
    assert len(keys) == 4
    assert stage_key("s", {"a": 1, "b": 2}, ["\ud800"]) == stage_key(
        "s", {"b": 2, "a": 1}, ["\ud800"]
    )


def test_a_video_is_claimed_by_the_first_path(tmp_path: Path) -> None:
    journals = Journals(tmp_path)
    assert journals.claim("v" * 64, "a.mp4") == ""
    assert journals.claim("v" * 64, "b.mp4") == "a.mp4"
    assert journals.claim("v" * 64, "a.mp4") == ""
    journals.release("a.mp4")
    with Journal(tmp_path / f"{'v' * 16}.jsonl"):
        pass
    assert journals.claim("v" * 64, "a.mp4") == ""
    journals.release("a.mp4")


def test_a_path_lets_go_of_its_own_videos_only(tmp_path: Path) -> None:
    journals = Journals(tmp_path, {"v" * 64: "a.mp4"})
    for video, path in (("v", "a.mp4"), ("w", "a.mp4"), ("x", "b.mp4")):  # a.mp4 was replaced
        assert journals.claim(video * 64, path) == ""
    journals.release("a.mp4")
    journals.release("none.mp4")
    assert journals["x" * 64].path.stem == "x" * 16
    journals.release("b.mp4")
    for video in "vwx":
        with pytest.raises(KeyError):
            journals[video * 64]


def test_letting_go_does_not_look_through_all_claims(tmp_path: Path) -> None:
    class Claims(dict[str, str]):
        def items(self) -> Any:
            raise AssertionError("quadratic in the videos of a run")

        __iter__ = items

    journals = Journals(tmp_path)
    journals._claimed = Claims()
    assert journals.claim("v" * 64, "a.mp4") == ""
    journals.release("a.mp4")
    with Journal(tmp_path / f"{'v' * 16}.jsonl"):  # nobody holds it
        pass
