"""Our own files: whole or not at all, line by line, and what is wrong is named."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.released import dataset, item

from videoespresso.dataset import records_io
from videoespresso.dataset_record import DatasetItem, Reject
from videoespresso.errors import UserError


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    items = [item(n, video={"path": "films/Élan #1.b.mp4"}) for n in range(3)]
    rejects = [Reject(video="a", stage="verify", criterion="one frame", reason="\ud800 ü")]
    with records_io.writing_lines(tmp_path / "d/records.jsonl") as out:
        for one in items:
            out.record(one)
    with records_io.writing_lines(tmp_path / "d/rejects.jsonl") as out:
        out.record(rejects[0])
    assert out.written == 1
    assert list(records_io.read_items(tmp_path / "d")) == items
    assert list(records_io.read_items(tmp_path / "d/records.jsonl")) == items
    assert list(records_io.read_rejects(tmp_path / "d")) == rejects
    assert "Élan" in (tmp_path / "d/records.jsonl").read_text()


def test_no_rejects_is_no_error(tmp_path: Path) -> None:
    assert list(records_io.read_rejects(dataset(tmp_path))) == []


def test_a_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    line = item().model_dump_json().encode()
    (tmp_path / "records.jsonl").write_bytes(b"\xef\xbb\xbf\n" + line + b"\r\n\n" + line)
    assert [n for n, _ in records_io.lines_of(tmp_path / "records.jsonl")] == [2, 4]
    assert len(list(records_io.read_items(tmp_path))) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "line 2: is not JSON"),
        (b"\xff\xfe", "line 2: is not JSON"),
        (b"[" * 100_000, "line 2: nests too deeply"),
        (b'{"id": ' + b"7" * 5000 + b"}", "line 2: has a number of more than 4,300 digits"),
        (b"[]", "line 2: Input should be"),
        (b'{"id": "a"}', "line 2: `video`"),
        (b'{"schema_version": 2, "new": 1}', "line 2 has schema 2"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    file = tmp_path / "records.jsonl"
    file.write_bytes(item().model_dump_json().encode() + b"\n" + line + b"\n")
    with pytest.raises(UserError, match=f"{file} {said}") as error:
        list(records_io.read_items(tmp_path))
    assert error.value.hint


def test_a_younger_schema_says_update(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text(json.dumps({"schema_version": 9}))
    with pytest.raises(UserError, match="up to 1") as error:
        list(records_io.read_items(tmp_path))
    assert "Update" in error.value.hint


def test_a_letter_without_an_option_is_named(tmp_path: Path) -> None:
    line = item().model_dump(mode="json") | {"letter": "E"}
    (tmp_path / "records.jsonl").write_text(json.dumps(line))
    with pytest.raises(UserError, match="letter E but 4 options"):
        list(records_io.read_items(tmp_path))


def test_a_line_without_an_end_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_io, "LONGEST", 1000)
    (tmp_path / "records.jsonl").write_bytes(b" " * 5000)
    with pytest.raises(UserError, match="line 1: is longer"):
        list(records_io.read_items(tmp_path))


@pytest.mark.parametrize("place", ["nothing", "folder"])
def test_a_place_without_records(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=place) as error:
        records_io.read_items(tmp_path / place)
    assert "records.jsonl" in error.value.hint


def test_an_interrupted_file_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with records_io.writing_lines(tmp_path / "a.jsonl") as out:
            out.record(item())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_only_replaced_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("old")
    with pytest.raises(UserError, match="exists"), records_io.writing_lines(tmp_path / "a.jsonl"):
        raise AssertionError("nothing is written")
    with records_io.writing_lines(tmp_path / "a.jsonl", replace=True) as out:
        assert (tmp_path / "a.jsonl").read_text() == "old"
        out.value({"new": 1})
    assert (tmp_path / "a.jsonl").read_text() == '{"new": 1}\n'


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot be written"),
        records_io.writing_lines(tmp_path / "file/records.jsonl"),
    ):
        raise AssertionError("nothing is written")


def test_memory_is_flat_both_ways(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        with records_io.writing_lines(tmp_path / f"{count}/records.jsonl") as out:
            for one in many(count):
                out.record(one)
        assert sum(1 for _ in records_io.read_items(tmp_path / str(count))) == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    def many(count: int) -> Iterator[DatasetItem]:
        return (item(n) for n in range(count))

    peak(50)  # caches of pydantic and json fill up
    assert peak(1500) < peak(100) + 300_000
