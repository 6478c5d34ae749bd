"""The parts of released records: boxes and their scale, tags in text, fields, the file itself."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.released import tag, write

from videoespresso.dataset.formats import inline, json_stream, released_fields
from videoespresso.dataset.formats.released_boxes import (
    SCALES,
    Scale,
    ScaleVote,
    from_released,
    to_released,
)
from videoespresso.dataset.formats.timestamps import below
from videoespresso.dataset_record import EvidenceSentence, FrameBox, GroundedItem
from videoespresso.errors import UserError

HUNDREDTHS = inline.released_tag(100)


def drawn(rng: random.Random, scale: Scale) -> list[float]:
    """A box in the frame, as a file at that scale has it."""
    w, h = rng.uniform(0.02, 0.9), rng.uniform(0.02, 0.9)
    cx, cy = rng.uniform(w / 2, 1 - w / 2), rng.uniform(h / 2, 1 - h / 2)
    return [round(v * scale, rng.choice([2, 4, 7]) if scale > 1 else 6) for v in (cx, cy, w, h)]


def voted(boxes: list[list[float]]) -> Scale:
    vote = ScaleVote()
    for box in boxes:
        vote.add(box)
    return vote.scale()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("seed", range(5))
def test_the_scale_is_found_from_all_boxes(scale: Scale, seed: int) -> None:
    rng = random.Random(seed)
    boxes = [drawn(rng, scale) for _ in range(400)]
    boxes += [[v * 0.009 for v in box] for box in boxes[:100]]  # small ones fit a smaller scale
    boxes += [[scale * 7.0, 1.0, 1.0, 1.0]] * 3  # slips
    assert voted(boxes) == scale


def test_one_box_a_little_over_its_scale_does_not_change_it() -> None:
    assert voted([[50.0, 50.0, 101.2, 30.0]]) == 100


def test_a_tenth_of_large_boxes_tells_the_scale() -> None:
    assert voted([[0.5, 0.5, 0.2, 0.2]] * 90 + [[50.0, 50.0, 20.0, 20.0]] * 10) == 100


def test_without_boxes_it_is_the_released_scale() -> None:
    assert voted([]) == 100


def test_pixels_are_no_scale() -> None:
    with pytest.raises(UserError, match="no known scale: 20 of 20") as error:
        voted([[960.0, 1540.0, 200.0, 100.0]] * 20)
    assert "--box-scale" in error.value.hint


@pytest.mark.parametrize("scale", SCALES)
def test_boxes_come_back(scale: Scale) -> None:
    rng = random.Random(scale)
    for _ in range(500):
        box = drawn(rng, scale)
        cx, cy, w, h = box
        found = from_released((cx, cy, w, h), scale)
        assert found is not None
        assert not found[1]
        assert to_released(found[0], scale) == pytest.approx(box, abs=1e-5 * scale)


def test_corners_are_those_of_the_author_s_formula() -> None:
    assert from_released((52.0, 40.0, 20.0, 30.0), 100) == (
        FrameBox(xyxy=(0.42, 0.25, 0.62, 0.55)),
        False,
    )
    cut = from_released((95.0, 50.0, 20.0, 20.0), 100)
    assert cut == (FrameBox(xyxy=(0.85, 0.4, 1.0, 0.6)), True)


@pytest.mark.parametrize(
    "box",
    [
        (50.0, 50.0, -1.0, 5.0),
        (float("nan"), 1.0, 1.0, 1.0),
        (float("inf"), 1.0, 1.0, 1.0),
        (170.0, 50.0, 20.0, 20.0),
        (-30.0, 50.0, 20.0, 20.0),
    ],
)
def test_what_is_no_box_on_the_frame(box: tuple[float, float, float, float]) -> None:
    assert from_released(box, 100) is None


def test_tags_are_read_with_their_place() -> None:
    text = f"The {tag('man', [50, 50, 20, 20], [10, 10, 4, 4])} sees a {tag(' red car ')}!"
    found = inline.read(text, 100)
    assert found.text == "The man sees a  red car !"
    assert [(i.name, i.at, len(i.boxes)) for i in found.items] == [
        ("man", 4, 2),
        ("red car", 16, 0),
    ]
    assert found.items[0].boxes[0].xyxy == (0.4, 0.4, 0.6, 0.6)
    assert (found.malformed, found.cut) == (0, 0)
    assert list(inline.raw_boxes(text)) == [(50, 50, 20, 20), (10, 10, 4, 4)]


@pytest.mark.parametrize(
    "boxes",
    ["[[1,2,3,4]]", "[1, 2, 3, 4]", "1 2 3 4", "(1, 2, 3, 4)", "[1 2 3 4]", " [[1.0,2e0,3,+4]]"],
)
def test_boxes_in_any_brackets(boxes: str) -> None:
    text = f"<obj_start>a<obj_end>\n <box_start>{boxes}<box_end>"
    assert list(inline.raw_boxes(text)) == [(1, 2, 3, 4)]


@pytest.mark.parametrize("boxes", ["[]", "", "[[]]", " [ ] "])
def test_no_boxes(boxes: str) -> None:
    found = inline.read(f"<obj_start>a<obj_end><box_start>{boxes}<box_end>", 100)
    assert found.malformed == (1 if boxes == "[[]]" else 0)
    assert [i.boxes for i in found.items] == ([] if boxes == "[[]]" else [()])


@pytest.mark.parametrize(
    "text",
    [
        "<obj_start>cat<obj_end> sits",
        "<obj_start>cat sits",
        "sits <box_end>",
        "<obj_start>cat<obj_end><box_start>[[1,2,3]]<box_end>",
        "<obj_start>cat<obj_end><box_start>[[1,2,3],[4,5,6,7,8]]<box_end>",
        "<obj_start>cat<obj_end><box_start>left of it<box_end>",
        "<obj_start>cat<obj_end><box_start>[[1,2,3,true]]<box_end>",
        '<obj_start>cat<obj_end><box_start>{"a": 1}<box_end>',
        "<obj_start>cat<obj_end><box_start>[[NaN,2,3,4]]<box_end>",
        "<obj_start> <obj_end><box_start>[]<box_end>",
        "<obj_start>cat<obj_end><box_start>" + "[" * 100_000 + "<box_end>",
    ],
)
def test_a_tag_that_cannot_be_read_stays_as_text_and_is_counted(text: str) -> None:
    after = " and <obj_start>dog<obj_end><box_start>[]<box_end>"
    found = inline.read(text + after, 100)
    assert found.text == text + " and dog"
    assert [i.name for i in found.items] == ["dog"]
    assert found.malformed == 1
    sentence = EvidenceSentence(text=found.text, items=found.items)
    assert inline.write(sentence, HUNDREDTHS) == text + after


def test_a_torn_tag_does_not_swallow_the_next() -> None:
    found = inline.read("<obj_start>a man <obj_start>car<obj_end><box_start>[]<box_end>", 100)
    assert [(i.name, i.at) for i in found.items] == [("car", 17)]
    assert found.malformed == 1


@pytest.mark.parametrize("seed", range(20))
def test_tagged_text_comes_back_letter_by_letter(seed: int) -> None:
    """Names inside other words, twice, untagged before tagged: the place decides."""
    rng, text = random.Random(seed), ""
    for _ in range(rng.randint(0, 12)):
        name = rng.choice(["man", "woman", "a", "red car", "Mann", "é#1", "."])
        boxes = [[round(v, 2) for v in drawn(rng, 100)] for _ in range(rng.choice([0, 0, 1, 3]))]
        text += rng.choice([name, tag(name, *boxes), " ", "\n", "many ", "<b>"])
    found = inline.read(text, 100)
    written = inline.write(EvidenceSentence(text=found.text, items=found.items), HUNDREDTHS)
    assert written == text
    assert found.malformed == found.cut == 0


def test_items_without_a_place_find_their_words() -> None:
    box = FrameBox(xyxy=(0.1, 0.1, 0.3, 0.3))
    sentence = EvidenceSentence(
        text="Many women, a woman: the Man and the man.",
        items=(
            GroundedItem(name="man"),
            GroundedItem(name="man", boxes=(box,)),
            GroundedItem(name="blue car", boxes=(box,)),
            GroundedItem(name="tree"),
        ),
    )
    assert inline.write(sentence, HUNDREDTHS) == (
        f"Many women, a woman: the {tag('Man')} and the {tag('man', [20.0, 20.0, 20.0, 20.0])}. "
        f"{tag('blue car', [20.0, 20.0, 20.0, 20.0])}"
    )


def test_two_items_at_one_place_are_told_once_each() -> None:
    items = (GroundedItem(name="car", at=4), GroundedItem(name="car", at=4))
    sentence = EvidenceSentence(text="One car hits a car.", items=items)
    assert inline.write(sentence, HUNDREDTHS) == f"One {tag('car')} hits a {tag('car')}."


def test_a_place_that_is_no_longer_true_is_not_used() -> None:
    sentence = EvidenceSentence(text="Now the car", items=(GroundedItem(name="car", at=3),))
    assert inline.write(sentence, HUNDREDTHS) == f"Now the {tag('car')}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["(A): one", "(B): two"], ["one", "two"]),
        (["(A) one", "(B) two"], ["one", "two"]),
        (["A. one", "B. two"], ["one", "two"]),
        (["a) one", "b) two"], ["one", "two"]),
        (["(B): two", "(A): one"], ["one", "two"]),
        (["(A): (B): x", "(B):"], ["(B): x", ""]),
        ({"A": "one", "B": "two"}, ["one", "two"]),
        ("(A): one\n(B): two\n", ["one", "two"]),
        (["A. Lincoln", "Ann: yes"], ["A. Lincoln", "Ann: yes"]),
        (["(A): one", "(A): two"], ["(A): one", "(A): two"]),
        ([" one", "two "], ["one", "two"]),
        (["alone"], None),
        ([1, 2], None),
        ([f"o{k}" for k in range(11)], None),
        (7, None),
    ],
)
def test_options(value: Any, expected: list[str] | None) -> None:
    assert released_fields.options(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("(B)", "B"), ("B", "B"), ("b", "B"), (" ( b ) ", "B"), ("B.", "B"), ("(B): two", "B"),
        ("two", "B"), ("(E)", None), ("Because", None), ("", None), (1, None), (None, None),
        ("The answer is B", None),
    ],
)  # fmt: skip
def test_letters(value: Any, expected: str | None) -> None:
    assert released_fields.letter(value, ["one", "two", "three", "four"]) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("man, red car", ["man", "red car"]),
        (["man", "man", " car "], ["man", "car"]),
        ({"man": [[1, 2, 3, 4]], "car": []}, ["man", "car"]),
        ({"0": {"man": []}, "1": {"man": [], "car": []}}, ["man", "car"]),
        ([{"name": "man"}, {"label": "car"}, {"x": 1}, 5], ["man", "car"]),
        (None, []),
        (5, []),
    ],
)
def test_names_of_key_items(value: Any, expected: list[str]) -> None:
    assert released_fields.item_names(value) == expected


@pytest.mark.parametrize(
    ("path", "index"),
    [
        ("XD-Violence/3_image/Election.2005__#00-05-30_00-06-56_label_A/480.jpg", 480),
        ("CUVA/2_image/00299/4560.jpg", 4560),
        ("vatex/vatex_image/RgtipEqA7ZA_000046_000056/0.jpg", 0),
        ("a\\b\\00012.png", 12),
        ("Storystream/Rabbids/rabbids/000027/000027_keyframe_1-38-11-958.jpg", None),
        ("Storystream/George/george/000027/000027.jpg", None),
        ("x/1.5.jpg", None),
        ("x/frame_12.jpg", None),
        ("x/٣.jpg", None),
        ("x/" + "9" * 5000 + ".jpg", None),
        ("480", None),
        ("", None),
    ],
)
def test_stems_are_indices_only_where_they_are(path: str, index: int | None) -> None:
    assert released_fields.frame_index(path) == index


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("a/b #1.c%20d.jpg", "a/b #1.c%20d.jpg"),
        ("a/../b.jpg", "b.jpg"),
        ("../b.jpg", None),
        ("a/../../b.jpg", None),
        ("/etc/passwd", None),
        ("..", None),
        ("a\0b", None),
        ("", None),
        ("..b/c.jpg", "..b/c.jpg"),
    ],
)
def test_paths_stay_in_their_folder(tmp_path: Path, path: str, inside: str | None) -> None:
    assert below(tmp_path, path) == (None if inside is None else tmp_path / inside)


RECORDS: list[Any] = [
    {"a": [1, {"b": "]},"}]},
    {"é": "\ud83d"},
    {},
    {"n": float("inf")},
    5,
    "x",
    None,
]


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_list_is_read_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, indent: int | None
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    file = tmp_path / "a.json"
    file.write_text(json.dumps([*RECORDS, 12345], indent=indent), encoding="utf-8-sig")
    found = list(json_stream.rows(file))
    assert [row.value for row in found] == [*RECORDS, 12345]
    assert found[1].where == "record 2"


def test_an_empty_list(tmp_path: Path) -> None:
    assert list(json_stream.rows(write(tmp_path / "a.json", []))) == []


def test_a_bad_line_is_told_and_the_rest_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n{"a": \n\xff\n\n{"a": 2}')
    found = list(json_stream.rows(tmp_path / "a.jsonl"))
    assert [(row.where, bool(row.fault)) for row in found] == [
        ("line 1", False), ("line 2", True), ("line 3", True), ("line 5", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'[{"a": 1}, {"a": ', "the end"),
        (b'[{"a": 1} {"a": 2}]', "no comma at character 10"),
        (b'[{"a": 1}', "the end"),
        (b'[{"a": 1}, ', "the end"),
        (b'[{"a": "\xff\xfe"}]', "not UTF-8"),
        (b"PK\x03\x04", "begins with 'P'"),
        (b"", "is empty"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(UserError, match=said) as error:
        list(json_stream.rows(tmp_path / "a.json"))
    assert str(tmp_path / "a.json") in str(error.value)
    assert error.value.hint


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "the record nests too deeply to be read"),
        ('{"a": ' + "7" * 5000 + "}", "the record has a number of more than 4,300 digits"),
    ],
)
def test_what_is_more_than_can_be_read_is_not_said_to_be_cut_off(
    tmp_path: Path, record: str, said: str
) -> None:
    (tmp_path / "a.json").write_text(f'[{{"a": 1}}, {record}]')
    with pytest.raises(UserError, match=f"{said}.* at character 11$") as error:
        list(json_stream.rows(tmp_path / "a.json"))
    assert "cut off" not in error.value.hint
    (tmp_path / "a.jsonl").write_text(f'{{"a": 1}}\n{record}\n{{"a": 2}}')
    _, bad, good = json_stream.rows(tmp_path / "a.jsonl")
    assert bad.fault in said
    assert good.value == {"a": 2}


def test_the_place_of_the_damage_is_counted_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 1)
    (tmp_path / "a.json").write_text('[{"a": 1}, {"a": 2} {"a": 3}]')
    with pytest.raises(UserError, match="no comma at character 20"):
        list(json_stream.rows(tmp_path / "a.json"))


def test_a_record_without_an_end_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "LONGEST", 2000)
    monkeypatch.setattr(json_stream, "CHUNK", 500)
    (tmp_path / "a.json").write_text('[{"a": "' + "x" * 100_000)
    with pytest.raises(UserError, match="never ends"):
        list(json_stream.rows(tmp_path / "a.json"))
