"""What a worker checks before it works, its share of the limits, and replies that stay; without a
cluster."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from videoespresso.dataset import folder as folders
from videoespresso.dataset import rank_share
from videoespresso.dataset.folder import Folder, see_folder, shown
from videoespresso.dataset.manifest import different
from videoespresso.dataset.rank_share import RankBudget, RankReplies, here, most_workers, share
from videoespresso.dataset.ray_engine import connected
from videoespresso.dataset.videos import first_paths
from videoespresso.errors import BudgetExceeded, SettingsError, UserError
from videoespresso.graphs.dataset_context import open_dataset_context
from videoespresso.memory.disk import file_system
from videoespresso.memory.replies import ReplyCache, StoredReply
from videoespresso.settings import Settings
from videoespresso.types import Usage

LOOK = """
import sys
from pathlib import Path
from videoespresso.dataset.folder import Folder, see_folder
from videoespresso.errors import UserError
try:
    see_folder(Folder(Path(sys.argv[1])), sys.argv[2])
except UserError as error:
    sys.exit(str(error))
"""


def look(folder: Folder, token: str) -> str:
    """What another process says of the folder."""
    command = [sys.executable, "-c", LOOK, str(folder.root), token]
    return subprocess.run(command, capture_output=True, text=True).stderr.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "set")
    made.open()
    return made


def test_a_folder_that_is_shared_is_seen_and_its_mark_goes(folder: Folder) -> None:
    with shown(folder) as token:
        assert look(folder, token) == ""
    assert not list(folder.cluster.glob("*.token"))


def test_a_folder_that_is_another_one_is_refused(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "SEEN_WITHIN_S", 0.3)
    with pytest.raises(UserError, match="does not see the folder") as caught:
        see_folder(folder, "token")
    assert "every node" in caught.value.hint


def test_a_folder_without_locks_between_machines_is_refused(folder: Folder) -> None:
    folder.cluster.mkdir()
    (folder.cluster / "token.token").touch()  # seen, but no lock is held
    assert "file locks do not work between nodes" in look(folder, "token")


def test_caches_are_of_the_node_and_never_on_network_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Settings.load({"cache_dir": tmp_path / "driver", "memory": "/shared/m"}, environ={})
    monkeypatch.delenv("VIDEOESPRESSO_CACHE_DIR")
    assert here(given).cache_dir == tmp_path / "driver"
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path / "node"))
    mine = here(given)
    assert (mine.cache_dir, mine.memory) == (tmp_path / "node", "")
    monkeypatch.setattr(rank_share, "networked", lambda _path: "nfs4")
    with pytest.raises(SettingsError, match="network storage") as caught:
        here(given)
    assert "VIDEOESPRESSO_CACHE_DIR" in caught.value.hint


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


REPLY = StoredReply(text="a cat", usage=Usage(calls=1, usd=0.1))


def test_a_reply_is_found_on_another_node_and_a_dropped_one_is_not(tmp_path: Path) -> None:
    own = tmp_path / "rank-0-of-2.sqlite"
    RankReplies(tmp_path / "one" / "replies.sqlite", own).put("f00", "openai:x", "captioner", REPLY)
    other = RankReplies(tmp_path / "other" / "replies.sqlite", own)
    assert other.get("f00") == REPLY
    assert other.get("f01") is None
    other.drop("f00")
    third = RankReplies(tmp_path / "third" / "replies.sqlite", own)
    assert third.get("f00") is None


def test_a_reply_is_found_by_another_number_of_workers(tmp_path: Path) -> None:
    for rank in range(2):
        store = RankReplies(tmp_path / "node.sqlite", tmp_path / f"rank-{rank}-of-2.sqlite")
        store.put(f"f0{rank}", "openai:x", "captioner", REPLY)
    alone = RankReplies(tmp_path / "new" / "replies.sqlite", tmp_path / "rank-0-of-1.sqlite")
    assert alone.get("f00") == alone.get("f01") == REPLY


def test_what_a_nodes_store_has_the_ranks_own_gets(tmp_path: Path) -> None:
    node, own = tmp_path / "node" / "replies.sqlite", tmp_path / "rank-0-of-1.sqlite"
    ReplyCache(node).put("f00", "openai:x", "captioner", REPLY)
    assert RankReplies(node, own).get("f00") == REPLY
    assert RankReplies(tmp_path / "other" / "replies.sqlite", own).get("f00") == REPLY


def test_shares_add_up_to_the_limits_and_each_holds_a_call() -> None:
    given = Settings.load(
        {
            "concurrency": 7,
            "requests_per_minute": 100,
            "tokens_per_minute": 5,
            "budget_calls": 11,
            "budget_usd": 1.0,
        },
        environ={},
    )
    assert most_workers(given) == 5
    shares = [share(given, rank, 3) for rank in range(3)]
    for name in ("concurrency", "requests_per_minute", "tokens_per_minute", "budget_calls"):
        parts = [getattr(one, name) for one in shares]
        assert sum(parts) == getattr(given, name)
        assert max(parts) - min(parts) <= 1
    assert sum(one.budget_usd or 0.0 for one in shares) == pytest.approx(1.0)
    assert share(Settings.load({}, environ={}), 0, 3).budget_calls is None


def test_who_takes_a_rank_over_has_what_the_lost_worker_left_of_its_share(tmp_path: Path) -> None:
    given = Settings.load({"budget_calls": 4, "budget_usd": 1.0}, environ={})
    file = tmp_path / "rank-0-of-2.spent"
    lost = RankBudget(given, None, file)
    for _ in range(3):
        lost.start(0.3)
    lost.finish(0.3, Usage(calls=1, usd=0.1))  # of the others nobody knows what became
    with file.open("a") as torn:
        torn.write("\n1 0.")
    next_one = RankBudget(given, None, file)
    assert next_one.spent.calls == 3
    assert next_one.spent.usd == pytest.approx(0.7)
    with pytest.raises(BudgetExceeded, match="may cost"):
        next_one.start(0.4)
    next_one.start(0.2)
    with pytest.raises(BudgetExceeded, match="4 of 4 model calls"):
        RankBudget(given, None, file).start(0.0)


def test_files_with_the_same_bytes_are_the_first_ones(tmp_path: Path) -> None:
    for name, content in (("a", "x"), ("b", "y"), ("c", "x"), ("d", "longer")):
        (tmp_path / name).write_text(content)
    paths = [str(tmp_path / name) for name in ("b", "c", "a", "d", "none")]
    assert list(first_paths(paths).values()) == [str(tmp_path / "c")]


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with ExitStack() as stack, pytest.raises(UserError) as caught:
        connected("", stack)
    assert caught.value.hint == 'pip install "videoespresso[distributed]"'


def test_a_limit_in_frames_is_each_videos(tmp_path: Path) -> None:
    given = {"cache_dir": tmp_path, "detector": "off", "budget_frames": 7}
    context = open_dataset_context(Settings.load(given, environ={}))
    assert context.plan.max_frames == 7
    assert context.budget.frames_left is None
