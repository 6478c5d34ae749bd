"""`--quick`: eight frames in one call; `--stages one`: evidence and answer in one reply."""

from pathlib import Path

import pytest
from PIL import Image
from tests.graph.test_candidates import asked, film
from tests.helpers.paid_server import Paid, paid_context

from videoespresso.errors import SettingsError
from videoespresso.graphs.context import open_context
from videoespresso.graphs.dry_run import dry_run
from videoespresso.graphs.selection import checked
from videoespresso.graphs.several import several
from videoespresso.report.page import render
from videoespresso.settings import Settings
from videoespresso.types import Answer


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key-of-nobody")


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "minute.mp4", 60)


def test_quick_is_one_call_with_eight_pictures(tmp_path: Path, minute: Path) -> None:
    model = Paid()
    with paid_context(tmp_path, model, quick=True) as context:
        said = dry_run(context, [str(minute)], "What is it?")
        assert not model.calls
        answer = asked(context, minute)
        assert dict(model.calls) == {"reasoner": 1}
        assert dict(model.images) == {"reasoner": 8}
        assert (said.calls, said.images, said.captions) == (1, 8, 0)
        again = asked(context.renewed(), minute, "And before?")
        assert model.calls["reasoner"] == 2
    assert answer.answered
    assert answer.text == "a wall"
    assert len(answer.core_frames) == 8
    assert answer.evidence[0].time_s == answer.core_frames[0].frame.time_s
    assert not answer.checked
    assert answer.verdict == "not checked (--quick)"
    assert answer.work.captioned == again.work.decoded == 0
    assert not answer.gaps
    assert answer.settings["pair"] == "pixels+segments:8"
    assert {frame.reason for frame in answer.dropped} == {
        "not captioned yet: pixels+segments:8 proposed others"
    }


@pytest.mark.parametrize(
    ("stages", "calls", "pictures"), [("one", 1, 3), ("two", 2, 6), ("", 2, 6)]
)
def test_stages(tmp_path: Path, minute: Path, stages: str, calls: int, pictures: int) -> None:
    """One reply carries both, and the pictures are sent once; the checker reads it as ever."""
    model = Paid()
    with paid_context(tmp_path, model, stages=stages, select="uniform:3") as context:
        said = dry_run(context, [str(minute)], "What is it?")
        answer = asked(context, minute)
    assert (model.calls["reasoner"], model.images["reasoner"]) == (calls, pictures)
    assert model.calls["checker"] == 1
    assert answer.checked
    assert answer.evidence
    assert said.roles["reasoner"].images == pictures
    assert said.calls == model.calls.total()


def test_one_reply_has_a_choice(tmp_path: Path, minute: Path) -> None:
    model = Paid()
    with paid_context(tmp_path, model, quick=True, select="uniform:2") as context:
        given = {"path": str(minute), "question": "What is it?", "options": ["a duck", "a wall"]}
        steps = list(several(context, [str(minute)], given["question"], given["options"]))
    answer = Answer.model_validate(steps[-1][1]["answer"])
    assert answer.choice == 1
    assert [name for name, _ in steps] == [
        "probe", "sample", "select", "ground", "use_tools", "evidence", "finish",
    ]  # fmt: skip
    assert "(B) a wall" in str(model.bodies[0])


def test_the_reasoner_is_shown_pictures_of_512_pixels(tmp_path: Path) -> None:
    wide = film(tmp_path / "wide.mp4", 10, size=(1280, 720))
    model = Paid()
    with paid_context(tmp_path, model, quick=True) as context:
        asked(context, wide)
    assert model.sides["reasoner"] == {512}
    own = Paid()
    with paid_context(tmp_path, own, quick=True, specs={"reasoner": "openai:q@{url}"}) as context:
        asked(context, wide)
    assert own.sides["reasoner"] == {640}, "a server of one's own is paid by nothing"


def test_what_cannot_be_is_said_before_anything_is_paid(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="captions"):
        checked(Settings(quick=True, select="retrieval"))
    given = {"cache_dir": tmp_path, "quick": True}
    with pytest.raises(SettingsError, match="two stages"):
        open_context(Settings.load(given, environ={})).check_stages()


@pytest.mark.parametrize(("look", "most"), [("fast", 60), ("normal", 240), ("thorough", 7200)])
def test_how_densely_is_said(tmp_path: Path, minute: Path, look: str, most: int) -> None:
    with paid_context(tmp_path, Paid(), look=look, quick=True) as context:
        assert context.plan.max_frames == most
        answer = asked(context, minute)
    frames = len(answer.core_frames) + len(answer.dropped)
    every = 60 / frames
    assert 1.8 < every < 2.1 if look == "fast" else 0.8 < every < 1.01
    told = f"one look every {every:.2g} s; 8 of {frames} closer, by pixels+segments:8"
    assert answer.density == told
    assert told in render(answer, lambda _: Image.new("RGB", (160, 90)))
    assert answer.settings.get("look", "normal") == look
