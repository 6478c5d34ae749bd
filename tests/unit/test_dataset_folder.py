"""A dataset's folder: what is swept from it, what is merged, what is refused."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from videoespresso.dataset.folder import (
    LEFT_OVER_S,
    DamagedShard,
    Folder,
    see_folder,
    shown,
    written,
)
from videoespresso.dataset.manifest import write_manifest
from videoespresso.errors import UserError
from videoespresso.memory import frames
from videoespresso.report.parts import write_text


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "set")
    made.open()
    return made


def age(*files: Path) -> None:
    """As if nobody had written to them for two hours."""
    for file in files:
        before = file.stat().st_mtime - 2 * LEFT_OVER_S
        os.utime(file, (before, before))


def hidden(folder: Folder) -> set[Path]:
    return {file for file in folder.root.rglob(".*") if file.is_file()}


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def half_written(path: Path) -> None:
    with written(path) as file:
        file.write("half")


def test_what_killed_runs_left_is_swept_when_it_is_old(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        patched.setattr(Path, "replace", killed)
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        for path in (folder.records, folder.rejects, folder.manifest, folder.shard("a" * 16)):
            with pytest.raises(KeyboardInterrupt):
                half_written(path)
        with pytest.raises(KeyboardInterrupt):
            frames._write(folder.frames / "f.jpg", b"half")
        with pytest.raises(KeyboardInterrupt):
            write_text("half", folder.page, flag="--out")
    left = hidden(folder)
    assert len(left) == 6
    folder.open()
    assert hidden(folder) == left, "a run beside this one may be writing them"
    age(*left)
    folder.open()
    assert hidden(folder) == set()


@pytest.mark.parametrize("place", ["", "frames", "work"])
def test_hidden_files_of_others_stay(folder: Folder, place: str) -> None:
    names = (".gitignore", ".gitattributes", ".env", ".records.jsonl.swp", ".nfs000000000000abcd")
    mine = {folder.root / place / name for name in names}
    for file in mine:
        file.write_text("mine")
    age(*mine)
    folder.open()
    assert hidden(folder) == mine


def test_a_second_run_leaves_the_mark_of_a_running_job(folder: Folder) -> None:
    with shown(folder) as token:
        age(folder.cluster / f"{token}.token")
        folder.open()
        see_folder(folder, token)


def test_a_folder_is_one_cluster_runs_at_a_time_and_what_a_killed_one_left_goes(
    folder: Folder,
) -> None:
    folder.cluster.mkdir()
    left = [folder.cluster / name for name in ("old.token", "rank-0-of-2.spent")]
    replies = folder.cluster / "rank-0-of-2.sqlite"
    for file in (*left, replies):
        file.touch()
    with shown(folder):
        assert not any(file.exists() for file in left)
        with pytest.raises(UserError, match="another command builds"), shown(folder):
            pass
    assert replies.exists()


def shard(video: str, records: int = 1) -> dict[str, Any]:
    items = [{"id": f"{video[0]}{k}", "group": k} for k in range(records)]
    return {
        "path": f"{video[0]}.mp4", "file": f"/{video[0]}.mp4", "video_id": video,
        "complete": True, "items": items, "rejects": [], "failures": [],
    }  # fmt: skip


@pytest.mark.parametrize("damage", ["", '{"path": "b.mp4", "it', "[]", "{}", '{"items": 3}', "\0"])
def test_a_damaged_shard_is_left_out_with_a_warning_until_it_is_written_again(
    folder: Folder, damage: str
) -> None:
    names = ["a" * 16, "b" * 16]
    for name in names:
        folder.write_shard(name, shard(4 * name))
    folder.shard(names[1]).write_text(damage)
    with pytest.warns(DamagedShard, match=f"{names[1]}.shard.json is damaged"):
        assert folder.merge()["records"] == 1
    assert not folder.has(names[1], "made")
    folder.write_shard(names[1], shard(4 * names[1]))
    assert folder.merge()["records"] == 2


def finished(folder: Folder) -> bytes:
    folder.write_shard("a" * 16, shard("a" * 64))
    write_manifest(folder, {}, folder.merge(), {})
    return folder.records.read_bytes()


@pytest.mark.parametrize("left", ["no work/", "an empty work/"])
def test_a_dataset_without_its_work_is_refused_and_its_records_stay(
    folder: Folder, left: str
) -> None:
    records = finished(folder)
    shutil.rmtree(folder.work)
    if left == "an empty work/":
        folder.work.mkdir()
    with pytest.raises(UserError, match="a dataset whose work/ was deleted") as caught:
        folder.open()
    assert "a new folder" in caught.value.hint
    assert folder.records.read_bytes() == records


def test_a_dataset_that_had_no_records_goes_on_without_its_work(folder: Folder) -> None:
    write_manifest(folder, {}, folder.merge(), {})
    shutil.rmtree(folder.work)
    folder.open()
    assert folder.work.is_dir()


@pytest.mark.parametrize("name", ["holiday.mp4", "records.jsonl", "dataset.json"])
def test_a_folder_with_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="something else than a dataset"):
        Folder(tmp_path).open()
