"""The files of an export: pictures that exist, bad lines, and what is left out."""

import json
from pathlib import Path

import pytest
from tests.helpers.released import bench_record, dataset, item, train_record, write
from tests.unit.test_dataset_export import lines

from videoespresso.dataset.formats.convert import convert
from videoespresso.dataset.formats.writing import Choices, Target
from videoespresso.errors import UserError


@pytest.mark.parametrize("to", ["trl", "llama-factory", "ms-swift"])
def test_pictures_are_files_that_exist(tmp_path: Path, to: Target) -> None:
    done = convert(dataset(tmp_path / "a #1.d"), tmp_path / "out", to=to)
    rows = lines(done, "evidence.jsonl") + lines(done, "answer.jsonl")
    assert len(rows) == 6
    assert all(Path(image).is_file() for row in rows for image in row["images"])


def test_a_video_is_a_file_that_exists(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    (tmp_path / "films").mkdir()
    (tmp_path / "films/v.mp4").write_text("")
    choices = Choices(replies="text", shows="video", videos=tmp_path / "films")
    done = convert(folder, tmp_path / "out", to="llama-factory", choices=choices)
    info = json.loads((tmp_path / "out/dataset_info.json").read_text())
    assert info["videoespresso_answer"]["columns"]["videos"] == "videos"
    for row in lines(done, "answer.jsonl"):
        assert row["videos"] == [str(tmp_path / "films/v.mp4")]
        assert row["messages"][0]["content"].startswith("<video>Question")
    (tmp_path / "films/v.mp4").unlink()
    with pytest.raises(UserError, match="video not found"):
        convert(folder, tmp_path / "two", to="ms-swift", choices=choices)


def test_missing_and_straying_pictures_are_left_out_and_told(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d", 4)
    items = [item(n) for n in range(4)]
    (folder / "images/0-1.jpg").unlink()
    (tmp_path / "secret.jpg").write_text("")
    (folder / "images/3-0.jpg").rename(folder / "images/ä #3.x.jpg")
    for number, image in ((1, "../secret.jpg"), (2, "/etc/passwd"), (3, "images/ä #3.x.jpg")):
        first = items[number].core_frames[0].model_copy(update={"image": image})
        frames = (first, items[number].core_frames[1])
        items[number] = items[number].model_copy(update={"core_frames": frames})
    text = "".join(one.model_dump_json() + "\n" for one in items)
    (folder / "records.jsonl").write_text(text, encoding="utf-8")
    done = convert(folder, tmp_path / "out", to="trl")
    assert {left.criterion: (left.count, left.first) for left in done.left_out} == {
        "image not found": (1, "line 1"),
        "image outside its folder": (2, "line 2"),
    }
    (row,) = lines(done, "evidence.jsonl")
    assert row["images"][0] == str(folder / "images/ä #3.x.jpg")


@pytest.mark.parametrize("to", ["trl", "llama-factory", "ms-swift"])
def test_files_that_are_no_pictures_are_left_out_and_told(tmp_path: Path, to: Target) -> None:
    folder = dataset(tmp_path / "d")
    (folder / "images/1-0.jpg").write_text("45")
    done = convert(folder, tmp_path / "out", to=to)
    (left,) = done.left_out
    assert (left.criterion, left.count, left.first) == ("image cannot be read", 1, "line 2")
    assert str(folder / "images/1-0.jpg") in left.reason
    assert len(lines(done, "answer.jsonl")) == 2


def spoiled(folder: Path, *numbers: int, count: int = 3) -> Path:
    """A dataset of ours in which these lines are cut off."""
    file = dataset(folder, count) / "records.jsonl"
    lines = file.read_text().splitlines()
    for number in numbers:
        lines[number - 1] = lines[number - 1][:-30]
    file.write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize("to", ["videoespresso-test", "trl", "ms-swift"])
def test_a_bad_line_of_ours_is_left_out_and_counted(tmp_path: Path, to: Target) -> None:
    done = convert(spoiled(tmp_path / "set", 2), tmp_path / "out", to=to)
    assert (done.read, done.written) == (3, 2)
    (left,) = done.left_out
    assert (left.criterion, left.count, left.first) == ("no record of ours", 1, "line 2")
    assert left.reason.startswith("is not JSON: ")


def test_where_bad_lines_are_is_told_of_ten(tmp_path: Path) -> None:
    done = convert(spoiled(tmp_path / "set", *range(2, 15), count=15), tmp_path / "out", to="trl")
    (left,) = done.left_out
    assert (left.count, left.first) == (13, "line 2")
    assert left.also == tuple(f"line {k}" for k in range(3, 12))


def test_nothing_but_bad_lines_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"as trl: no record of ours \(line 1: is not JSON"):
        convert(spoiled(tmp_path / "set", 1, 2, 3), tmp_path / "out", to="trl")
    assert list(tmp_path.glob("out/*")) == []


def test_a_younger_schema_is_not_left_out(tmp_path: Path) -> None:
    file = dataset(tmp_path / "set") / "records.jsonl"
    file.write_text(file.read_text().replace('"schema_version":1', '"schema_version":2', 1))
    with pytest.raises(UserError, match="line 1 has schema 2") as caught:
        convert(tmp_path / "set", tmp_path / "out", to="trl")
    assert "Update" in caught.value.hint


def test_a_test_record_s_options_are_asked(tmp_path: Path) -> None:
    file = write(tmp_path / "in.json", [bench_record()])
    done = convert(file, tmp_path / "out", to="ms-swift", choices=Choices(replies="text"))
    (row,) = lines(done, "answer.jsonl")
    assert "(D) He left.\n" in row["messages"][-2]["content"]
    assert row["messages"][-1]["content"] == "(B) He hands it over."


def test_released_evidence_has_no_frames_for_our_json(tmp_path: Path) -> None:
    file = write(tmp_path / "in.json", [train_record()])
    with pytest.raises(UserError, match=r"evidence without a frame .*--replies text"):
        convert(file, tmp_path / "out", to="trl")
    assert list((tmp_path / "out").iterdir()) == []


def test_parts_of_an_export_that_exist_are_not_replaced(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "d")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/answer.jsonl").write_text("mine")
    with pytest.raises(UserError, match=r"answer\.jsonl exists"):
        convert(folder, tmp_path / "out", to="trl")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["answer.jsonl"]
    convert(folder, tmp_path / "out", to="trl", choices=Choices(replace=True))
    assert (tmp_path / "out/answer.jsonl").read_text() != "mine"


@pytest.mark.parametrize(
    ("to", "name"),
    [
        ("videoespresso-train", "videoespresso_train_video.json"),
        ("videoespresso-train-images", "merged_ano_all.json"),
        ("videoespresso-test", "bench_final.json"),
    ],
)
def test_ours_as_released_reads_as_the_same_question(tmp_path: Path, to: Target, name: str) -> None:
    folder = dataset(tmp_path / "d")
    done = convert(folder, tmp_path / "out", to=to)
    assert done.files == (str(tmp_path / "out" / name),)
    back = convert(tmp_path / "out" / name, tmp_path / "again")
    found = [json.loads(line) for line in Path(back.files[0]).read_text().splitlines()]
    for number, record in enumerate(found):
        given = item(number)
        assert (record["question"], record["task"]) == (given.question, given.task)
        if to == "videoespresso-test":
            assert (record["letter"], tuple(record["options"])) == (given.letter, given.options)
        (sentence,) = record["evidence"]
        assert sentence["text"] == "The light turns red. The car stops."
        assert [i["name"] for i in sentence["items"]] == ["light", "car"]
        (box,) = sentence["items"][0]["boxes"]
        assert box["xyxy"] == pytest.approx([0.1, 0.2, 0.3, 0.4])
