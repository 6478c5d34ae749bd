"""What a worker looks at before it works, and replies that follow a video; without a cluster."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from videoespresso.dataset import ray_engine
from videoespresso.dataset.ray_engine import (
    connected,
    different,
    file_system,
    see_folder,
    settings_here,
    shown,
)
from videoespresso.dataset.videos import first_paths
from videoespresso.errors import SettingsError, UserError
from videoespresso.graphs.dataset_context import open_dataset_context
from videoespresso.memory.journal import Journal
from videoespresso.memory.replies import SharedReplies, StoredReply
from videoespresso.settings import Settings
from videoespresso.types import Usage

LOOK = """
import sys
from contextlib import ExitStack
from pathlib import Path
from videoespresso.dataset.ray_engine import see_folder
from videoespresso.errors import UserError
try:
    see_folder(Path(sys.argv[1]), "token")
except UserError as error:
    sys.exit(str(error))
"""


def look(work: Path) -> str:
    """What another process says of the folder."""
    run = subprocess.run([sys.executable, "-c", LOOK, str(work)], capture_output=True, text=True)
    return run.stderr.strip()


def test_a_folder_that_is_shared_is_seen_and_nothing_is_left(tmp_path: Path) -> None:
    with shown(tmp_path, "token"):
        assert look(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_another_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "SEEN_WITHIN_S", 0.3)
    with pytest.raises(UserError, match="does not see the folder") as told:
        see_folder(tmp_path, "token")
    assert "every node" in told.value.hint


def test_a_folder_without_locks_between_machines_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".token").touch()  # seen, but the lock on it is not
    assert "file locks do not work between nodes" in look(tmp_path)


def test_caches_are_of_the_node_and_never_on_network_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Settings.load({"cache_dir": tmp_path / "driver", "memory": "/shared/m"}, environ={})
    monkeypatch.delenv("VIDEOESPRESSO_CACHE_DIR")
    assert settings_here(given).cache_dir == tmp_path / "driver"
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "node"))
    here = settings_here(given)
    assert (here.cache_dir, here.memory) == (tmp_path / "node", "")
    monkeypatch.setattr(ray_engine, "file_system", lambda _path: "nfs4")
    with pytest.raises(SettingsError, match="network storage") as told:
        settings_here(given)
    assert "VIDEOESPRESSO_CACHE_DIR" in told.value.hint


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/a", "ext4"), ("/data/set/x", "nfs4"), ("/data", "nfs4"), ("/database", "ext4")],
)
def test_the_innermost_mount_decides(path: str, kind: str, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/vda / ext4 rw 0 0\nserver:/data /data nfs4 rw 0 0\n")
    assert file_system(Path(path), mounts) == kind
    assert file_system(Path(path), tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 2}}, ""),
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, "b.c is 3 and not 2"),
        ({"a": 1}, {}, "a is None and not 1"),
    ],
)
def test_the_first_difference_is_named(one: Any, other: Any, told: str) -> None:
    assert different(one, other) == told


def test_a_reply_is_found_on_another_node_and_a_dropped_one_is_not(tmp_path: Path) -> None:
    reply = StoredReply(text="a cat", usage=Usage(calls=1, usd=0.1))
    with Journal(tmp_path / "video.jsonl") as journal:
        one = SharedReplies(tmp_path / "one.sqlite", lambda: journal)
        one.put("f00", "openai:x", "captioner", reply)
    with Journal(tmp_path / "video.jsonl") as journal:
        other = SharedReplies(tmp_path / "other.sqlite", lambda: journal)
        assert other.get("f00") == reply
        assert other.get("f01") is None
        other.drop("f00")
        assert other.get("f00") is None
    with Journal(tmp_path / "video.jsonl") as journal:
        assert SharedReplies(tmp_path / "third.sqlite", lambda: journal).get("f00") is None


def test_what_the_store_has_the_journal_gets(tmp_path: Path) -> None:
    reply = StoredReply(text="a cat")
    store = SharedReplies(tmp_path / "one.sqlite", lambda: None)
    store.put("f00", "openai:x", "captioner", reply)
    with Journal(tmp_path / "video.jsonl") as journal:
        assert SharedReplies(tmp_path / "one.sqlite", lambda: journal).get("f00") == reply
        assert SharedReplies(tmp_path / "other.sqlite", lambda: journal).get("f00") == reply


def test_files_with_the_same_bytes_are_the_first_ones(tmp_path: Path) -> None:
    for name, content in (("a", "x"), ("b", "y"), ("c", "x"), ("d", "longer")):
        (tmp_path / name).write_text(content)
    paths = [str(tmp_path / name) for name in ("b", "c", "a", "d", "none")]
    assert list(first_paths(paths).values()) == [str(tmp_path / "c")]


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with ExitStack() as held, pytest.raises(UserError) as told:
        connected("", held)
    assert told.value.hint == 'pip install "videoespresso[distributed]"'


def test_a_limit_in_frames_is_each_videos(tmp_path: Path) -> None:
    given = {"cache_dir": tmp_path, "detector": "off", "budget_frames": 7}
    context = open_dataset_context(Settings.load(given, environ={}))
    assert context.plan.max_frames == 7
    assert context.budget.frames_left is None
