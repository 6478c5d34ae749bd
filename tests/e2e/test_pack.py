"""The embedded pack as it ships: it looks, it answers, and it knows what it does not know."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.videos import real_clips

import videoespresso as ve
from videoespresso.models.embedded import PACK_LVLM
from videoespresso.models.embedded.domain import strange_frames
from videoespresso.theatre import make_story
from videoespresso.theatre.style import StyleFamily

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "examples/videos"


@pytest.mark.parametrize(
    ("video", "question"),
    [
        ("street.mp4", "Why does the white car stop?"),
        ("kitchen.mp4", "Which ingredient is there when somebody boils something?"),
        ("room.mp4", "Who is surprised?"),
    ],
)
def test_a_question_about_a_sample(video: str, question: str, tmp_path: Path) -> None:
    settings = ve.Settings.load({"cache_dir": tmp_path}, environ={})
    answer = ve.ask(SAMPLES / video, question, settings=settings)
    assert not answer.gaps
    assert 1 <= len(answer.core_frames) <= 4
    assert all(core.boxes for core in answer.core_frames), "the detector saw what is there"
    assert all(0 <= c.frame.time_s <= answer.video.duration_s for c in answer.core_frames)
    core = {c.frame.id for c in answer.core_frames}
    assert all(step.frame_id in core for step in answer.evidence)
    assert answer.settings["reasoner"] == "embedded:"
    assert answer.usage["reasoner"].usd == 0
    again = ve.ask(SAMPLES / video, question, settings=settings)
    assert (again.text, again.work.decoded, again.work.captioned) == (answer.text, 0, 0)
    assert sum(u.calls for u in again.usage.values()) == 0, "every reply is remembered"


@pytest.mark.parametrize("style", ["train", "held_out"])
def test_theatre_frames_are_known(style: StyleFamily) -> None:
    seeds = range(1_050_000, 1_050_040)
    known = [make_story(s, style).scene(3.0).render(480) for s in seeds]
    assert sum(strange_frames(known)) <= 2


def test_what_is_no_drawing_is_not_known() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (180, 320, 3), dtype=np.uint8)
    ramp = np.add.outer(np.linspace(0, 120, 180), np.linspace(0, 120, 320))
    grain = rng.normal(0, 6, (180, 320))
    camera = np.stack([ramp + grain, ramp[::-1] + grain, 255 - ramp + grain], -1)
    pictures = [noise, camera.clip(0, 255).astype(np.uint8)]
    assert all(strange_frames([Image.fromarray(p) for p in pictures]))


@pytest.mark.extras
@pytest.mark.parametrize("name", ["bikes", "bigbuckbunny", "carphone_pristine"])
def test_a_real_video_is_declined_with_what_to_do(name: str, tmp_path: Path) -> None:
    clip = next(p for p in real_clips() if p.stem == name)
    settings = ve.Settings.load({"cache_dir": tmp_path}, environ={})
    answer = ve.ask(clip, "What is the man doing?", settings=settings)
    assert (answer.answered, answer.choice, answer.evidence) == (False, None, ())
    assert any("--profile openai" in w for w in answer.warnings)
    assert {d.stage for d in answer.dropped} == {"caption"}, "what was looked at is listed"


def test_the_pack_says_what_it_is() -> None:
    facts = json.loads((PACK_LVLM / "pack.json").read_text())
    assert 2_000_000 <= facts["parameters"] <= 8_000_000
    pack = PACK_LVLM.parent
    size = sum(f.stat().st_size for f in pack.rglob("*") if f.is_file())
    assert size <= 30_000_000
    card = (pack / "MODEL_CARD.md").read_text()
    assert "95 %" in card


def test_nothing_in_the_pack_is_under_a_licence_of_its_own() -> None:
    files = [f for f in PACK_LVLM.parent.rglob("*") if f.is_file()]
    assert {"detector.onnx", "decoder.onnx", "MODEL_CARD.md"} <= {f.name for f in files}
    for file in files:
        held = file.read_bytes().lower()
        assert not any(word in held for word in (b"agpl", b"affero", b"ultralytics")), file
