"""Benchmarks by name. Those of others are read from hand-written records of the documented columns:
format-tested only, the real files were not run."""

import json
from collections import Counter
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from videoespresso.errors import UserError, VideoError
from videoespresso.evaluation import benchmarks
from videoespresso.evaluation.benchmarks import Given, open_benchmark
from videoespresso.evaluation.cases import Benchmark, Case, Listed
from videoespresso.evaluation.others import times_in
from videoespresso.tasks import TASKS

CG_BENCH = {
    "qid": 7, "video_uid": "abc", "question": "What does she pick up?", "duration": 1700.0,
    "choices": ["a cup", "a key", "a book"], "right_answer": "B", "domain": "life",
    "clue_intervals": [[12.0, 20.0], [40, 44]], "sub_category": "Object Perception",
}  # fmt: skip
MINERVA = {
    "key": "abc:1", "video_id": "abc", "question": "Who scores first?", "answer_id": 2,
    **{f"answer_choice_{k}": f"player {k}" for k in range(5)}, "question_type": "Temporal",
    "reasoning": "At 0:15 the whistle blows; at 01:02:03.5 the goal is shown.",
}  # fmt: skip
V_STAR = {
    "vid": "abc", "domain": "sport", "fps": 30, "width": 200, "height": 100, "frame_count": 900,
    "question": "What is thrown?", "answer": "a ball", "temporal_question": "When?",
    "spatial_question": "Where?", "timestamps": [2.0, 4.5],
    "bboxes": [{"timestamp": 3.0, "xmin": 20, "ymin": 10, "xmax": 100, "ymax": 60}],
}  # fmt: skip


def cases(spec: str, folder: Path, videos: Path | None = None) -> list[Case]:
    return list(open_benchmark(spec, videos=videos, films=folder / "films").cases(None))


def written(folder: Path, name: str, rows: list[Any]) -> Path:
    file = folder / name
    file.write_text(json.dumps(rows))
    return file


def test_cg_bench_has_clue_intervals(tmp_path: Path) -> None:
    (case,) = cases(f"cg-bench:{written(tmp_path, 'cg.json', [CG_BENCH])}", tmp_path)
    assert (case.item.letter, case.item.answer, case.task) == ("B", "a key", "Object Perception")
    assert case.truth.intervals == ((12.0, 20.0), (40.0, 44.0))
    with pytest.raises(VideoError, match="abc"):
        case.find()
    (tmp_path / "abc.mp4").write_bytes(b"film")
    assert case.find() == tmp_path / "abc.mp4"


def test_minerva_has_the_times_of_its_trace(tmp_path: Path) -> None:
    (case,) = cases(f"minerva:{written(tmp_path, 'm.json', [MINERVA])}", tmp_path)
    assert (case.item.letter, case.item.answer) == ("C", "player 2")
    assert case.truth.instants == (15.0, 3723.5)
    assert times_in("no time, 3 of 4, 12:5") == ()


def test_v_star_has_times_and_boxes(tmp_path: Path) -> None:
    (case,) = cases(f"v-star:{written(tmp_path, 'v.json', [V_STAR])}", tmp_path)
    assert (case.item.options, case.item.answer) == ((), "a ball")
    assert case.truth.intervals == ((2.0, 4.5),)
    assert case.truth.boxes is not None
    (box,) = case.truth.boxes(3.2)
    assert box.xyxy == (0.1, 0.1, 0.5, 0.6)
    assert not case.truth.boxes(4.0)


def test_kfs_bench_has_scenes_of_several_segments(tmp_path: Path) -> None:
    (tmp_path / "anno.csv").write_text(
        "id,segment_id,scene_id,start,end\nq1,0,0,1.0,4.0\nq1,1,1,10,12\nq1,2,0,20.5,21\n"
    )
    question = {
        "id": "q1", "video_path": "abc.mp4", "question": "?", "candidates": ["x", "y"],
        "correct_choice": 1,
    }  # fmt: skip
    written(tmp_path, "lvb.json", [question, question | {"id": "not annotated"}])
    (case,) = cases(f"kfs-bench:{tmp_path}", tmp_path)
    assert case.truth.scenes == (((1.0, 4.0), (20.5, 21.0)), ((10.0, 12.0),))
    assert case.item.letter == "B"


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([CG_BENCH | {"clue_intervals": "soon"}], "not as documented"),
        ([{k: v for k, v in CG_BENCH.items() if k != "choices"}], "no 'choices'"),
        ([CG_BENCH | {"right_answer": "F"}], "not as documented"),
        ({"a": 1}, "not a list of records"),
        ([], "no questions"),
    ],
)
def test_another_format_is_said(tmp_path: Path, rows: Any, what: str) -> None:
    file = written(tmp_path, "cg.json", rows)
    with pytest.raises(UserError, match=what):
        cases(f"cg-bench:{file}", tmp_path)


def test_an_unknown_benchmark_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no benchmark and no file"):
        cases("bench_hard.json", tmp_path)
    with pytest.raises(UserError, match="theatre:train"):
        cases("theatre:train", tmp_path)
    with pytest.raises(UserError, match="no file"):
        cases("minerva:nowhere.json", tmp_path)
    with pytest.raises(UserError, match="no folder"):
        cases("theatre:test", tmp_path, tmp_path / "nowhere")


def test_the_theatre_is_even_and_knows_what_is_true(tmp_path: Path) -> None:
    bench = open_benchmark("theatre:test", films=tmp_path)
    drawn = bench.cases(28)
    tasks = Counter(case.task for case in drawn)
    assert len(tasks) >= len(TASKS) - 1
    assert max(tasks.values()) <= 4
    assert [c.digest for c in bench.cases(28)] == [c.digest for c in drawn]
    for case in drawn:
        assert case.made
        assert case.truth.intervals
        assert all(a < b for a, b in case.truth.intervals)
        for time_s, text in case.truth.sentences:
            assert any(a <= time_s <= b for a, b in case.truth.intervals), text
    boxes = [case.truth.boxes(case.truth.middles[0]) for case in drawn if case.truth.boxes]
    assert sum(map(bool, boxes)) > len(drawn) / 2, "the sentences name who is on stage"


AUTHORS = [
    {
        "video_path": f"set/film#{k // 2}.mp4", "question": f"Why {k}?", "answer": f"because {k}",
        "options": [f"(A): because {k}", "(B): no", "(C): never", "(D): luck"],
        "correct_answer": "(A)", "task": TASKS[k % 3] if k else "Something New",
    }
    for k in range(8)
]  # fmt: skip


def test_the_authors_file_is_read_as_it_is(tmp_path: Path) -> None:
    file = written(tmp_path, "bench_hard.json", AUTHORS)
    (tmp_path / "videos/set").mkdir(parents=True)
    (tmp_path / "videos/set/film#1.mp4").write_bytes(b"no film, but there")
    found = cases(str(file), tmp_path, tmp_path / "videos")
    assert len(found) == 8
    assert found[0].task == "Something New", "not folded into another"
    assert len({case.video for case in found}) == 4
    assert found[2].find() == tmp_path / "videos/set/film#1.mp4"
    with pytest.raises(VideoError, match="film#0"):
        found[0].find()


def test_some_questions_are_even_over_the_tasks(tmp_path: Path) -> None:
    bench = open_benchmark(str(written(tmp_path, "b.json", AUTHORS)), films=tmp_path)
    some = bench.cases(4)
    assert len({case.task for case in some}) == 4
    assert [c.item.id for c in some] == [c.item.id for c in bench.cases(4)]
    assert len(bench.cases(100)) == 8


def from_another_package(given: Given) -> Benchmark:
    """What a lab registers."""
    return Listed(f"of a lab: {given.rest}", ())


def test_another_package_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("our-lab", f"{__name__}:from_another_package", benchmarks.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: from_another_package)

    def entry_points(group: str, name: str = "our-lab") -> list[EntryPoint]:
        return [entry] if (group, name) == (benchmarks.GROUP, "our-lab") else []

    monkeypatch.setattr(benchmarks, "entry_points", entry_points)
    assert open_benchmark("our-lab:some/file", films=tmp_path).name == "of a lab: some/file"
    assert "our-lab" in benchmarks.known()


def test_a_video_outside_the_folder_is_not_looked_for(tmp_path: Path) -> None:
    """What a stranger's file names leads nowhere but into --videos."""
    (tmp_path / "videos").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"private")
    row = CG_BENCH | {"video_uid": "../secret"}
    spec = f"cg-bench:{written(tmp_path, 'cg.json', [row])}"
    (case,) = cases(spec, tmp_path, tmp_path / "videos")
    with pytest.raises(VideoError, match="secret"):
        case.find()
