"""`ask-many` on the authors' bench file as it is, and `eval score` on what it wrote."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.forks import Run
from tests.helpers.released import bench_record, write

from videoespresso.api.ask_many_records import plan
from videoespresso.api.question_files import is_bench
from videoespresso.errors import UserError
from videoespresso.evaluation.protocols import official

ROOT = Path(__file__).resolve().parents[2]
ROOM = ROOT / "examples/videos/room.mp4"
PATH = "all_video/Theatre/Room.2005__#00-05-30_label_A.mp4"

pytestmark = pytest.mark.timeout(600)


def who(**more: Any) -> dict[str, Any]:
    options = ["(A): the dog", "(B): the man in purple", "(C): the woman in red", "(D): nobody"]
    return bench_record(
        question="Who is surprised?", answer="the man in purple", options=options, video_path=PATH,
        **more,
    )  # fmt: skip


def test_from_the_bench_to_the_authors_number(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "videos/Theatre" / Path(PATH).name
    place.parent.mkdir(parents=True)
    shutil.copy(ROOM, place)
    gone = bench_record(question="Who leaves?", video_path="all_video/Theatre/gone.mp4")
    write(tmp_path / "bench_hard.json", [who(), gone])
    bench = ["bench_hard.json", "--videos", "videos", "--out", "a.jsonl"]
    asked = run("ask-many", *bench, "--outputs", "outputs.json", "--json", "-q")
    assert asked.returncode == 2, asked.stderr  # a video is missing
    assert json.loads(asked.stdout)["failed"] == 1
    written = json.loads((tmp_path / "outputs.json").read_text())
    assert [r["video_path"] for r in written] == [PATH, "all_video/Theatre/gone.mp4"]
    assert written[0]["model_output"][:3] in {"(A)", "(B)", "(C)", "(D)"}
    assert written[1]["model_output"] is None

    scores = run("eval", "score", "outputs.json", "--official", "--json")
    assert scores.returncode == 3, scores.stderr
    found = json.loads(scores.stdout)
    assert found["scores"]["whys"]["not measured"] == 1
    theirs = official((r["model_output"], r["correct_answer"]) for r in written)
    assert found["official"]["accuracy"] == theirs.accuracy
    assert theirs.accuracy == round(100 * found["scores"]["over_all"]["value"], 2)
    beside = run("eval", "score", "a.jsonl", "--items", "bench_hard.json", "--json")
    assert json.loads(beside.stdout)["scores"]["verdicts"] == found["scores"]["verdicts"]


def test_what_is_asked_holds_no_answer(tmp_path: Path) -> None:
    file = write(tmp_path / "bench_final.json", [who(), bench_record(question=...), 7])
    first, second, third = plan(file, tmp_path)
    assert first.question is not None
    assert first.question.options == ("the dog", "the man in purple", "the woman in red", "nobody")
    assert first.question.video == str(tmp_path / PATH)
    assert first.question.extra == {}
    assert second.unreadable is not None
    assert third.unreadable is not None


def test_a_path_that_leads_out_of_the_folder_is_no_question(tmp_path: Path) -> None:
    file = write(tmp_path / "b.json", [bench_record(video_path="../../etc/x.mp4")])
    (planned,) = plan(file, tmp_path)
    assert planned.question is None
    assert plan(file)[0].question is not None  # as it stands, where no folder is named


@pytest.mark.parametrize(
    ("records", "bench"),
    [
        ([bench_record()], True),
        ([{"video": "a.mp4", "question": "Who?", "options": ["a", "b"]}], False),
        ([{"video": "a.mp4", "video_path": "b.mp4", "question": "Who?"}], False),
        ([3], False),
        ([], False),
    ],
)
def test_what_is_a_bench(tmp_path: Path, records: list[Any], bench: bool) -> None:
    assert is_bench(write(tmp_path / "b.json", records)) is bench


def test_what_is_for_benches_only_is_refused_elsewhere(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "q.json", [{"video": "a.mp4", "question": "Who?"}])
    with pytest.raises(UserError, match="--videos is for"):
        plan(tmp_path / "q.json", tmp_path)
    for line, what in (
        (["q.json", "--out", "a.jsonl", "--outputs", "o.json"], "is no bench file"),
        (["b.json", "--out", "a.jsonl", "--outputs", "b.json"], "is read or written already"),
        (["b.json", "--out", "a.jsonl", "--videos", "nowhere"], "is no folder"),
        (["e.json", "--out", "a.jsonl", "--outputs", "o.json"], "no right letter from A to D"),
    ):
        write(tmp_path / "b.json", [who()])
        write(tmp_path / "e.json", [who(correct_answer="(E)")])
        done = run("ask-many", *line)
        assert done.returncode == 2
        assert what in " ".join(done.stderr.split()), done.stderr
        assert not (tmp_path / "a.jsonl").exists()
