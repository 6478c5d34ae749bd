"""`ve.Answer` and `ve.Chat`: printed in short, shown in a notebook, saved, and their frames."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

import videoespresso as ve
from videoespresso.errors import MemoryStoreError
from videoespresso.settings import Settings
from videoespresso.types import Progress

VIDEO = Path(__file__).resolve().parents[2] / "examples/videos/room.mp4"
QUESTION = "Who is surprised?"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings.load({"cache_dir": tmp_path_factory.mktemp("answer")}, environ={})


@pytest.fixture(scope="module")
def answer(settings: Settings) -> ve.Answer:
    return ve.ask(VIDEO, QUESTION, settings=settings)


def test_in_short(answer: ve.Answer) -> None:
    first, *evidence, last = str(answer).splitlines()
    assert first == answer.text
    assert evidence == [f"  0:04.5  {answer.evidence[0].text}"]
    assert last == "  (checked, $0.00)"
    assert repr(answer) == "<Answer 'the man in purple', 1 steps of evidence>"


def test_its_card_is_escaped_and_runs_nothing(answer: ve.Answer) -> None:
    card = answer.model_copy(update={"question": "<script>alert(1)</script>"})._repr_html_()
    assert "<script" not in card
    assert "&lt;script&gt;" in card
    assert card.count("data:image/jpeg;base64,") == len(answer.core_frames)
    (box,) = answer.evidence[0].items[0].boxes
    assert f"{box.label} {box.score:.2f}" in card
    assert "http" not in card


def test_a_core_frame_is_a_picture(answer: ve.Answer, settings: Settings, tmp_path: Path) -> None:
    frame = answer.core_frames[0]
    assert frame.image.size == (frame.frame.width, frame.frame.height)
    assert pickle.loads(pickle.dumps(answer)).core_frames[0].image == frame.image
    kept = ve.Answer.of(answer.model_dump(mode="json"), tmp_path / "elsewhere")
    with pytest.raises(MemoryStoreError, match="no longer in the frame store") as raised:
        _ = kept.core_frames[0].image
    assert raised.value.hint
    assert "no longer in the frame store" in kept._repr_html_()


def test_a_page_is_saved_and_never_over_the_video(answer: ve.Answer, tmp_path: Path) -> None:
    page = answer.save(tmp_path / "a.html")
    assert page.read_text().count("data:image/jpeg;base64,") == len(answer.core_frames)
    copy = tmp_path / "film.mp4"
    shutil.copy(VIDEO, copy)
    link = tmp_path / "link.html"
    link.hardlink_to(copy)
    about = answer.model_copy(update={"video": answer.video.model_copy(update={"path": str(copy)})})
    with pytest.raises(ve.UserError, match="would replace the video"):
        about.save(link)
    with pytest.raises(ve.UserError, match="does not exist"):
        answer.save(tmp_path / "no" / "a.html")


def test_a_chat_likewise(settings: Settings, tmp_path: Path) -> None:
    said: list[Progress] = []
    with ve.Chat(VIDEO, settings=settings, on_progress=said.append) as chat:
        assert "Nothing was asked yet" in chat._repr_html_()
        first: Any = chat.ask(QUESTION)
        assert first.core_frames[0].image.size == (640, 360)
        assert said[-1].step == "done"
        assert str(chat).splitlines() == [
            f"chat {chat.name}: room.mp4", f"> {QUESTION}", "the man in purple"
        ]  # fmt: skip
        assert chat._repr_html_().count("data:image/jpeg;base64,") == len(first.core_frames)
        page = chat.save(tmp_path / "chat.html").read_text()
        assert page.startswith("<!doctype html>")
        assert QUESTION in page
        with pytest.raises(ve.UserError, match="would replace the video"):
            chat.save(VIDEO)
        assert chat.turns[0].frames[0].caption


def test_many_questions_say_how_far_they_are(settings: Settings, tmp_path: Path) -> None:
    said: list[Progress] = []
    asked = [{"video": str(VIDEO), "question": q} for q in (QUESTION, "Who is there?")]
    out = tmp_path / "answers.jsonl"
    results = list(ve.ask_many(asked, settings=settings, out=out, on_progress=said.append))
    assert [(p.done, p.total) for p in said[:-1]] == [(1, 2), (2, 2)]
    assert said[-1].step == "done"
    assert isinstance(results[0].answer, ve.Answer)
    known = list(ve.ask_many(asked, settings=settings, out=out))
    assert all(isinstance(result.answer, ve.Answer) for result in known)
