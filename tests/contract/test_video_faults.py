"""Files that cannot be used get a remedy; decoders that hang, crash or leak are contained."""

import errno
import os
import shutil
import signal
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.helpers import videos
from tests.helpers.videos import RECIPES, encode, read_number

from videoespresso.errors import VideoError
from videoespresso.tools.decode.process import DecodeProcess
from videoespresso.tools.decode.worker import MEMORY
from videoespresso.tools.video import Backend, open_video
from videoespresso.types import Video

BACKENDS: tuple[Backend, ...] = ("pyav", "decord")
FULL = 10_000
"""A `max_side` that reduces nothing here."""

BY_NAME = {recipe.name: recipe for recipe in RECIPES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


def made(folder: Path, name: str) -> Path:
    """The recipe's file, encoded once a module."""
    path = folder / name
    return path if path.exists() else encode(path, BY_NAME[name])


# --- files that cannot be used --------------------------------------------------------------------

BAD: dict[str, tuple[bytes | Callable[[Path, str], bytes], str, str]] = {
    "empty.mp4": (b"", "is empty", "download it again"),
    "text.mp4": (videos.TEXT, "is text, not a video", "error page"),
    "text.txt": (videos.TEXT, "text", "give the video file itself"),
    "list.m3u8": (videos.PLAYLIST, "not a video", "give the video file"),
    "list.mp4": (videos.PLAYLIST, "is text", "give the video file"),
    "concat.mp4": (videos.file_list, "playlist", "give the video file itself"),
    "noise.mp4": (bytes(range(256)) * 40, "is not a video", "mp4, mkv"),
    "sound.m4a": (videos.sound_only, "has sound but no pictures", "video stream"),
    "no-frames.mp4": (videos.no_frames, "holds no pictures", "download it again"),
    "no-frames.mkv": (videos.no_frames, "pictures are missing", "download it again"),
    "cut-off.mp4": (videos.cut_off, "cut off", "download it again"),
    "cut-off.mkv": (videos.cut_off, "cut off", "download it again"),
    "cut-off.webm": (videos.cut_off, "cut off", "download it again"),
    "cut-off.avi": (videos.cut_off, "cut off", "download it again"),
    "cut-off-with-index.mp4": (videos.cut_off_with_index, "cut off", "ffmpeg -i INPUT -c copy"),
    "encrypted.mp4": (videos.encrypted, "encrypted", "without copy protection"),
    "unknown-codec.mp4": (videos.unknown_codec, "codec", "convert it"),
    "damaged.mp4": (videos.damaged, "none of its 60 packets", "convert it"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_with_a_remedy(tmp_path: Path, name: str, backend: Backend) -> None:
    content, says, remedy = BAD[name]
    data = content if isinstance(content, bytes) else content(tmp_path, name)
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(VideoError) as caught:
        open_video(path, backend=backend)
    assert name in str(caught.value)
    assert says in str(caught.value)
    assert remedy in caught.value.hint
    assert "\n" not in str(caught.value)


def test_missing_folder_pipe_and_address(tmp_path: Path) -> None:
    (tmp_path / "qwertyuiop.avi").symlink_to("gone.mp4")
    (tmp_path / "holiday.mp4").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.mp4")
    cases: list[tuple[str | Path, str, str]] = [
        (tmp_path / "holyday.mp4", "no such file", "holiday.mp4"),
        (tmp_path / "nowhere" / "clip.mp4", "no such file", "there is no folder"),
        (tmp_path / "qwertyuiop.avi", "no such file", "a link to gone.mp4, which is not there"),
        (tmp_path / "qwertzuiop.avi", "no such file", "check the path"),
        (tmp_path, "is a folder", "one video file"),
        (tmp_path / "pipe.mp4", "is a pipe", "save the video to a file"),
        (Path("https://example.org/clip.mp4"), "no such file", "not as a Path"),
        (tmp_path / ("x" * 300), "cannot be reached", "check the path"),
    ]
    for path, says, remedy in cases:
        with pytest.raises(VideoError, match=says) as caught:
            open_video(path)
        assert remedy in caught.value.hint


def test_a_packet_that_cannot_be_decoded_costs_its_frames_only(
    folder: Path, tmp_path: Path
) -> None:
    whole = bytearray(made(folder, "vp9.webm").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 60] = bytes(60)
    path = tmp_path / "scratched.webm"
    path.write_bytes(whole)
    with open_video(path, backend="pyav") as reader:
        numbers = {read_number(p.rgb) for p in reader.at([i / 25 for i in range(60)], FULL)}
    assert len(numbers) > 20


# --- decoders that hang, crash or are left behind -------------------------------------------------


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_decoder_without_progress_is_ended(folder: Path) -> None:
    with open_video(made(folder, "h264.mp4")) as reader:
        pictures = reader.at([0.0, 1.0, 2.0], FULL)
        next(pictures)
        reader._process._stall_s = 0.5  # only now: a busy machine may start slowly
        pid = reader.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(VideoError, match=r"no progress in 0\.5 s") as caught:
            next(pictures)
        assert "convert it" in caught.value.hint
        assert gone(pid)
        with pytest.raises(VideoError, match="is closed"):
            next(reader.at([0.0], FULL))


def test_a_file_that_blocks_is_given_up(tmp_path: Path) -> None:
    fifo = tmp_path / "blocks.mp4"
    os.mkfifo(fifo)  # open() waits for a writer that never comes
    process = DecodeProcess(fifo.name, stall_s=1.5)
    with pytest.raises(VideoError, match=r"no progress in 1\.5 s"):
        process.ask(do="open", path=str(fifo), backend="pyav", digest=True)
    assert gone(process.pid)


def test_a_slow_file_that_makes_progress_is_waited_for(folder: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "slow.mp4"
    os.mkfifo(fifo)
    data = made(folder, "h264.mp4").read_bytes()

    def drip() -> None:
        with open(fifo, "wb", buffering=0) as pipe:
            for _ in range(6):
                pipe.write(bytes(1 << 20))
                time.sleep(0.4)
            pipe.write(data)

    writer = threading.Thread(target=drip)
    writer.start()
    process = DecodeProcess(fifo.name, stall_s=2.0)
    # the digest alone takes 2.4 s; what follows cannot be decoded, as a pipe cannot be read twice
    started = time.monotonic()
    with pytest.raises(VideoError):
        process.ask(do="open", path=str(fifo), backend="pyav", digest=True)
    assert time.monotonic() - started > 2.4
    process.end()
    writer.join()


def test_a_decoder_that_crashes_is_an_error_of_the_file(folder: Path) -> None:
    with open_video(made(folder, "h264.mp4")) as reader:
        pictures = reader.at([0.0, 1.0], FULL)
        next(pictures)
        os.kill(reader.pid, signal.SIGSEGV)
        with pytest.raises(VideoError, match=f"ended with status {-signal.SIGSEGV}"):
            next(pictures)


@pytest.mark.parametrize("began", [False, True])
def test_a_film_that_is_replaced_while_it_is_read_lends_its_name_to_no_other(
    folder: Path, tmp_path: Path, began: bool
) -> None:
    path, other = tmp_path / "a.mp4", tmp_path / "b.mp4"
    shutil.copy(made(folder, "h264.mp4"), path)
    shutil.copy(made(folder, "b-frames.mp4"), other)
    with open_video(path) as reader:
        pictures = reader.at(iter([0.0, 1.0]), FULL)
        if began:
            next(pictures)
        other.replace(path)
        with pytest.raises(VideoError, match="changed while it was read"):
            next(pictures)


def test_a_film_that_is_deleted_while_it_is_read_is_read_to_its_end(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    shutil.copy(made(folder, "h264.mp4"), path)
    with open_video(path) as reader:
        pictures = reader.at([0.0, 1.0], FULL)
        assert read_number(next(pictures).rgb) == 0
        path.unlink()
        assert read_number(next(pictures).rgb) == 25


def test_no_more_processes_is_an_error_of_ours(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", none)
    with pytest.raises(VideoError, match="cannot be started"), open_video(made(folder, "h264.mp4")):
        pass


@pytest.mark.parametrize("path", ["a\0.mp4", "a\ud800.mp4", "~nobody-of-that-name/a.mp4"])
def test_what_can_be_no_path_is_an_error_of_ours(path: str) -> None:
    with pytest.raises(VideoError, match=r"is no path|no such file"), open_video(path):
        pass


@pytest.mark.parametrize("rate", ["1/0", "1e999999999", "nan", "-1", "", "1/00", "1 /2"])
def test_a_rate_in_a_stranger_s_record_is_a_number_or_an_error(rate: str) -> None:
    with pytest.raises(ValidationError, match="no rate"):
        Video(id="a", path="a.mp4", duration_s=1, fps=rate, width=1, height=1)
    for good in ("25", "30000/1001", "29.97"):
        Video(id="a", path="a.mp4", duration_s=1, fps=good, width=1, height=1)


def test_a_reader_that_is_closed_or_forgotten_leaves_no_process(folder: Path) -> None:
    path = made(folder, "h264.mp4")
    reader = open_video(path)
    pictures = reader.at([0.0, 1.0], FULL)
    first = next(pictures)
    pid = reader.pid
    reader.close()
    reader.close()
    assert gone(pid)
    assert read_number(first.rgb) == 0
    forgotten = open_video(path)
    pid = forgotten.pid
    del forgotten
    assert gone(pid)
    with pytest.raises(VideoError, match="is closed"):
        next(pictures)


def test_threads_share_a_reader(folder: Path) -> None:
    wrong: list[int] = []
    with open_video(made(folder, "b-frames.mp4")) as reader:

        def work(first: int) -> None:
            for i, picture in enumerate(reader.at([t / 25 for t in range(first, 60, 4)], 128)):
                if read_number(picture.rgb) != first + 4 * i:
                    wrong.append(first)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


# --- long videos ----------------------------------------------------------------------------------


def peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_does_not_grow_with_length(folder: Path, backend: Backend) -> None:
    peaks = []
    with open_video(made(folder, "thirty-minutes.mp4"), backend=backend) as reader:
        tracemalloc.start()
        for _ in reader.keyframes(128):
            pass
        for second, _ in enumerate(reader.at(range(1800), 128)):
            if second in (600, 1799):
                here = tracemalloc.get_traced_memory()[1] // 1024
                peaks.append((peak_kib(reader.pid), here))
        tracemalloc.stop()
    (third, third_here), (whole, whole_here) = peaks
    # 1,199 pictures of 27 kB are 32 MiB: had anyone kept them, it would show; decord's threads
    # take another 11 to 16 MiB when it suits them
    assert whole - third < 24 * 1024
    assert whole_here - third_here < 1024
    assert whole_here < 8 * 1024


# --- what a file may take -------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="only Linux shows a limit")
def test_the_decoding_process_has_a_memory_limit_and_no_keys(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGIN_OF_THE_DATABASE", "planted-12345678")
    with open_video(made(folder, "rotated-90.mp4")) as reader:
        limits = Path(f"/proc/{reader.pid}/limits").read_text()
        environ = Path(f"/proc/{reader.pid}/environ").read_bytes()
        used = int(Path(f"/proc/{reader.pid}/statm").read_text().split()[0]) * os.sysconf(
            "SC_PAGESIZE"
        )
    address_space = next(line for line in limits.splitlines() if "address space" in line)
    assert MEMORY < int(address_space.split()[3]) < used + 1.01 * MEMORY  # a frame is small here
    assert b"planted" not in environ
    assert b"PATH" in environ


def test_a_frame_above_8k_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    from PIL import Image  # noqa: PLC0415 - only here

    Image.new("1", (9000, 4400)).save(path)
    with pytest.raises(VideoError, match="larger than 8K") as caught, open_video(path):
        pass
    assert "scale" in caught.value.hint
