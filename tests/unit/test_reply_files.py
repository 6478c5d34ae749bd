"""Replies in files: the authors' form, lines beside a benchmark, answers of ask-many, damage."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.released import bench_record, dataset, item, write

import videoespresso as ve
from videoespresso.errors import UserError
from videoespresso.evaluation.protocols import official
from videoespresso.evaluation.reply_files import read_bench, read_replies, reply_of
from videoespresso.evaluation.scored import official_records, scored, write_official

SAID = [
    "(B)",
    "Answer: B",
    "he hands it over.",
    "A cat jumps.",
    "Based on the frames, C",
    None,
    "b",
    "",
    7,
]
"""Right, right, right, unparsed, wrong, missing, right, unparsed, no text."""


def outputs(file: Path, said: list[Any] = SAID, **more: Any) -> Path:
    """The authors' file with outputs; of a missing one the key is missing."""
    records = [bench_record(question=f"Who {k}?", **more) for k in range(len(said))]
    for record, one in zip(records, said, strict=True):
        record |= {} if one is None else {"model_output": one}
    return write(file, records)


def lines(file: Path, *records: Any) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def test_the_authors_file(tmp_path: Path) -> None:
    replied = read_replies(outputs(tmp_path / "out.json"))
    assert replied.replies == (*SAID[:8], None)
    assert replied.not_text == 1
    found = scored(replied, official=True)
    assert found.scores.whys == {"right": 4, "unparsed": 2, "wrong": 1, "not measured": 2}
    assert found.official is not None
    assert (found.official.right, found.official.items) == (2, 9)
    assert {d.reply: (d.ours, d.theirs, d.matters) for d in found.differences} == {
        "Answer: B": ("B", "A", True),
        "he hands it over.": ("B", None, True),
        "A cat jumps.": (None, "A", False),
        "Based on the frames, C": ("C", "B", True),
        "b": ("B", None, True),
    }
    assert not found.whole


def test_other_spellings_of_the_file_are_read(tmp_path: Path) -> None:
    spelt = bench_record(
        core_frames_paths=..., key_items=..., video_path=..., video="v#1.a.mp4",
        options={"A": "runs", "B": "hands", "C": "sits", "D": "left"}, correct_answer="B",
        model_output="hands",
    )  # fmt: skip
    replied = read_replies(lines(tmp_path / "out.jsonl", spelt))
    assert replied.bench.items[0].options == ("runs", "hands", "sits", "left")
    assert scored(replied).scores.whys == {"right": 1}


def test_records_that_are_no_items_are_named_and_count_for_the_authors(tmp_path: Path) -> None:
    good = bench_record(model_output="B")
    file = write(tmp_path / "out.json", [good, bench_record(question=..., model_output="B"), 3])
    found = scored(read_replies(file), official=True)
    assert [(left.criterion, left.first) for left in found.left_out] == [
        ("no question", "record 2"),
        ("no record", "record 3"),
    ]
    assert found.official is not None
    assert (found.official.right, found.official.items) == (2, 2)
    assert not found.whole


def test_an_empty_list_is_a_file_without_items(tmp_path: Path) -> None:
    found = scored(read_replies(write(tmp_path / "out.json", [])), official=True)
    assert found.official is not None
    assert (found.official.accuracy, found.scores.items, found.whole) == (0.0, 0, False)


def test_lines_beside_a_benchmark(tmp_path: Path) -> None:
    bench = write(tmp_path / "bench.json", [bench_record(question=f"Who {k}?") for k in range(4)])
    items = read_bench(bench).items
    file = lines(
        tmp_path / "replies.jsonl",
        {"id": items[1].id, "reply": "B"},
        {"video": items[2].video.path, "question": "Who 2?", "response": "C"},
        {"id": items[3].id, "reply": None},
        {"id": "nobody", "reply": "A"},
    )
    replied = read_replies(file, bench)
    assert replied.replies == (None, "B", "C", None)
    assert replied.strangers == 1
    assert ve.score(file, bench).scores.whys == {"not measured": 2, "right": 1, "wrong": 1}


def test_ids_of_the_benchmarks_own(tmp_path: Path) -> None:
    bench = write(tmp_path / "b.json", [bench_record(question=f"{k}?", id=k) for k in range(3)])
    file = write(tmp_path / "r.json", [{"id": 2, "reply": "B"}, {"id": "0", "reply": "A"}])
    assert read_replies(file, bench).replies == ("A", None, "B")


def test_a_dataset_of_ours_is_a_benchmark(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set")
    file = lines(tmp_path / "r.jsonl", {"id": item(1).id, "reply": "because the light is red"})
    assert ve.score(file, folder).scores.whys == {"not measured": 2, "right": 1}


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ({"answer": {"text": "Bo", "choice": 1, "answered": True}}, "(B) Bo"),
        ({"answer": {"text": "Bo", "choice": None, "answered": True}}, "Bo"),
        ({"answer": {"text": "not in the frames", "answered": False}}, ""),
        ({"answer": None, "error": {"kind": "VideoError"}}, None),
        ({"answer": "B"}, "B"),
        ({"model_output": "A", "answer": "the reference"}, "A"),
        ({"answer": {"steps": 3}}, {"steps": 3}),
    ],
)
def test_the_reply_of_a_line(line: dict[str, Any], reply: object) -> None:
    assert reply_of(line) == reply


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("[1]", "line 2: a list, not a record"),
        ('{"id": "x"', "line 2: is not JSON"),
        ('{"text": "B"}', "line 2: neither `id` nor `question`: it has text"),
        ('{"id": "x", "words": "B"}', "line 2: no reply: it has id, words"),
        ('{"id": "ID", "reply": "C"}', "line 2: a second reply to"),
    ],
)
def test_the_first_bad_line_is_named(tmp_path: Path, line: str, what: str) -> None:
    bench = write(tmp_path / "bench.json", [bench_record()])
    name = read_bench(bench).items[0].id
    file = tmp_path / "r.jsonl"
    file.write_text(f'{{"id": "{name}", "reply": "B"}}\n{line.replace("ID", name)}\n')
    with pytest.raises(UserError, match=what) as caught:
        read_replies(file, bench)
    assert caught.value.hint


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    bench = write(tmp_path / "bench.json", [bench_record()])
    with pytest.raises(UserError, match="no `model_output`: its records have answer, core"):
        read_replies(bench)
    with pytest.raises(UserError, match="none is to an item"):
        read_replies(lines(tmp_path / "r.jsonl", {"id": "x", "reply": "B"}), bench)
    with pytest.raises(UserError, match="no such file"):
        read_replies(tmp_path / "none.json")
    with pytest.raises(UserError, match="ids and replies, not the benchmark") as caught:
        read_replies(lines(tmp_path / "q.jsonl", {"id": "x", "reply": "B"}))
    assert "--items" in caught.value.hint
    with pytest.raises(UserError, match="none of videoespresso-train"):
        read_replies(lines(tmp_path / "q.jsonl", {"reply": "B"}))


# ---- from Python


def test_replies_and_records_from_python() -> None:
    items = [item(k) for k in range(3)]
    found = ve.score(["B", "(A)", None], items)
    assert found.scores.whys == {"right": 1, "wrong": 1, "not measured": 1}
    assert ve.score(["B"], items[:1], official=True).official is not None
    with pytest.raises(UserError, match="2 replies to 3 items"):
        ve.score(["B", "C"], items)
    with pytest.raises(UserError, match="replies without items"):
        ve.score(["B"])


# ---- in the authors' format


def test_their_rule_on_our_file_gives_our_number(tmp_path: Path) -> None:
    replied = read_replies(outputs(tmp_path / "out.json", [*SAID, "E", "The answer is C, Bob."]))
    found = scored(replied)
    assert found.scores.over_all is not None
    file = tmp_path / "official.json"
    write_official(official_records(replied, found.scores.verdicts), file)
    written = json.loads(file.read_text())
    theirs = official((record["model_output"], record["correct_answer"]) for record in written)
    assert theirs.accuracy == round(100 * found.scores.over_all.value, 2) == 36.36
    again = scored(read_replies(file))
    assert [v.letter for v in again.scores.verdicts] == [v.letter for v in found.scores.verdicts]
    assert again.scores.over_all == found.scores.over_all
    assert written[1]["model_output"].startswith("(B) Answer: B")
    assert [r.get("model_reply") for r in written] == [r for r in replied.replies]
    kept = {k: v for k, v in written[0].items() if k not in ("model_output", "model_reply")}
    assert kept == bench_record(question="Who 0?")


def test_right_answers_in_another_spelling_are_written_as_theirs(tmp_path: Path) -> None:
    file = outputs(tmp_path / "out.json", ["b", "c"], correct_answer="He hands it over.")
    replied = read_replies(file)
    records = official_records(replied, scored(replied).scores.verdicts)
    assert [r["correct_answer"] for r in records] == ["(B)", "(B)"]


def test_letters_beyond_d_are_not_for_their_rule(tmp_path: Path) -> None:
    options = [f"({letter}): {letter * 3}" for letter in "ABCDE"]
    file = outputs(tmp_path / "out.json", ["E"], options=options, correct_answer="(E)")
    replied = read_replies(file)
    found = scored(replied)
    assert found.scores.whys == {"right": 1}
    with pytest.raises(UserError, match="A to D"):
        official_records(replied, found.scores.verdicts)
