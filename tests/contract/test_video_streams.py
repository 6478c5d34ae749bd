"""Subtitles and sound are decoded outside this process; streams may be many, or come late."""

import os
import signal
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.helpers.small import asked, square_video, with_subtitles

from videoespresso.errors import ToolError, VideoError
from videoespresso.tools.builtin.subtitles import Subtitles
from videoespresso.tools.decode import probe as probing
from videoespresso.tools.decode import words
from videoespresso.tools.decode.process import DecodeProcess
from videoespresso.tools.streams import RATE, read_lines, read_sound
from videoespresso.tools.video import open_video, probe

TONE = 440


def beat() -> None:
    """Nobody watches."""


def video_with_sound(
    path: Path, seconds: float, sound_from: float, size: tuple[int, int] = (64, 48)
) -> Path:
    """Grey pictures, and a tone that begins later."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        tone = out.add_stream("aac", rate=RATE)
        assert isinstance(stream, av.VideoStream)
        assert isinstance(tone, av.AudioStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        grey = np.full((size[1], size[0], 3), 90, np.uint8)
        for _ in range(int(seconds * 10)):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        out.mux(stream.encode(None))
        first = round(sound_from * RATE) // 1024
        for k in range(first, int(seconds * RATE) // 1024):
            t = (np.arange(1024) + k * 1024) / RATE
            wave = np.sin(2 * np.pi * TONE * t).astype(np.float32)[None] / 2
            frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, k * 1024, Fraction(1, RATE)
            out.mux(tone.encode(frame))
        out.mux(tone.encode(None))
    return path


def test_subtitles_are_read_without_a_decoder_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_subtitles(square_video(tmp_path / "a.mp4"), tmp_path / "b.mkv")
    video = probe(path)
    monkeypatch.setitem(sys.modules, "av", None)
    found = Subtitles().run(asked(video, (4.0,), start_s=0, end_s=8))
    assert [f.text for f in found] == ["Subtitle: Where is the key?", "Subtitle: Under the mat."]


def test_only_the_lines_of_the_stretch_leave_the_process(tmp_path: Path) -> None:
    path = with_subtitles(square_video(tmp_path / "a.mp4"), tmp_path / "b.mkv")
    lines = read_lines(path, [(4.0, 8.0)], "embedded")
    assert lines is not None
    assert [line.text for line in lines] == ["Under the mat."]


def test_too_many_lines_are_refused_and_long_ones_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_subtitles(square_video(tmp_path / "a.mp4"), tmp_path / "b.mkv")
    monkeypatch.setattr(words, "MOST_LETTERS", 5)
    assert [line.text for line in words.embedded(str(path), [(0, 9)], beat)] == ["Where", "Under"]
    monkeypatch.setattr(words, "MOST_LINES", 1)
    with pytest.raises(VideoError, match="more than 1 subtitles") as caught:
        words.embedded(str(path), [(0, 9)], beat)
    assert "shorter" in caught.value.hint


def test_sound_comes_at_its_instants_and_silence_before(tmp_path: Path) -> None:
    path = video_with_sound(tmp_path / "tone.mkv", 6, sound_from=2)
    samples = read_sound(path, 1.0, 4.0)
    assert samples.shape == (3 * RATE,)
    level = np.abs(samples).reshape(30, -1).max(axis=1)
    assert level[:8].max() < 0.05
    assert level[12:].min() > 0.3
    spectrum = np.abs(np.fft.rfft(samples[-RATE:]))
    assert int(spectrum.argmax()) == TONE


def test_sound_that_cannot_be_read_is_a_tool_s_error(tmp_path: Path) -> None:
    path = square_video(tmp_path / "silent.mp4", seconds=1)
    with pytest.raises(ToolError, match="no sound") as caught:
        read_sound(path, 0, 1)
    assert caught.value.hint
    (tmp_path / "noise.mkv").write_bytes(os.urandom(4000))
    with pytest.raises(ToolError, match="not a video"):
        read_lines(tmp_path / "noise.mkv", [(0, 9)], "embedded")


def test_what_is_no_file_is_refused_before_it_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.srt")
    with pytest.raises(ToolError, match="a pipe or a device"):
        read_lines(tmp_path / "clip.srt", [(0, 9)], "beside")


@pytest.mark.extras
def test_a_parser_that_stumbles_over_a_side_car_is_an_error_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("pysubs2")
    for text in ("nothing of the kind", "1\n99999999:00:00,0 --> x", "[Events]\nFormat: a\n"):
        (tmp_path / "clip.srt").write_text(text)
        with suppress(ToolError):
            assert read_lines(tmp_path / "clip.srt", [(0, 9)], "beside") == []


@pytest.mark.extras
def test_a_side_car_of_a_giant_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pysubs2")
    monkeypatch.setattr(words, "MOST_BYTES", 10)
    (tmp_path / "clip.srt").write_text("x" * 100)
    with pytest.raises(VideoError, match="too large"):
        words.beside(str(tmp_path / "clip.srt"), [(0, 9)], beat)


def test_more_streams_than_any_film_has_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(probing.MOST_STREAMS):
            out.add_stream("pcm_s16le", rate=8000)
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
        out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    with pytest.raises(VideoError, match="more than 128 streams"), open_video(path):
        pass


def broadcast(path: Path, begin: float, seconds: int, sound: bool) -> bytes:
    """A programme of a transport stream: noise, which is large, with or without sound."""
    draw = np.random.default_rng(1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg2video", rate=25, options={"qmin": "1", "qmax": "2"})
        tone = out.add_stream("aac", rate=RATE) if sound else None
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        noise = [draw.integers(0, 255, (96, 160, 3), np.uint8) for _ in range(5)]
        for k in range(seconds * 25):
            picture = av.VideoFrame.from_ndarray(noise[k % 5], "rgb24")
            picture.pts = round(begin * 25) + k
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
        if isinstance(tone, av.AudioStream):
            for k in range(seconds * RATE // 1024):
                silence = np.zeros((1, 1024), np.float32)
                frame = av.AudioFrame.from_ndarray(silence, "fltp", "mono")
                frame.sample_rate, frame.pts = RATE, round(begin * RATE) + k * 1024
                out.mux(tone.encode(frame))
            out.mux(tone.encode(None))
    return path.read_bytes()


def test_a_stream_that_appears_late_does_not_end_the_decode(tmp_path: Path) -> None:
    """As in a broadcast whose second programme has sound, which PyAV does not know at opening."""
    path, part = tmp_path / "late.ts", tmp_path / "part.ts"
    parts = [broadcast(part, *given) for given in ((0, 8, False), (8, 4, True), (12, 8, False))]
    path.write_bytes(b"".join(parts))
    part.write_bytes(b"".join(parts[1:]))
    with av.open(str(path)) as opening, av.open(str(part)) as later:
        assert not opening.streams.audio, "the sound is not late"
        assert later.streams.audio
    container, stream = probing.open_stream(str(path))
    with container:
        sizes = [packet.size for packet in probing.packets_of(str(path), container, stream)]
    assert (len(sizes), sizes.count(0)) == (501, 1), "each once, one flush"
    with open_video(path) as reader:
        times = [p.time_s for p in reader.at([1.0, 10.0, 19.0], 64)]
        keys = [p.time_s for p in reader.keyframes(64)]
    assert times == pytest.approx([1.0, 10.0, 19.0], abs=0.05)
    assert max(keys) > 18


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="only Linux shows a limit")
def test_a_request_has_a_limit_on_its_processor_time(tmp_path: Path) -> None:
    with open_video(square_video(tmp_path / "a.mp4", seconds=1)) as reader:
        limits = Path(f"/proc/{reader.pid}/limits").read_text()
        line = next(row for row in limits.splitlines() if "cpu time" in row)
        assert 600 <= int(line.split()[3]) < 700
        os.kill(reader.pid, signal.SIGXCPU)
        with pytest.raises(VideoError, match="processor time") as caught:
            next(reader.at([0.5], 64))
    assert "convert" in caught.value.hint


def test_the_process_that_reads_streams_has_no_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/environ").exists():
        pytest.skip("reads Linux's /proc")
    monkeypatch.setenv("LOGIN_OF_THE_DATABASE", "planted-12345678")
    seen: list[bytes] = []
    ask = DecodeProcess.ask

    def watched(self: DecodeProcess, **request: object) -> object:
        seen.append(Path(f"/proc/{self.pid}/environ").read_bytes())
        return ask(self, **request)

    monkeypatch.setattr(DecodeProcess, "ask", watched)
    read_lines(square_video(tmp_path / "a.mp4", seconds=1), [(0, 1)], "embedded")
    assert seen
    assert b"planted" not in seen[0]
