"""The embedded pack as it ships: it looks, it answers, and it knows what it does not know."""

import json
import random
from pathlib import Path

import pytest
from lab.other_films import KINDS

import videoespresso as ve
from videoespresso.models.embedded import PACK_LVLM
from videoespresso.models.embedded.domain import is_theatre
from videoespresso.theatre import make_story
from videoespresso.theatre.style import StyleFamily
from videoespresso.tools.video import Backend, ProcessReader, open_video

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "examples/videos"


@pytest.mark.parametrize(
    ("video", "question", "right"),
    [
        ("street.mp4", "Why does the white car stop?", ""),  # its answer is wrong
        ("kitchen.mp4", "Which ingredient is there when somebody boils something?", "the egg"),
        ("room.mp4", "Who is surprised?", "the man in purple"),
    ],
)
def test_a_question_about_a_sample(video: str, question: str, right: str, tmp_path: Path) -> None:
    settings = ve.Settings.load({"cache_dir": tmp_path}, environ={})
    answer = ve.ask(SAMPLES / video, question, settings=settings)
    assert not answer.gaps
    if right:
        assert (answer.text, answer.checked) == (right, True), "the README shows these"
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


def test_a_known_film_is_neither_opened_nor_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ve.Settings.load({"cache_dir": tmp_path}, environ={})
    first = ve.ask(SAMPLES / "room.mp4", "Who is surprised?", settings=settings)
    for door in (
        "videoespresso.tools.video.probe",
        "videoespresso.graphs.context.open_video",
        "videoespresso.models.embedded.domain.is_theatre",
    ):
        monkeypatch.setattr(door, lambda *_, **__: pytest.fail("again"))
    assert ve.ask(SAMPLES / "room.mp4", "Who is surprised?", settings=settings).text == first.text


def test_the_decoder_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def opened(path: str, *, backend: Backend) -> ProcessReader:
        used.append(backend)
        return open_video(path, backend=backend)

    monkeypatch.setattr("videoespresso.graphs.context.open_video", opened)
    settings = ve.Settings.load({"cache_dir": tmp_path, "decoder": "decord"}, environ={})
    assert ve.ask(SAMPLES / "room.mp4", "Who is surprised?", settings=settings).core_frames
    assert set(used) == {"decord"}


@pytest.mark.parametrize("style", ["train", "held_out"])
def test_theatre_films_are_known(style: StyleFamily) -> None:
    for seed in range(1_050_000, 1_050_012):
        story = make_story(seed, style)
        assert is_theatre([story.scene(k * story.duration_s / 3).render(320) for k in range(3)])


@pytest.mark.parametrize("kind", KINDS)
def test_films_of_others_are_not_known(kind: str) -> None:
    for seed in range(2):
        assert not is_theatre(KINDS[kind](random.Random(f"{kind} {seed}")))


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
