"""Questions as people have them: exported tables, spreadsheets' encodings, damaged lines."""

import csv
import json
import os
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import videoespresso as ve
from videoespresso.api.ask import check_question
from videoespresso.api.ask_many_records import plan
from videoespresso.errors import UserError

ROW = {"video": "a.mp4", "question": "Who wins?"}


def planned(path: Path) -> list[Any]:
    return [p.question for p in plan(path)]


@pytest.mark.parametrize(
    ("more", "options", "name"),
    [
        ({"options": None, "id": None}, (), ""),
        ({"id": 1.0}, (), "1"),
        ({"id": 1}, (), "1"),
        ({"options": float("nan"), "id": float("nan")}, (), ""),
        ({"options": ["Ann", "Bo"]}, ("Ann", "Bo"), ""),
    ],
)
def test_missing_values_of_exported_tables(
    tmp_path: Path, more: dict[str, Any], options: tuple[str, ...], name: str
) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(ROW | more) + "\n")
    (question,) = planned(path)
    assert (question.options, question.id) == (options, name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", ["lines", "list", "table"])
def test_encodings_of_spreadsheets(tmp_path: Path, encoding: str, form: str) -> None:
    path = tmp_path / ("q.csv" if form == "table" else "q.jsonl")
    text = {
        "lines": json.dumps(ROW | {"question": "Qui gagne à Noël?"}, ensure_ascii=False) + "\n",
        "list": json.dumps([ROW | {"question": "Qui gagne à Noël?"}], indent=1, ensure_ascii=False),
        "table": "video,question\na.mp4,Qui gagne à Noël?\n",
    }[form]
    path.write_bytes(text.encode(encoding))
    assert [q.question for q in planned(path)] == ["Qui gagne à Noël?"]


@pytest.mark.parametrize(
    "line",
    [
        '{"video": "a\\u0000.mp4", "question": "Who?"}',
        '{"video": "a.mp4", "question": "Who \\ud83d?"}',
        "[" * 200_000,
        '{"video": ' + "[" * 200_000,
        '{"video": "a.mp4"}',
        "\x00",
    ],
    ids=["nul", "surrogate", "deep", "deep field", "no question", "binary"],
)
def test_a_damaged_line_is_a_record_and_the_others_are_asked(tmp_path: Path, line: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join([json.dumps(ROW), line, json.dumps(ROW | {"question": "Why?"})]))
    first, damaged, last = plan(path)
    assert first.question is not None
    assert last.question is not None
    assert damaged.unreadable is not None
    assert damaged.unreadable.error is not None
    assert "line 2" in damaged.unreadable.error.text


@pytest.mark.parametrize(
    ("field", "said"), [("x" * 200_000, "not CSV"), ("[" * 100_000, "")], ids=["huge", "deep"]
)
def test_a_damaged_row_of_a_table_is_a_record_too(tmp_path: Path, field: str, said: str) -> None:
    path = tmp_path / "q.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["video", "question", "options"])
        table.writerow(["a.mp4", "Who?", "a|b"])
        table.writerow(["a.mp4", "Why?", field])
        table.writerow(["a.mp4", "When?", "a|b"])
    first, damaged, last = plan(path)
    assert first.question is not None
    assert last.question is not None
    assert last.question.question == "When?"
    if said:
        assert damaged.unreadable is not None
        assert damaged.unreadable.error is not None
        assert said in damaged.unreadable.error.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.csv", 'video,question\na.mp4,Who?\na.mp4,"Why\na.mp4,When?\n'),
        ("q.csv", 'video,question\na.mp4,Who?\na.mp4,"Why\na.mp4,"When?"\n'),
        ("q.csv", "video,question\na.mp4,Who?\na.mp4,Wh\udce9\na.mp4,When?\n"),
        ("q.json", '[{"video": "a.mp4", "question": "Who?"}, {"video": a.mp4}, '
                   '{"video": "a.mp4", "question": "When?"}]'),
        ("q.json", '[\n{"video": "a.mp4", "question": "Who?"},\n{"video": "a.mp4", "question": '
                   '"W"h"},\n{"video": "a.mp4", "question": "When?"}\n]'),
        ("q.json", '[{"video": "a.mp4", "question": "Who?"},\n{"video": "a.mp4", "question": '
                   '"When?"},\n{"video": "a.mp4", "ques'),
    ],
    ids=["open quote", "quote of another row", "Latin-1", "item", "item on its line", "cut list"],
)  # fmt: skip
def test_one_damaged_row_does_not_take_the_others_with_it(
    tmp_path: Path, name: str, text: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    asked = plan(path)
    assert [p.question.question for p in asked if p.question] == ["Who?", "When?"]
    (damaged,) = (p.unreadable for p in asked if p.unreadable)
    assert damaged.error is not None
    assert damaged.error.kind == "UserError"


def test_a_file_of_a_folder_that_cannot_be_read_ends_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("broken{\n")
    with pytest.raises(ve.UserError, match="no column `question`"):
        plan(tmp_path)
    (tmp_path / "b.jsonl").write_text(json.dumps(ROW))
    good, bad = plan(tmp_path)
    assert good.question is not None
    assert bad.unreadable is not None
    assert bad.unreadable.error is not None
    assert bad.unreadable.error.text.startswith(f"{tmp_path / 'a.csv'}: the first row has")


def test_an_odd_byte_of_utf_16_damages_its_line_only(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes((json.dumps(ROW) + "\n").encode("utf-16") + b"x")
    first, damaged = plan(path)
    assert first.question is not None
    assert damaged.unreadable is not None


@pytest.mark.parametrize(
    "text",
    [
        "video;question;options\na.mp4;Who, then?;Ann|Bo\n",
        "sep=;\r\nvideo;question;options\r\na.mp4;Who, then?;Ann|Bo\r\n",
        'video, question ,options\na.mp4,"Who, then?",Ann|Bo\n',
        "video\tquestion\toptions\na.mp4\tWho, then?\tAnn|Bo\n",
    ],
    ids=["semicolons", "sep line", "spaces", "tabs"],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "q.csv"
    path.write_bytes(text.encode("utf-8-sig"))
    (question,) = planned(path)
    assert (question.question, question.options) == ("Who, then?", ("Ann", "Bo"))


def test_quotes_inside_of_a_column_and_line_ends_inside_of_quotes(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(
        'video,question\na.mp4,Who said "no"?\na.mp4,"Why\nthen?"\na.mp4,"No" says who?\n'
    )
    assert [q.question for q in planned(path)] == ['Who said "no"?', "Why\nthen?", "No says who?"]


@pytest.mark.parametrize("outer", [{"data": [ROW]}, {"version": 1, "questions": [ROW]}, ROW])
def test_the_list_in_an_object_is_the_list(tmp_path: Path, outer: dict[str, Any]) -> None:
    path = tmp_path / "q.json"
    path.write_text(json.dumps(outer, indent=1))
    assert [q.question for q in planned(path)] == ["Who wins?"]


def test_columns_that_json_has_no_word_for_are_carried_all_the_same() -> None:
    odd = {"day": date(2026, 1, 2), "raw": b"\xff", "price": Decimal("1.5"), "rate": float("inf")}
    (one,) = plan([ROW | odd])
    written = json.dumps(one.result().model_dump(mode="json"), allow_nan=False)
    plain = {"day": "2026-01-02", "raw": "_w==", "price": "1.5", "rate": None}
    assert json.loads(written)["extra"] == plain


def test_further_columns_are_carried_through_and_do_not_name_the_question(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["video", "question", "options", "split", "author"])
        table.writerow(["a.mp4", "Who wins?", "Ann | Bo", "test", ""])
        table.writerow(["a.mp4", "Why?", '["a", "b|c"]', "", "me"])
    one, two = planned(path)
    assert (one.options, one.extra) == (("Ann", "Bo"), {"split": "test"})
    assert (two.options, two.extra) == (("a", "b|c"), {"author": "me"})
    plain = plan([{"video": "a.mp4", "question": "Who wins?", "options": ["Ann", "Bo"]}])[0]
    assert plan(path)[0].key == plain.key
    assert plan(path)[0].result().extra == {"split": "test"}


@pytest.mark.parametrize("own", [1, "some", ["a"], {"a": 1}, None])
def test_a_column_of_our_own_name_is_carried_too(own: Any) -> None:
    row = {"video": "a.mp4", "question": "Why?", "extra": own, "mine": 2}
    (line,) = plan([row])
    carried = own if isinstance(own, dict) else {} if own is None else {"extra": own}
    assert line.result().extra == {**carried, "mine": 2}


def test_lines_that_differ_in_further_columns_only_have_a_result_each() -> None:
    row = {"video": "a.mp4", "question": "Why?"}
    rows: list[dict[str, Any]] = [{**row, "split": "test"}, {**row, "split": "dev"}, row]
    lines = plan([*rows, *rows])
    assert [p.result().extra for p in lines] == [{"split": "test"}, {"split": "dev"}, {}]
    assert len({p.key for p in lines}) == 3
    assert lines[0].key == plan([row])[0].key
    assert [p.key for p in plan([*rows, {**row, "split": "val"}])][:3] == [p.key for p in lines]


def test_a_folder_is_the_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("video,question\nb.mp4,Why?\n")
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW))
    (tmp_path / "notes.txt").write_text("not a question")
    assert [q.video for q in planned(tmp_path)] == ["a.mp4", "b.mp4"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="no file of questions"):
        plan(empty)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.jsonl", "", "holds no question"),
        ("a.jsonl", "\n \n", "holds no question"),
        ("a.json", "[]", "holds no question"),
        ("a.csv", "", "holds no question"),
        ("a.csv", "video,question\n", "holds no question"),
        ("a.csv", "a.mp4,Who runs?\n", "no column `question`: a.mp4, Who runs"),
        ("a.csv", "video,question,question\na.mp4,Who?,Why?\n", "the column question twice"),
    ],
)
def test_a_file_without_questions_is_refused(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=re.escape(why)) as caught:
        plan(tmp_path / name)
    assert caught.value.hint


def test_of_a_folder_neither_pipes_nor_links_to_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW))
    (tmp_path / "b.csv").symlink_to(".")
    os.mkfifo(tmp_path / "c.jsonl")
    assert len(planned(tmp_path)) == 1


@pytest.mark.extras
def test_parquet_with_two_columns_of_one_name_is_said_in_one_line(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    column = pa.array(["a.mp4"])
    parquet.write_table(
        pa.table([column, column, column], names=["video", "video", "question"]),
        tmp_path / "q.parquet",
    )
    with pytest.raises(UserError, match="Multiple matches") as caught:
        planned(tmp_path / "q.parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.extras
def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet  # noqa: PLC0415 - an extra

    path = tmp_path / "q.parquet"
    rows = [ROW | {"id": 1.0, "options": ["a", "b"]}, ROW | {"id": None, "options": None}]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    assert [(q.id, q.options) for q in planned(path)] == [("1", ("a", "b")), ("", ())]
    days = pa.array([0, 1 << 40], pa.timestamp("s"))
    table = pa.table({"video": ["a.mp4"] * 2, "question": ["Who?", "Why?"], "day": days})
    pyarrow.parquet.write_table(table, path)
    good, beyond = plan(path)
    assert good.question is not None
    assert beyond.unreadable is not None


def test_more_options_than_letters_are_refused_before_anything_is_decoded() -> None:
    check_question("Who?", [f"person {n}" for n in range(26)])
    with pytest.raises(UserError, match="27 options"):
        check_question("Who?", [f"person {n}" for n in range(27)])
