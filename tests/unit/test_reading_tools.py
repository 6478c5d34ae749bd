"""The built-in tools that read and listen: subtitles, text on frames, speech."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.helpers.small import LINES, asked, sign, square_video, srt, with_subtitles

from videoespresso.errors import ToolError
from videoespresso.tools.builtin import subtitles, transcript
from videoespresso.tools.builtin.read_text import ReadText
from videoespresso.tools.builtin.subtitles import Subtitles, side_cars
from videoespresso.tools.builtin.transcript import Transcript
from videoespresso.tools.registry import run_tool
from videoespresso.tools.streams import RATE
from videoespresso.tools.video import probe
from videoespresso.types import Video


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading")


@pytest.fixture(scope="module")
def video(folder: Path) -> Video:
    return probe(square_video(folder / "square.mp4"))


# ---- subtitles


def test_subtitles_inside_the_file_are_read(folder: Path, video: Video) -> None:
    path = with_subtitles(Path(video.path), folder / "inside.mkv")
    found = Subtitles().run(asked(probe(path), (4.0,), start_s=0, end_s=8))
    assert [(round(f.time_s, 2), f.text) for f in found] == [
        (1.0, "Subtitle: Where is the key?"),
        (5.0, "Subtitle: Under the mat."),
    ]
    (near,) = Subtitles().run(asked(probe(path), (7.0,)))
    assert near.text == "Subtitle: Under the mat."


def test_a_side_car_needs_pysubs2_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = square_video(tmp_path / "clip.mp4", seconds=2)
    (tmp_path / "clip.en.srt").write_text(srt())
    real = subtitles.read_lines
    monkeypatch.setattr(
        subtitles, "read_lines", lambda f, s, kind: None if kind == "beside" else real(f, s, kind)
    )
    ran = run_tool(Subtitles(), asked(probe(path), (1.0,)))
    assert ran.findings == ()
    assert ran.gap is not None
    assert "pysubs2" in ran.gap.reason
    assert "videoespresso[subtitles]" in ran.gap.reason


def test_side_cars_are_those_of_the_same_name(tmp_path: Path) -> None:
    names = ("clip.srt", "clip.de.vtt", "clip2.srt", "clip.txt", "other.srt", "clip.ASS")
    for name in names:
        (tmp_path / name).write_text("")
    found = {file.name for file in side_cars(tmp_path / "clip.mp4")}
    assert found == {"clip.srt", "clip.de.vtt", "clip.ASS"}


VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\n<i>Where</i> is it?\n"
ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n\n"
    "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}Where{\\i0} is it?\n"
    "Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,not said\n"
)


@pytest.mark.extras
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("clip.srt", srt(), [text.replace("\n", " ") for _, _, text in LINES]),
        ("clip.de.vtt", VTT, ["Where is it?"]),
        ("clip.ass", ASS, ["Where is it?"]),
    ],
)
def test_side_cars_are_read(
    tmp_path: Path, video: Video, name: str, text: str, said: list[str]
) -> None:
    pytest.importorskip("pysubs2")
    path = tmp_path / "clip.mp4"
    path.write_bytes(Path(video.path).read_bytes())
    (tmp_path / name).write_text(text)
    found = Subtitles().run(asked(probe(path), (4.0,), span=(0.0, 8.0)))
    assert [f.text for f in found] == [f"Subtitle: {line}" for line in said]
    assert found[0].time_s == 1.0


@pytest.mark.extras
def test_a_side_car_that_is_no_subtitle_is_a_gap(tmp_path: Path, video: Video) -> None:
    pytest.importorskip("pysubs2")
    path = tmp_path / "clip.mp4"
    path.write_bytes(Path(video.path).read_bytes())
    (tmp_path / "clip.srt").write_text("nothing of the kind")
    ran = run_tool(Subtitles(), asked(probe(path), (4.0,)))
    assert ran.findings == ()
    assert ran.gap is not None
    assert "clip.srt" in ran.gap.reason


# ---- read_text


def test_reading_text_needs_rapidocr_and_says_so(
    video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    ran = run_tool(ReadText(), asked(video, image=sign("EXIT")))
    assert ran.findings == ()
    assert ran.gap is not None
    assert "rapidocr" in ran.gap.reason


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_sign_is_read_where_it_stands(video: Video) -> None:
    pytest.importorskip("rapidocr")
    (found,) = ReadText().run(asked(video, image=sign("EXIT 27")))
    assert found.text.replace(" ", "") == 'Textinthepicture:"EXIT27"'
    assert found.frame_id == "v@4000"
    (place,) = found.boxes
    assert place.xyxy[0] < 0.1
    assert 0.2 < place.xyxy[1] < place.xyxy[3] < 0.9
    assert ReadText().run(asked(video, image=Image.new("RGB", (64, 64)))) == []


# ---- transcript


def whisper(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    """A faster_whisper whose model is this."""
    module = types.ModuleType("faster_whisper")
    module.WhisperModel = model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "faster_whisper", module)


def heard(video: Video) -> Video:
    return video.model_copy(update={"has_audio": True})


def test_speech_needs_faster_whisper_and_says_so(
    video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    ran = run_tool(Transcript(), asked(heard(video)))
    assert ran.findings == ()
    assert ran.gap is not None
    assert "faster-whisper" in ran.gap.reason


def test_where_no_speech_model_can_be_had_it_is_said(
    video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    def model(*args: Any, local_files_only: bool = False, **given: Any) -> Any:
        assert local_files_only, "nothing is downloaded unasked"
        raise OSError("not there")

    whisper(monkeypatch, model)
    ran = run_tool(Transcript(), asked(heard(video)))
    assert ran.findings == ()
    assert ran.gap is not None
    assert "no speech model can be had" in ran.gap.reason
    assert "models pull hf:Systran/faster-whisper-base" in ran.gap.reason


def test_phrases_come_with_their_instants(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        heard: list[float] = []  # noqa: RUF012

        def __init__(self, name: str, **given: Any) -> None:
            assert name == "tiny"

        def transcribe(self, sound: Any) -> Any:
            self.heard.append(len(sound) / RATE)
            segments = [(1.5, " Where is\nthe key? "), (3.0, "  ")]
            return [types.SimpleNamespace(start=s, text=t) for s, t in segments], None

    whisper(monkeypatch, Model)
    monkeypatch.setattr(transcript, "read_sound", lambda _, s, e: [0.0] * round((e - s) * RATE))
    (found,) = Transcript("tiny").run(asked(heard(video), (1.0,)))
    assert (found.time_s, found.text) == (1.5, "Said: Where is the key?")
    assert Model.heard == [6.0]
    assert Transcript("tiny").run(asked(video, (1.0,))) == [], "no sound, nothing said"


@pytest.mark.extras
def test_the_real_package_says_that_there_is_no_model(video: Video) -> None:
    pytest.importorskip("faster_whisper")
    with pytest.raises(ToolError, match="no speech model"):
        Transcript("no/such/folder").run(asked(heard(video)))


def test_packages_that_are_here_are_the_ones_meant() -> None:
    """A stub of the same name would let the tests above pass with nothing behind them."""
    for name, has in (("pysubs2", "load"), ("rapidocr", "RapidOCR")):
        if importlib.util.find_spec(name) is not None:
            assert hasattr(pytest.importorskip(name), has)
