"""The theatre on film: the same bytes from the same seed, and the truth beside it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from videoespresso.errors import UserError
from videoespresso.theatre.film import film, frame_count, truth
from videoespresso.theatre.sets import build, drawn
from videoespresso.theatre.stories import SPLITS, make_story

SHORT = min(range(40), key=lambda seed: make_story(seed).duration_s)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        film(make_story(SHORT), tmp_path / f"{name}.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    film(make_story(SHORT + 1), tmp_path / "c.mp4")
    assert (tmp_path / "a.mp4").read_bytes() != (tmp_path / "c.mp4").read_bytes()


def test_the_film_shows_the_story(tmp_path: Path) -> None:
    story = make_story(SHORT)
    ticks: list[None] = []
    film(story, tmp_path / "s.mp4", lambda: ticks.append(None))
    with av.open(str(tmp_path / "s.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == story.fps
        frames = list(container.decode(stream))
    assert len(frames) == len(ticks) == frame_count(story) == len(truth(story)["frames"])
    assert [float(f.time or 0) for f in frames] == pytest.approx(
        [entry["time_s"] for entry in truth(story)["frames"]], abs=1e-5
    )
    middle = len(frames) // 2
    seen = frames[middle].to_ndarray(format="rgb24").astype(int)
    drawn_ = np.asarray(story.scene(middle / story.fps).render(story.width)).astype(int)
    assert abs(seen - drawn_).mean() < 8
    assert [p.name for p in tmp_path.iterdir()] == ["s.mp4"]


def test_the_truth_is_json_and_hangs_together() -> None:
    story = make_story(SHORT)
    facts = json.loads(json.dumps(truth(story)))
    assert facts["phases"][-1]["end_s"] == facts["duration_s"]
    for entry in facts["frames"]:
        for thing in entry["objects"]:
            x0, y0, x1, y1 = thing["xyxy"]
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
    for event in facts["events"]:
        assert event["cause"] is None or event["cause"] != event["index"]
    for question in facts["questions"]:
        assert question["options"][question["choice"]] == question["answer"]
        assert len(set(question["options"])) == 4
        assert question["core"]


def test_a_shorter_set_is_the_beginning_of_a_longer_one() -> None:
    short, long = drawn(5, "test"), drawn(40, "test")
    assert [row for _, row in short] == [row for _, row in long[:5]]
    first, end = SPLITS["test"]
    assert all(first <= row["seed"] < end for _, row in long)
    assert len({row["id"] for _, row in long}) == 40


def test_a_set_names_files_that_exist(tmp_path: Path) -> None:
    assert list(build(3, "validation", tmp_path)) == [3]
    rows = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    for row in rows:
        assert (tmp_path / row["video"]).stat().st_size > 1000
    assert not [path for path in tmp_path.rglob("*") if "part" in path.name]


def test_a_film_that_is_there_is_kept_and_a_strange_one_is_not(tmp_path: Path) -> None:
    list(build(2, "validation", tmp_path))
    (video,) = (tmp_path / "videos").iterdir()
    made = video.read_bytes()
    stamp = video.stat().st_mtime_ns
    list(build(2, "validation", tmp_path))
    assert video.stat().st_mtime_ns == stamp
    video.write_bytes(b"of another theatre")
    (facts,) = (tmp_path / "truth").iterdir()
    facts.write_text("{}")
    list(build(2, "validation", tmp_path))
    assert video.read_bytes() == made


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path\n"
        "from videoespresso.theatre.sets import build\n"
        f"for ready in build(15, 'validation', Path({str(tmp_path)!r})):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "questions.jsonl").exists()
    (first,) = (tmp_path / "videos").iterdir()
    stamp = first.stat().st_mtime_ns
    list(build(15, "validation", tmp_path))
    assert first.stat().st_mtime_ns == stamp
    assert len((tmp_path / "questions.jsonl").read_text().splitlines()) == 15


def test_more_questions_than_a_split_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPLITS, "test", (1_100_000, 1_100_001))
    with pytest.raises(UserError, match="not 1000"):
        drawn(1000, "test")


def test_a_folder_that_is_a_file_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError) as caught:
        film(make_story(SHORT), tmp_path / "out" / "s.mp4")
    assert caught.value.hint
