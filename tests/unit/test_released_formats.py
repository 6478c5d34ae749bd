"""Released records to ours and back: nothing is lost, nothing crashes, what changed is counted."""

import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.released import ELECTION, bench_record, tag, train_record, write
from tests.helpers.videos import Recipe, encode
from tests.unit.test_released_parts import drawn

from videoespresso.dataset import records_io
from videoespresso.dataset.formats import json_stream
from videoespresso.dataset.formats.conversion_report import Converted
from videoespresso.dataset.formats.convert import convert
from videoespresso.dataset.formats.reading import detect
from videoespresso.dataset.formats.released_boxes import SCALES, Scale
from videoespresso.dataset.formats.writing import Choices, Target
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.tasks import LEADERBOARD, TASKS


def ours(folder: Path, *records: Any, **how: Any) -> tuple[list[DatasetItem], Converted]:
    """The records by way of a file, as ours."""
    done = convert(write(folder / "in.json", list(records)), folder / "out", **how)
    return list(records_io.read_items(folder / "out")), done


def there_and_back(
    folder: Path, records: list[Any], to: Target, scale: Scale = 100
) -> list[dict[str, Any]]:
    """The records to ours and back to released."""
    convert(write(folder / "in.json", records), folder / "ours")
    choices = Choices(box_scale=scale)
    done = convert(folder / "ours", folder / "back", to=to, choices=choices)
    found = json.loads(Path(done.files[0]).read_text(encoding="utf-8"))
    assert isinstance(found, list)
    return found


def test_a_test_record_is_read(tmp_path: Path) -> None:
    (item,), done = ours(tmp_path, bench_record())
    assert done.form == "videoespresso-test"
    assert (done.read, done.written, done.boxes, done.scale) == (1, 1, 1, 100)
    assert item.task == "Event Process"
    assert item.video.path.endswith("/Election.2005__#00-05-30_00-06-56_label_A.mp4")
    assert item.options == ("He runs.", "He hands it over.", "He sits.", "He left.")
    assert item.letter == "B"
    assert [f.image for f in item.core_frames] == [f"{ELECTION}/480.jpg", f"{ELECTION}/528.jpg"]
    assert [f.index for f in item.core_frames] == [480, 528]
    assert [f.time_s for f in item.core_frames] == [None, None]
    assert item.core_frames[1].caption == "he hands it over"
    (sentence,) = item.evidence
    assert sentence.text == "The man waits, then gives the envelope away."
    assert [(i.name, len(i.boxes)) for i in sentence.items] == [("man", 1), ("envelope", 0)]
    assert item.extra == {"key_items": ["man", "envelope"]}


def test_a_train_record_is_read(tmp_path: Path) -> None:
    (item,), done = ours(tmp_path, train_record())
    assert done.form == "videoespresso-train"
    assert (item.task, item.options, item.letter) == ("Causal Inference", (), None)
    assert item.extra == {}
    (animal, _) = item.evidence[0].items
    assert animal.boxes[0].xyxy == pytest.approx((0.421, 0.2445, 0.621, 0.5615))
    assert animal.boxes[0].frame is None


@pytest.mark.parametrize("frames", ["keyframe_path", "path", "core_frames_paths"])
@pytest.mark.parametrize("captions", ["caption", "core_frames_captions"])
def test_aliases_are_read_as_one(tmp_path: Path, frames: str, captions: str) -> None:
    record = train_record(**{"keyframe_path": ..., "caption": ...})
    record |= {frames: ["a/1.jpg"], captions: ["one"]}
    (item,), done = ours(tmp_path, record)
    assert [(f.image, f.caption) for f in item.core_frames] == [("a/1.jpg", "one")]
    assert item.extra == {}
    assert {f"frames: {frames}", f"captions: {captions}"} <= set(done.variants)


@pytest.mark.parametrize(
    ("record", "to"),
    [
        (bench_record(), "videoespresso-test"),
        (train_record(), "videoespresso-train"),
        (train_record(path=["a/1.jpg"], keyframe_path=...), "videoespresso-train-images"),
    ],
)
def test_what_is_released_comes_back(tmp_path: Path, record: Any, to: Target) -> None:
    assert there_and_back(tmp_path, [record], to) == [record]


def test_keys_are_in_the_order_of_the_test_file(tmp_path: Path) -> None:
    (back,) = there_and_back(tmp_path, [bench_record()], "videoespresso-test")
    assert list(back) == list(bench_record())


def a_record(rng: random.Random, scale: Scale, test: bool) -> dict[str, Any]:
    """A record with whatever was seen, or could be."""
    words = ["man", "The man", "red car", "é", "#1.b", "<b>", "woman. Then", "\n", "image 2"]
    evidence = ""
    for _ in range(rng.randint(0, 8)):
        boxes = [drawn(rng, scale) for _ in range(rng.choice([0, 1, 1, 4]))]
        name = rng.choice(words[:5])
        evidence += rng.choice([tag(name, *boxes), rng.choice(words)]) + rng.choice(["", " "])
    frames = rng.randint(0, 5)
    stems = [rng.choice(["480", "000027_keyframe_1-38-11-958", "a.b#c"]) for _ in range(frames)]
    record: dict[str, Any] = {
        "video_path": rng.choice(["Moviechat/1/a #2.b.mp4", "../x.mp4", "all_video/v/é.mp4"]),
        "question": f"Why {rng.random()}? (image 2)",
        "answer": rng.choice([" spaced ", "because of the red car", "B"]),
        "task": rng.choice([*LEADERBOARD.values(), *TASKS, "Preparation Steps / Ingredient", "?"]),
        "evidence": evidence,
        rng.choice(["duration", "source", "core_frames_timestamps"]): [1.5, {"x": None}],
        rng.choice(["key_items", "key_item"]): rng.choice(
            ["man, car", ["man"], {"man": [[1, 2, 3, 4]]}, {"0": {"man": []}}, [], 3]
        ),
    }
    paths = [f"XD-Violence/3_image/a #b.c/{stem}.jpg" for stem in stems]
    captions = [f"caption {k}" for k in range(rng.choice([frames, frames, 0, frames + 1]))]
    record["core_frames_paths" if test else "keyframe_path"] = paths
    record["core_frames_captions" if test else "caption"] = captions
    if test:
        record["options"] = [f"({c}): text {c}" for c in "ABCD"]
        record["correct_answer"] = rng.choice(["(A)", "(D)", "(E)"])
    dropped = rng.choice([*record, None])
    needed = {"question", "answer", "options", "correct_answer"}
    return {k: v for k, v in record.items() if k != dropped or k in needed}


def normal(record: dict[str, Any]) -> dict[str, Any]:
    """What is documented as not kept: empty texts and lists of known keys, boxes' last digits."""
    known = {
        "video_path", "evidence", "core_frames_paths", "keyframe_path", "caption",
        "core_frames_captions",
    }  # fmt: skip
    kept = {k: v for k, v in record.items() if v not in ("", []) or k not in known}
    if not str(kept.get("evidence", "x")).strip():
        del kept["evidence"]
    return kept


def apart(text: str) -> tuple[str, list[float]]:
    """A text without the boxes' numbers, and the numbers."""
    numbers: list[float] = []
    pieces = text.split("<box_start>")
    out = pieces[0]
    for piece in pieces[1:]:
        boxes, rest = piece.split("<box_end>", 1)
        numbers += [v for box in json.loads(boxes) for v in box]
        out += "<box>" + rest
    return out, numbers


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_on_the_way_there_and_back(
    tmp_path: Path, seed: int, test: bool, scale: Scale
) -> None:
    rng = random.Random(seed)
    records = [a_record(rng, scale, test) for _ in range(40)]
    records[0]["evidence"] = " ".join(tag("all", drawn(rng, scale)) for _ in range(50))
    to: Target = "videoespresso-test" if test else "videoespresso-train"
    back = there_and_back(tmp_path, records, to, scale)
    assert len(back) == len(records)
    for given, found in zip(map(normal, records), back, strict=True):
        text, numbers = apart(found.pop("evidence", ""))
        told, boxes = apart(given.pop("evidence", ""))
        assert text == told
        assert [v / scale for v in numbers] == pytest.approx([v / scale for v in boxes], abs=1e-6)
        if "key_items" in found and "key_items" not in given:
            del found["key_items"]  # documented: a test record gets the names that its text has
        assert found == given


def test_the_scale_may_be_given(tmp_path: Path) -> None:
    (item,), done = ours(tmp_path, train_record(), scale=1000)
    assert done.scale == 1000
    assert item.evidence[0].items[0].boxes[0].xyxy[0] == pytest.approx(0.0421)


def test_boxes_are_cut_to_the_frame_and_counted(tmp_path: Path) -> None:
    text = f"The {tag('car', [95, 50, 20, 20])} and {tag('bus', [300, 50, 20, 20])}"
    _, done = ours(tmp_path, train_record(evidence=text), scale=100)
    assert done.changed == {
        "boxes cut to the frame": 1,
        "tags that cannot be read, kept as text": 1,
    }


@pytest.mark.parametrize(
    ("record", "criterion"),
    [
        (5, "no record"),
        ([], "no record"),
        ({}, "no question"),
        (train_record(question=""), "no question"),
        (train_record(question=["a"]), "no question"),
        (train_record(question=7), "no question"),
        (train_record(answer=...), "no answer"),
        (train_record(answer=None), "no answer"),
        (bench_record(answer=..., correct_answer=...), "no answer"),
    ],
)
def test_what_is_no_question_is_told(tmp_path: Path, record: Any, criterion: str) -> None:
    items, done = ours(tmp_path, train_record(), record, bench_record())
    assert len(items) == done.written == 2
    (left,) = done.left_out
    assert (left.criterion, left.count, left.first) == (criterion, 1, "record 2")
    (reject,) = records_io.read_rejects(tmp_path / "out")
    assert (reject.stage, reject.criterion) == ("convert", criterion)
    assert reject.reason.startswith("record 2: ")


@pytest.mark.parametrize("value", [None, 3, {"a": 1}, [1, None], [["x"]], "", [], True])
@pytest.mark.parametrize("key", ["keyframe_path", "caption", "evidence", "task", "video_path"])
def test_no_value_of_a_key_is_fatal(tmp_path: Path, key: str, value: Any) -> None:
    (back,) = there_and_back(tmp_path, [train_record(**{key: value})], "videoespresso-train")
    assert back.get(key) == value or value in ("", [])


@pytest.mark.parametrize("value", [None, 3, {"a": 1}, ["x"], [1, 2], "", True])
@pytest.mark.parametrize("key", ["options", "correct_answer", "key_items"])
def test_no_value_of_a_test_key_is_fatal(tmp_path: Path, key: str, value: Any) -> None:
    (item,), _ = ours(tmp_path, bench_record(**{key: value}))
    assert key not in item.extra or item.extra[key] == value


def test_an_answer_may_be_told_by_its_letter_alone(tmp_path: Path) -> None:
    (item,), done = ours(tmp_path, bench_record(answer=...))
    assert item.answer == "He hands it over."
    assert done.variants["answer: from the right option"] == 1


def test_a_letter_without_an_option_is_kept_and_counted(tmp_path: Path) -> None:
    (item,), done = ours(tmp_path, bench_record(correct_answer="(E)"))
    assert item.letter is None
    assert item.extra["correct_answer"] == "(E)"
    assert done.changed["options without a right letter"] == 1


def test_key_items_beside_a_text_without_tags(tmp_path: Path) -> None:
    record = bench_record(evidence="The man gives it away.", key_items={"man": [[1, 2, 3, 4]]})
    (item,), _ = ours(tmp_path, record)
    assert [(i.name, i.boxes) for i in item.key_items] == [("man", ())]
    (back,) = there_and_back(tmp_path / "b", [record], "videoespresso-test")
    assert back == record


def test_evidence_in_sentences(tmp_path: Path) -> None:
    sentences = [f"A {tag('dog', [50, 50, 10, 10])}.", "It runs."]
    (item,), _ = ours(tmp_path, train_record(evidence=sentences))
    assert [s.text for s in item.evidence] == ["A dog.", "It runs."]


def test_a_spelling_of_a_task_is_kept(tmp_path: Path) -> None:
    label = "Preparation Steps / Ingredient Analysis"
    (item,), _ = ours(tmp_path, train_record(task=label))
    assert (item.task, item.extra) == ("Ingredient Details", {"task": label})


def test_the_same_question_twice_is_kept_and_counted(tmp_path: Path) -> None:
    items, done = ours(tmp_path, train_record(), train_record())
    assert len(items) == 2
    assert done.changed == {"the same question twice, kept": 1}


def test_json_lines_with_a_bad_line(tmp_path: Path) -> None:
    lines = [json.dumps(train_record()), "{oops", json.dumps(train_record(question="And then?"))]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    done = convert(tmp_path / "in.jsonl", tmp_path / "out")
    assert (done.read, done.written) == (3, 2)
    assert [(left.criterion, left.first) for left in done.left_out] == [
        ("cannot be read", "line 2")
    ]


def test_released_to_released_at_once(tmp_path: Path) -> None:
    done = convert(
        write(tmp_path / "in.json", [train_record()]),
        tmp_path / "out.jsonl",
        to="videoespresso-train-images",
    )
    (line,) = Path(done.files[0]).read_text().splitlines()
    assert json.loads(line)["path"] == train_record()["keyframe_path"]


def test_a_cut_off_file_writes_nothing(tmp_path: Path) -> None:
    text = json.dumps([train_record()] * 3)[:-30]
    (tmp_path / "in.json").write_text(text)
    with pytest.raises(UserError, match="no whole JSON list"):
        convert(tmp_path / "in.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_to_write_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    file = write(tmp_path / "in.json", [train_record()])
    with pytest.raises(UserError, match="as videoespresso-test: no options"):
        convert(file, tmp_path / "out", to="videoespresso-test")
    assert list(tmp_path.glob("out/*")) == []
    with pytest.raises(UserError, match="as ours: no answer"):
        ours(tmp_path, train_record(answer=""))
    assert list(tmp_path.glob("out/*")) == []


@pytest.mark.parametrize(
    ("records", "said"), [([{"messages": []}], "have messages"), ([], "nothing with names")]
)
def test_what_is_no_dataset_is_told(tmp_path: Path, records: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        detect(write(tmp_path / "in.json", records))


def test_a_torn_file_is_told_as_torn(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"question": "Wh')
    with pytest.raises(UserError, match="line 1: is not JSON"):
        detect(tmp_path / "in.jsonl")


def test_ours_is_known_as_ours(tmp_path: Path) -> None:
    ours(tmp_path, train_record())
    assert detect(tmp_path / "out") == detect(tmp_path / "out/records.jsonl") == "ours"
    with pytest.raises(UserError, match="ours already"):
        convert(tmp_path / "out", tmp_path / "again")


def test_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        convert(tmp_path / "none.json", tmp_path / "out")


def test_instants_come_from_the_video_s_real_rate(tmp_path: Path) -> None:
    """24 pictures at 24000/1001 a second: frame 12 is at 0.5005 s."""
    pts = [k * 1001 for k in range(24)]
    name = "Mov #1.b_00-05.mp4"
    (tmp_path / "films/XD").mkdir(parents=True)
    recipe = Recipe(
        "rate", "libx264", pts, Fraction(1, 24000), fps=Fraction(24000, 1001), last=1001
    )
    encode(tmp_path / "films/XD" / name, recipe)
    folder = "XD/1_image/Mov #1.b_00-05"
    records = [
        train_record(
            video_path=path,
            keyframe_path=[f"{folder}/12.jpg", f"{folder}/90000.jpg", f"{folder}/x.jpg"],
            question=f"{path}?",
        )
        for path in (f"XD/{name}", f"all_video/XD/{name}", "XD/missing.mp4", "../XD/out.mp4")
    ]
    (tmp_path / "films/XD/broken.mp4").write_text("no video")
    records.append(train_record(video_path="XD/broken.mp4", question="broken?"))
    items, done = ours(tmp_path, *records, choices=Choices(videos=tmp_path / "films"))
    for item in items[:2]:
        assert item.video.fps == Fraction(24000, 1001)
        assert item.video.id
        times = [frame.time_s for frame in item.core_frames]
        assert times == [pytest.approx(0.5005), None, None]
    assert items[0].video.path == f"XD/{name}"
    assert all(f.time_s is None for item in items[2:] for f in item.core_frames)
    assert done.changed == {
        "video not found": 2,
        "video cannot be read": 1,
        "frame index behind the video's end": 2,
        "not as many captions as frames": 4,
    }


def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader holds a record and a chunk, not the list."""
    monkeypatch.setattr(json_stream, "CHUNK", 10_000)
    write(tmp_path / "in.json", [train_record(question=f"{k}?") for k in range(500)])
    held = max(len(window) for window in _windows(tmp_path / "in.json", monkeypatch))
    assert held < 30_000 < (tmp_path / "in.json").stat().st_size


def _windows(file: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    more = json_stream._Window.more

    def watched(window: Any) -> bool:
        found = more(window)
        seen.append(window.text)
        return found

    monkeypatch.setattr(json_stream._Window, "more", watched)
    assert sum(1 for _ in json_stream.rows(file)) == 500
    return seen
