"""Speech by the real faster-whisper: a tiny Whisper, converted, hears the sound of real files."""

from pathlib import Path

import pytest
from tests.helpers.small import asked
from tests.helpers.tiny_models import HEARD, whisper
from tests.helpers.videos import RECIPES, encode, real_clips

from videoespresso.tools.builtin.transcript import Transcript
from videoespresso.tools.registry import run_tool
from videoespresso.tools.video import probe
from videoespresso.types import Video

pytestmark = [pytest.mark.extras, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    for package in ("faster_whisper", "torch", "transformers"):
        pytest.importorskip(package)
    return Transcript(str(whisper(tmp_path_factory.mktemp("whisper"))))


@pytest.fixture(params=["made", "bigbuckbunny"])
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Video:
    """A clip with sound: one made here, and one that was filmed, or animated."""
    if request.param == "made":
        (recipe,) = [r for r in RECIPES if r.name == "with-sound.mp4"]
        found = probe(encode(tmp_path / recipe.name, recipe))
    else:
        found = probe(next(p for p in real_clips() if p.stem == request.param))
    assert found.has_audio
    return found


def test_what_is_heard_comes_with_its_instant(tool: Transcript, video: Video) -> None:
    ran = run_tool(tool, asked(video, (video.duration_s / 2,)))
    assert ran.gap is None
    assert ran.findings
    for finding in ran.findings:
        assert set(finding.text.removeprefix("Said: ").split()) == {HEARD.strip()}
        assert 0 <= finding.time_s <= video.duration_s


def test_a_stretch_is_heard_alone(tool: Transcript, video: Video) -> None:
    ran = run_tool(tool, asked(video, (0.0,), start_s=0.5, end_s=video.duration_s))
    assert ran.gap is None
    assert ran.findings
    assert all(finding.time_s >= 0.4 for finding in ran.findings)


def test_a_folder_without_a_model_is_a_gap(video: Video, tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    ran = run_tool(Transcript(str(tmp_path)), asked(video, (0.1,)))
    assert ran.findings == ()
    assert ran.gap is not None
    assert "no speech model can be had" in ran.gap.reason
