"""The caption memory when things go wrong: damaged files, dead processes, held locks."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.captions import Words, caption

from videoespresso.errors import MemoryStoreError
from videoespresso.memory.caption_index import ChromaFolder
from videoespresso.memory.captions import CaptionMemory, CaptionMemoryWarning
from videoespresso.memory.disk import writer_lock

SOURCES = Path(__file__).resolve().parents[2] / "src"

MANY = [caption(float(k), f"frame{k} thing{k % 97} place{k % 31}") for k in range(1200)]
"""Enough for Chroma to write its graph to files of its own (from 1,000 entries)."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    CaptionMemory.open(folder, Words(d=512)).add("v", MANY)
    return folder


@pytest.fixture
def root(filled: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(filled, tmp_path / "memory")


DAMAGE = ["sqlite garbage", "sqlite middle", "sqlite cut", "sqlite empty", "data_level0.bin",
          "header.bin", "length.bin", "index_metadata.pickle", "link_lists.bin gone",
          "index_metadata.pickle gone"]  # fmt: skip

DAMAGE_OF_EACH_KIND = ("sqlite garbage", "sqlite cut", "data_level0.bin", "link_lists.bin gone")
"""Of the database and of the graph, garbage and what is missing."""


def damage(root: Path, how: str) -> None:
    (index,) = root.glob("index-*")
    name, _, action = how.partition(" ")
    (path,) = index.rglob("chroma.sqlite3" if name == "sqlite" else name)
    data = path.read_bytes()
    if action == "gone":
        path.unlink()
    elif action == "empty":
        path.write_bytes(b"")
    elif action == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif action == "middle":
        third = len(data) // 3
        path.write_bytes(data[:4096] + b"\xff" * third + data[4096 + third :])
    else:
        path.write_bytes(np.random.default_rng(0).bytes(len(data)))


@pytest.mark.parametrize(
    ("how", "opened_before"),
    [*((how, False) for how in DAMAGE), *((how, True) for how in DAMAGE_OF_EACH_KIND)],
)
def test_a_damaged_index_is_made_again_and_says_so(
    how: str, opened_before: bool, root: Path
) -> None:
    memory = CaptionMemory.open(root, Words(d=512))
    if opened_before:
        assert memory.search("frame7 thing7 place7", ["v"], 1)
    damage(root, how)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        found = memory.search("frame7 thing7 place7", ["v"], 1)
    assert found[0].caption == MANY[7]
    if how != "sqlite empty":  # an empty file is a valid, empty database: it is just filled again
        assert [w.category for w in raised] == [CaptionMemoryWarning]
        assert "made again" in str(raised[0].message)
    assert memory.captions("v") == MANY
    assert memory.stats().indexed == 1200
    assert CaptionMemory.open(root, Words(d=512)).search("frame9", ["v"], 1)


def test_rebuild_repairs_an_index_in_any_state(root: Path) -> None:
    damage(root, "sqlite garbage")
    assert CaptionMemory.open(root, Words(d=512)).rebuild().indexed == 1200


def test_an_index_that_another_process_has_made_again_is_kept(tmp_path: Path) -> None:
    where = ChromaFolder(tmp_path)
    broken = where.version()
    ChromaFolder(tmp_path).discard(broken)
    where.discard(broken)
    assert [path.name for path in tmp_path.glob("index-*")] == ["index-2"]


def test_the_lock_says_who_waits_for_whom(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with (
        writer_lock(path),
        pytest.raises(MemoryStoreError) as caught,
        writer_lock(path, wait_s=0.1),
    ):
        pass
    assert caught.value.hint
    with writer_lock(path, wait_s=0.1):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from videoespresso.memory.disk import writer_lock\n"
        "with writer_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "x.lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env=os.environ | {"PYTHONPATH": str(SOURCES)},
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(MemoryStoreError), writer_lock(path, wait_s=0.1):
            pass
        holder.kill()
    with writer_lock(path, wait_s=5.0):
        pass
