"""One question about several videos: evidence from each, which says where it is from."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import videoespresso as ve
from videoespresso.api.ask import estimate
from videoespresso.cli.ask import code_of
from videoespresso.cli.console import Exit
from videoespresso.report import page
from videoespresso.settings import Settings
from videoespresso.types import Progress

VIDEOS = [
    Path(__file__).resolve().parents[2] / f"examples/videos/{n}.mp4" for n in ("room", "street")
]
QUESTION = "Who is surprised?"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings.load({"cache_dir": tmp_path_factory.mktemp("several")}, environ={})


@pytest.fixture(scope="module")
def asked(settings: Settings) -> tuple[ve.Answer, list[ve.Step], list[Progress]]:
    steps: list[ve.Step] = []
    said: list[Progress] = []
    answer = ve.ask(
        VIDEOS, QUESTION, settings=settings, on_step=steps.append, on_progress=said.append
    )
    return answer, steps, said


def test_each_video_has_frames_and_evidence_names_its_video(asked: Any) -> None:
    answer, steps, _ = asked
    assert [video.path for video in answer.videos] == [str(path) for path in VIDEOS]
    assert answer.video == answer.videos[0]
    assert {core.frame.video_id for core in answer.core_frames} == {v.id for v in answer.videos}
    assert answer.text == "the man in purple"
    assert answer.evidence
    ids = {video.path: video.id for video in answer.videos}
    assert all(ids[step.video].startswith(step.frame_id.split("@")[0]) for step in answer.evidence)
    assert "video 1" not in answer.model_dump_json(), "labels are for the models alone"
    assert [step.node for step in steps].count("sample") == 2
    assert answer.work.decoded > 60


def test_the_page_names_the_video_of_each_step(asked: Any, tmp_path: Path) -> None:
    answer = asked[0]
    text = answer.save(tmp_path / "a.html").read_text()
    assert text.count('<div class="track">') == 2
    assert "room.mp4" in text
    assert "street.mp4" in text
    marks = [page.timeline(answer, video) for video in answer.videos]
    assert sum(map(len, marks)) == len(answer.core_frames) + len(answer.dropped)
    assert all(marks)


def test_progress_names_what_is_under_way_and_ends(asked: Any) -> None:
    said = asked[2]
    plans = [p.text for p in said if p.step == "plan"]
    assert [text.partition(": ")[0] for text in plans] == ["room.mp4", "street.mp4"]
    counted = [p for p in said if p.step == "caption" and p.done is not None]
    assert counted[-1].done == counted[-1].total
    assert said[-1].step == "done"
    first = next(k for k, p in enumerate(said) if p.step == "plan")
    assert first < next(k for k, p in enumerate(said) if p.step == "caption" and p.done)


def test_awaited_it_is_the_same_and_decodes_nothing(asked: Any, settings: Settings) -> None:
    said: list[Progress] = []
    again = asyncio.run(ve.aask(VIDEOS, QUESTION, settings=settings, on_progress=said.append))
    assert again.text == asked[0].text
    assert again.evidence == asked[0].evidence
    assert again.work.decoded == 0
    assert again.core_frames[0].image.size == (640, 360)
    assert said[-1].step == "done"


def test_a_limit_keeps_what_was_found(settings: Settings, tmp_path: Path) -> None:
    few = settings.model_copy(update={"budget_calls": 20, "cache_dir": tmp_path})
    answer = ve.ask(VIDEOS, QUESTION, settings=few)
    assert not answer.answered
    assert [gap.stage for gap in answer.gaps].count("budget") == 1
    assert answer.core_frames, "those of the first video, which was done"


def test_a_film_that_cannot_be_read_ends_no_other(settings: Settings, tmp_path: Path) -> None:
    for name, film in zip("ac", VIDEOS, strict=True):
        (tmp_path / f"{name}.mp4").write_bytes(film.read_bytes())
    (tmp_path / "b.mp4").write_bytes(VIDEOS[0].read_bytes()[:3000])
    (tmp_path / "d.mp4").touch()
    (tmp_path / "notes.txt").touch()
    for videos in (tmp_path, [tmp_path / f"{name}.mp4" for name in "bac"]):
        answer = ve.ask(videos, QUESTION, settings=settings)
        assert [Path(video.path).name for video in answer.videos] == ["a.mp4", "c.mp4"]
        assert answer.text == "the man in purple"
        unread = " ".join(gap.reason for gap in answer.gaps if gap.stage == "video")
        assert "b.mp4 is an mp4 file cut off" in unread
        assert code_of(answer) == Exit.NOT_ANSWERED
        if videos == tmp_path:
            assert "d.mp4 is empty" in unread
            assert any("notes.txt" in warning for warning in answer.warnings)
    assert estimate(tmp_path, QUESTION, settings=settings).frames > 60
    with pytest.raises(ve.VideoError, match="cut off"):
        ve.ask([tmp_path / "b.mp4", tmp_path / "b.mp4"], QUESTION, settings=settings)


def test_a_copy_in_a_folder_is_left_out_and_said(settings: Settings, tmp_path: Path) -> None:
    for name, film in zip("abz", (*VIDEOS, VIDEOS[0]), strict=True):
        (tmp_path / f"{name}.mp4").write_bytes(film.read_bytes())
    (tmp_path / "link.mp4").symlink_to(tmp_path / "b.mp4")
    alone = ve.ask([tmp_path / "a.mp4", tmp_path / "b.mp4"], QUESTION, settings=settings)
    answer = ve.ask(tmp_path, QUESTION, settings=settings)
    assert [Path(video.path).name for video in answer.videos] == ["a.mp4", "b.mp4"]
    assert (answer.text, code_of(answer)) == (alone.text, code_of(alone))
    assert [line for line in answer.warnings if "same film" in line] == [
        f"{tmp_path / twin}.mp4: the same film as {tmp_path / first}.mp4"
        for twin, first in (("link", "b"), ("z", "a"))
    ]
    named = asyncio.run(ve.aask([tmp_path / "z.mp4", tmp_path], QUESTION, settings=settings))
    assert [Path(video.path).name for video in named.videos] == ["z.mp4", "b.mp4"]
    both = estimate([tmp_path / "a.mp4", tmp_path / "b.mp4"], QUESTION, settings=settings)
    assert estimate(tmp_path, QUESTION, settings=settings).frames == both.frames
    for name in ("b", "link"):
        (tmp_path / f"{name}.mp4").unlink()
    one = ve.ask(tmp_path, QUESTION, settings=settings)
    assert one.text == ve.ask(tmp_path / "a.mp4", QUESTION, settings=settings).text


def test_the_same_film_twice_is_refused(settings: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(VIDEOS[0].read_bytes())
    fresh = settings.model_copy(update={"cache_dir": tmp_path / "cache"})
    steps: list[ve.Step] = []
    with pytest.raises(ve.UserError, match="is the same film as"):
        ve.ask([*VIDEOS, copy], QUESTION, settings=fresh, on_step=steps.append)
    assert not steps, "nothing is paid for before it is said"
    with pytest.raises(ve.UserError, match="no video was given"):
        ve.ask([], QUESTION, settings=settings)
    with pytest.raises(ve.UserError, match="a path or an address, not 5"):
        ve.ask(5, QUESTION, settings=settings)  # type: ignore[arg-type]
    with pytest.raises(ve.UserError, match="the question is no text: None"):
        ve.ask(VIDEOS, None, settings=settings)  # type: ignore[arg-type]
