"""The frame store: what goes in comes out, under the cap, whole, whoever else uses it."""

import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from videoespresso.errors import MemoryStoreError
from videoespresso.memory.frames import FrameStore, PixelsGone
from videoespresso.types import FrameRef, Picture, Video

VIDEO = Video(
    id="a" * 64, path="clip.mp4", duration_s=10, fps=Fraction(30000, 1001), width=64, height=48
)
OTHER = VIDEO.model_copy(update={"id": "b" * 64})


def picture(seed: int, time_s: float | None = None, side: int = 48) -> Picture:
    """Noise: about 9 kB as a JPEG, different for every seed."""
    rgb = np.random.default_rng(seed).integers(0, 256, (side, 64, 3), dtype=np.uint8)
    return Picture(seed / 10 if time_s is None else time_s, seed, rgb)


def flat(colour: tuple[int, int, int]) -> Picture:
    return Picture(1.2345, -1, np.full((48, 64, 3), colour, np.uint8))


def test_a_frame_comes_back_as_it_went_in(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    ref = store.put(VIDEO, flat((200, 30, 40)), "fps=1 static")
    assert ref.id == f"{'a' * 12}@1234"
    assert (ref.video_id, ref.time_s, ref.index, ref.rule) == (VIDEO.id, 1.2345, -1, "fps=1 static")
    assert (ref.width, ref.height, ref.fps) == (64, 48, Fraction(30000, 1001))
    image = store.image(ref)
    assert (image.mode, image.size) == ("RGB", (64, 48))
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 40)).max() <= 2


def test_a_coloured_line_one_pixel_wide_survives_the_jpeg(tmp_path: Path) -> None:
    rgb = np.full((48, 64, 3), 128, np.uint8)
    rgb[:, 32] = (255, 0, 0)
    store = FrameStore(tmp_path)
    back = np.asarray(store.image(store.put(VIDEO, Picture(0.0, 0, rgb), "keyframe")))
    assert back[24, 32, 0] > 200
    assert back[24, 32, 1] < 60


def test_the_same_picture_takes_room_once(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    first = store.put(VIDEO, picture(1, time_s=1.0), "keyframe")
    again = store.put(VIDEO, picture(1, time_s=2.0), "fps=1 static")
    assert first.sha == again.sha
    assert first.id != again.id
    assert store.stats().frames == 1


def test_the_default_root_is_in_the_cache_folder_and_made_with_the_first_frame(
    cache_folder: Path,
) -> None:
    store = FrameStore()
    assert store.root == cache_folder / "frames"
    assert not store.root.exists()
    assert store.stats().frames == 0
    assert store.sampling(VIDEO.id, "key") is None
    assert store.clear() == 0
    store.put(VIDEO, picture(0), "keyframe")
    assert store.root.is_dir()


def test_a_sampling_is_remembered_until_a_pixel_of_it_is_gone(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    refs = [store.put(VIDEO, picture(i), "keyframe") for i in range(3)]
    assert store.sampling(VIDEO.id, "key") is None
    store.record_sampling(VIDEO.id, "key", refs)
    assert FrameStore(tmp_path).sampling(VIDEO.id, "key") == refs
    assert store.sampling(VIDEO.id, "another plan") is None
    assert store.sampling(OTHER.id, "key") is None
    (tmp_path / VIDEO.id / f"{refs[1].sha}.jpg").unlink()
    assert store.sampling(VIDEO.id, "key") is None


def test_a_sampling_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    store.record_sampling(VIDEO.id, "key", [])
    assert store.sampling(VIDEO.id, "key") == []
    (tmp_path / VIDEO.id / "key.sampling.json").write_text('[{"of": "another version"}]')
    assert store.sampling(VIDEO.id, "key") is None


def test_what_was_found_of_frames_is_noted_until_the_video_is_forgotten(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    store.note(VIDEO.id, "bright", ["b", "a"])
    assert FrameStore(tmp_path).is_noted(VIDEO.id, "bright", ["b", "a"])
    assert not store.is_noted(VIDEO.id, "bright", ["a", "b"])
    assert not store.is_noted(VIDEO.id, "dark", ["b", "a"])
    assert not store.is_noted(OTHER.id, "bright", ["b", "a"])
    store.clear(VIDEO.id)
    assert not store.is_noted(VIDEO.id, "bright", ["b", "a"])


def test_the_cap_holds_and_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, cap_bytes=60_000)
    refs: list[FrameRef] = []
    for i in range(12):
        refs.append(store.put(VIDEO, picture(i), "keyframe"))
        file = tmp_path / VIDEO.id / f"{refs[-1].sha}.jpg"
        if file.exists():
            os.utime(file, (i, i))
        store.image(refs[0])  # used again and again: stays
    stats = store.stats()
    assert stats.bytes <= 60_000
    assert 0 < stats.frames < 12
    assert stats.evicted == 12 - stats.frames
    store.image(refs[0])
    store.image(refs[-1])
    with pytest.raises(MemoryStoreError, match="no longer in the frame store") as caught:
        store.image(refs[1])
    assert "sample the video again" in caught.value.hint


def test_a_frame_larger_than_the_cap_is_kept_until_the_next(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, cap_bytes=1)
    first = store.put(VIDEO, picture(1), "keyframe")
    store.image(first)
    store.put(VIDEO, picture(2), "keyframe")
    with pytest.raises(MemoryStoreError):
        store.image(first)


def test_a_damaged_frame_is_removed_not_shown(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    ref = store.put(VIDEO, picture(1), "keyframe")
    file = tmp_path / VIDEO.id / f"{ref.sha}.jpg"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(MemoryStoreError, match="damaged"):
        store.image(ref)
    assert not file.exists()


def test_a_damaged_frame_is_mended_when_it_is_put_again(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    ref = store.put(VIDEO, picture(1), "keyframe")
    file = store.file(VIDEO.id, ref.sha)
    file.write_bytes(file.read_bytes()[:100])
    assert store.put(VIDEO, picture(1), "keyframe") == ref
    store.image(ref)


def test_a_damaged_picture_is_not_kept(tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "store")
    ref = store.put(VIDEO, picture(1), "keyframe")
    store.file(VIDEO.id, ref.sha).write_bytes(b"")
    with pytest.raises(PixelsGone, match="damaged"):
        store.keep(VIDEO.id, ref.sha, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_kept_picture_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut in between would leave an empty file under it."""
    store, kept = FrameStore(tmp_path / "store"), tmp_path / "kept"
    ref = store.put(VIDEO, picture(1), "keyframe")
    data = store.file(VIDEO.id, ref.sha).read_bytes()
    synced: list[bytes] = []

    def sync(handle: int) -> None:
        assert not (kept / f"{ref.sha}.jpg").exists()
        synced.append(Path(f"/proc/self/fd/{handle}").read_bytes())

    monkeypatch.setattr(os, "fsync", sync)
    name = store.keep(VIDEO.id, ref.sha, kept)
    assert synced == [data]
    assert (kept / name).read_bytes() == data


def test_an_empty_picture_is_kept_again(tmp_path: Path) -> None:
    store, kept = FrameStore(tmp_path / "store"), tmp_path / "kept"
    ref = store.put(VIDEO, picture(1), "keyframe")
    file = kept / store.keep(VIDEO.id, ref.sha, kept)
    before = file.read_bytes()
    file.write_bytes(b"")
    store.keep(VIDEO.id, ref.sha, kept)
    assert file.read_bytes() == before


def test_clear_forgets_one_video_or_all(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    mine = store.put(VIDEO, picture(1), "keyframe")
    theirs = [store.put(OTHER, picture(i), "keyframe") for i in range(2)]
    store.record_sampling(OTHER.id, "key", theirs)
    assert (store.stats().videos, store.stats().frames, store.stats().samplings) == (2, 3, 1)
    assert store.clear(OTHER.id) == 2
    assert store.sampling(OTHER.id, "key") is None
    store.image(mine)
    assert store.clear() == 1
    assert store.stats().frames == store.stats().bytes == 0


def test_what_a_killed_process_left_is_swept_when_room_is_made(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, cap_bytes=20_000)
    store.put(VIDEO, picture(0), "keyframe")
    old, new = tmp_path / VIDEO.id / ".old.tmp", tmp_path / VIDEO.id / ".new.tmp"
    old.write_bytes(b"half a frame")
    new.write_bytes(b"half a frame")
    os.utime(old, (1, 1))
    for i in range(1, 6):
        store.put(VIDEO, picture(i), "keyframe")
    assert not old.exists()
    assert new.exists()


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("a file where the folder should be")
    with pytest.raises(MemoryStoreError, match="cannot use") as caught:
        FrameStore(tmp_path / "frames").put(VIDEO, picture(1), "keyframe")
    assert "VIDEOESPRESSO_CACHE_DIR" in caught.value.hint


_WRITER = """
import sys
from pathlib import Path
from tests.unit.test_frames import VIDEO, picture
from videoespresso.memory.frames import FrameStore
store = FrameStore(Path(sys.argv[1]), cap_bytes=int(sys.argv[2]))
for i in range(int(sys.argv[3]), int(sys.argv[3]) + 40):
    store.put(VIDEO, picture(i), "keyframe")
"""


def test_two_processes_write_and_evict_in_one_store(tmp_path: Path) -> None:
    cap = 150_000
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join([str(root), *(p for p in sys.path if p)])
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), str(cap), str(first)],
            env={**os.environ, "PYTHONPATH": paths},
            stderr=subprocess.PIPE,
        )
        for first in (0, 20)  # half of the frames are the same ones
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    assert not list(tmp_path.rglob("*.tmp"))
    store = FrameStore(tmp_path, cap_bytes=cap)
    store.put(VIDEO, picture(99), "keyframe")
    assert store.stats().bytes <= cap
    for file in (tmp_path / VIDEO.id).glob("*.jpg"):
        ref = store.put(VIDEO, picture(99), "keyframe").model_copy(update={"sha": file.stem})
        store.image(ref)  # whole: its bytes have the sha of its name


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, cap_bytes=80_000)
    errors: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for i in range(first, first + 15):
                store.put(VIDEO, picture(i), "keyframe")
        except MemoryStoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 5, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert store.stats().bytes <= 80_000
