"""A video whose cached frames are damaged or gone is looked at again; no other one hears of it."""

from pathlib import Path

import pytest
from tests.graph.test_dataset import ROLES, Teacher
from tests.helpers.clips import clip
from tests.helpers.scripted import ScriptedModel, scripted_context

from videoespresso.dataset.folder import Folder
from videoespresso.dataset.video_worker import TRIES, Outcome, Worker
from videoespresso.memory.frames import FrameStore


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return clip(tmp_path / "video.mp4", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "out")
    made.open()
    return made


def work(folder: Folder, video: Path, seed: int = 0) -> tuple[Outcome, ScriptedModel]:
    cache = folder.root.parent / "cache"
    context, model = scripted_context(cache, Teacher().script(), roles=ROLES, detector="embedded:")
    return Worker(folder, context, seed=seed).do(str(video)), model


def cached(folder: Folder) -> list[Path]:
    return sorted((folder.root.parent / "cache/frames").glob("*/*.jpg"))


@pytest.mark.parametrize("damage", [b"", b"\xff\xd8 torn"])
def test_damaged_frames_are_decoded_anew_and_nobody_is_asked(
    folder: Folder, video: Path, damage: bytes
) -> None:
    first, _ = work(folder, video)
    before = {file: file.read_bytes() for file in cached(folder)}
    for file in list(before)[::2]:
        file.write_bytes(damage)
    again, model = work(folder, video)
    assert again.complete
    assert again.items == first.items
    assert model.asked == {}
    assert {file: file.read_bytes() for file in cached(folder)} == before


@pytest.mark.parametrize("damage", [None, b"\xff\xd8 torn"])
def test_a_core_frames_picture_is_never_a_copy_of_a_damaged_one(
    folder: Folder, video: Path, damage: bytes | None
) -> None:
    work(folder, video)
    kept = {file.name: file.read_bytes() for file in folder.frames.iterdir()}
    for name in kept:
        (folder.frames / name).unlink()
        (source,) = (file for file in cached(folder) if file.name == name)
        source.unlink() if damage is None else source.write_bytes(damage)
    again, _ = work(folder, video)
    assert again.complete
    assert {file.name: file.read_bytes() for file in folder.frames.iterdir()} == kept


def test_a_store_too_small_for_a_video_is_its_failure_and_not_the_runs(
    folder: Folder, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    record = FrameStore.record_sampling
    with monkeypatch.context() as patch:
        patch.setitem(FrameStore.__init__.__kwdefaults__, "cap_bytes", 1)
        patch.setattr(
            FrameStore,
            "record_sampling",
            lambda *given: (decoded.append(len(given[-1])), record(*given)),
        )
        lost, _ = work(folder, video)
    assert len(decoded) == TRIES
    assert not lost.complete
    (failure,) = lost.failures.values()
    assert failure["stage"] == "sample"
    assert "no longer in the frame store" in failure["reason"]
    mended, _ = work(folder, video)
    assert mended.complete
    assert mended.items
