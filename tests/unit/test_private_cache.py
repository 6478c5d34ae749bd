"""The cache is for its owner alone, also one that an earlier version left open."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.web import Site, local, serve

from videoespresso.errors import SettingsError
from videoespresso.graphs.context import open_context
from videoespresso.memory.captions import CaptionMemory
from videoespresso.memory.disk import OURS, mend
from videoespresso.memory.frames import FrameStore
from videoespresso.memory.replies import ReplyCache
from videoespresso.memory.threads import ThreadStore
from videoespresso.models.embedders import embedder
from videoespresso.settings import Settings
from videoespresso.tools.fetch.download import fetch
from videoespresso.tools.video import probe
from videoespresso.types import Caption, Picture

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
SAMPLE = Path(__file__).resolve().parents[2] / "examples/videos/room.mp4"


@pytest.fixture(autouse=True)
def _wide_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(root: Path) -> list[str]:
    """What others may read, list or write."""
    return [str(p.relative_to(root)) for p in (root, *root.rglob("*")) if modes(p) & 0o077]


def modes(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def fill(cache: Path) -> None:
    """Something from every store."""
    memory = CaptionMemory.open(None, embedder(), root=cache / "memory")
    memory.add("v" * 64, [Caption(frame_id="v@0", time_s=0.0, text="a red car")])
    memory.search("car", ["v" * 64], 1)
    with ThreadStore(cache / "chats"):
        pass
    with Site() as site:
        site.pages["/room.mp4"] = serve(SAMPLE.read_bytes())
        fetch(site.url("/room.mp4"), local(cache))


def test_every_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    cache = tmp_path / "a" / "cache"
    fill(cache)
    frames_and_replies(cache)
    assert {path.name for path in cache.iterdir()} <= set(OURS)
    assert {"frames", "memory", "chats", "downloads", "replies.sqlite"} <= {
        path.name for path in cache.iterdir()
    }
    assert open_to_others(cache) == []
    assert modes(tmp_path / "a") == 0o700
    assert modes(cache / "replies.sqlite") == 0o600


def frames_and_replies(cache: Path) -> None:
    picture = Picture(0.0, 0, np.zeros((8, 8, 3), np.uint8))
    FrameStore(cache / "frames").put(probe(SAMPLE), picture, "test")
    replies = ReplyCache(cache / "replies.sqlite")
    with replies.lock("0" * 64):
        replies.clear()


def test_an_older_cache_is_closed_when_it_is_opened(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for name in ("frames/ab", "memory/index-1", "downloads/files"):
        (cache / name).mkdir(parents=True)
        (cache / name / "file").write_text("x")
    (cache / "replies.sqlite").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("somebody's own")
    (cache / "frames" / "link").symlink_to(elsewhere)
    open_context(Settings(cache_dir=cache, profile="embedded"))
    assert [path for path in open_to_others(cache) if path != "frames/link"] == []
    assert modes(elsewhere) == 0o644


def test_what_is_not_ours_stays_open(tmp_path: Path) -> None:
    """A folder that somebody chose as the cache may hold other things."""
    (tmp_path / "frames").mkdir()
    (tmp_path / "homework").mkdir()
    before = modes(tmp_path)
    mend(tmp_path)
    assert (modes(tmp_path / "frames"), modes(tmp_path / "homework")) == (0o700, 0o755)
    assert modes(tmp_path) == before
    mend(tmp_path / "homework" / "missing")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a place where no folder can be made")
def test_a_cache_that_cannot_be_made_is_said_by_its_own_name() -> None:
    with pytest.raises(SettingsError, match="the cache folder /proc/nope cannot be made") as caught:
        open_context(Settings(cache_dir=Path("/proc/nope"), profile="embedded"))
    assert "VIDEOESPRESSO_CACHE_DIR" in caught.value.hint


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_cache_path_that_is_a_file_is_said_before_anything_else(
    tmp_path: Path, below: str
) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(SettingsError, match="is a file") as caught:
        open_context(Settings(cache_dir=tmp_path / "cache" / below, profile="embedded"))
    assert "VIDEOESPRESSO_CACHE_DIR" in caught.value.hint
    assert (tmp_path / "cache").read_text() == "a file"
