"""Boxes and names: what a detector's output becomes, and which boxes a key item gets."""

import math

import numpy as np
import pytest
from PIL import Image

from videoespresso.errors import SettingsError, ToolError
from videoespresso.theatre import LABELS, make_story
from videoespresso.tools.detectors.base import CONFIDENCE, MAX_BOXES, OVERLAP, Raw, tidy
from videoespresso.tools.detectors.onnx_yolo import decode, letterbox, overlaps, suppress
from videoespresso.tools.grounding import detector, match_items
from videoespresso.tools.object_names import KINDS, label_fit, name_words, singular
from videoespresso.types import Box

COCO = ("person", "car", "dog", "hot dog", "teddy bear", "cell phone", "dining table", "tv", "cup")


def box(label: str, score: float = 0.9) -> Box:
    return Box(label=label, xyxy=(0.1, 0.1, 0.5, 0.5), score=score)


def labels_for(name: str, labels: tuple[str, ...]) -> set[str]:
    (item,) = match_items([name], [box(label) for label in labels])
    return {b.label for b in item.boxes}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("red car", "car"),
        ("the dog", "dog"),
        ("Two Dogs", "dog"),
        ("man in blue", "person"),
        ("women", "person"),
        ("the children", "person"),
        ("officer", "person"),
        ("the cook's dog", "dog"),
        ("a man with a dog", "person"),
        ("group of people", "person"),
        ("phone", "cell phone"),
        ("black phone", "cell phone"),
        ("smartphone", "cell phone"),
        ("wooden table", "dining table"),
        ("television", "tv"),
        ("mug", "cup"),
        ("car 2", "car"),
        ("person A", "person"),
        ("hot dog", "hot dog"),
        ("cup of coffee", "cup"),
    ],
)
def test_a_name_finds_its_label(name: str, label: str) -> None:
    assert labels_for(name, COCO) == {label}


@pytest.mark.parametrize(
    "name", ["car door", "dog house", "bear", "bus", "light", "", "!!!", "of", "the", "猫"]
)
def test_a_name_nothing_fits_keeps_no_boxes(name: str) -> None:
    assert labels_for(name, COCO) == set()


def test_the_longest_label_wins() -> None:
    assert labels_for("traffic light", ("light", "traffic light")) == {"traffic light"}
    assert labels_for("red traffic light", ("light", "traffic light")) == {"traffic light"}
    assert labels_for("light", ("light", "traffic light")) == {"light"}
    assert labels_for("the light", ("traffic light",)) == {"traffic light"}


def test_kinds_are_read_both_ways_but_siblings_are_not_mixed() -> None:
    assert labels_for("person", ("man", "woman", "dog")) == {"man", "woman"}
    assert labels_for("man", ("woman", "person")) == {"person"}
    assert labels_for("man", ("woman",)) == set()
    assert labels_for("vehicle", ("car", "truck", "dog")) == {"car", "truck"}


def test_other_alphabets_match_by_their_very_words() -> None:
    assert labels_for("красная машина", ("машина", "собака")) == {"машина"}
    assert labels_for("猫", ("猫", "犬")) == {"猫"}


def test_items_keep_order_doubles_and_scores() -> None:
    boxes = [box("car", 0.4), box("dog", 0.8), box("car", 0.7)]
    items = match_items(["dog", "unicorn", "car", "dog"], boxes)
    assert [item.name for item in items] == ["dog", "unicorn", "car", "dog"]
    assert [[b.score for b in item.boxes] for item in items] == [[0.8], [], [0.4, 0.7], [0.8]]
    assert items[1].boxes == ()
    assert match_items([], boxes) == []


def test_every_phrase_of_the_theatre_finds_its_label() -> None:
    met = set()
    for seed in range(40):
        story = make_story(seed)
        for phase in story.phases:
            for thing in story.scene(phase.t0).objects:
                met.add((thing.phrase, thing.label))
    assert len(met) > 60
    for phrase, label in met:
        assert labels_for(phrase, LABELS) == {label}, phrase
        assert labels_for(f"the {phrase}", LABELS) == {label}, phrase


def test_every_kind_is_reached_by_its_own_name() -> None:
    for word, kinds in KINDS.items():
        for kind in kinds:
            assert label_fit(f"the old {word}", kind) > 0, (word, kind)


def test_singulars_agree_on_both_sides() -> None:
    pairs = {
        "buses": "bus",
        "boxes": "box",
        "knives": "knife",
        "people": "person",
        "horses": "horse",
        "glasses": "glass",
        "dishes": "dish",
        "tomatoes": "tomato",
        "puppies": "puppy",
        "shoes": "shoe",
        "cars": "car",
        "bus": "bus",
        "gas": "gas",
        "tv": "tv",
    }
    assert {plural: singular(plural) for plural in pairs} == pairs
    assert name_words("The dogs' big_ball 12") == ["dogs", "big", "ball"]


def test_tidy_clips_sorts_and_drops_what_is_no_rectangle() -> None:
    boxes = tidy(
        [
            Raw("b", (-0.5, 0.2, 0.5, 1.5), 0.5),
            Raw("a", (0.0, 0.0, 0.5, 0.5), 0.5),
            Raw("outside", (1.2, 0.2, 1.5, 0.5), 0.9),
            Raw("empty", (0.3, 0.2, 0.3, 0.5), 0.9),
            Raw("turned", (0.6, 0.2, 0.3, 0.5), 0.9),
            Raw("nan", (math.nan, 0.2, 0.3, 0.5), 0.9),
            Raw("unsure", (0.1, 0.2, 0.3, 0.5), math.nan),
            Raw("best", (0.1, 0.1, 0.2, 0.2), 1.0000001),
        ]
    )
    assert [b.label for b in boxes] == ["best", "a", "b"]
    assert boxes[0].score == 1.0
    assert boxes[2].xyxy == (0.0, 0.2, 0.5, 1.0)
    many = tidy(Raw("x", (0, 0, 1, 1), k / 1000) for k in range(300))
    assert len(many) == MAX_BOXES
    assert many[0].score == 0.299


def test_overlap_of_known_rectangles() -> None:
    one = np.array([0, 0, 2, 2], dtype=np.float32)
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 3, 3], [0, 0, 0, 0]], dtype=np.float32)
    assert overlaps(one, others).tolist() == pytest.approx([1.0, 1 / 3, 0.0, 0.0])


def test_suppression_is_within_a_class_and_by_score() -> None:
    corners = np.array(
        [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10], [0, 0, 10, 10 * OVERLAP - 0.1]],
        dtype=np.float32,
    )
    scores = np.array([0.5, 0.9, 0.6, 0.3], dtype=np.float32)
    assert suppress(corners, scores, np.array([0, 0, 1, 1])) == [1, 2, 3]
    assert suppress(corners[:0], scores[:0], np.array([], dtype=np.int64)) == []


def test_letterbox_keeps_the_shape_and_knows_where_the_picture_is() -> None:
    white = Image.new("RGB", (640, 360), (255, 255, 255))
    pixels, scale, left, top = letterbox(white, 192, 320)
    assert pixels.shape == (1, 3, 192, 320)
    assert pixels.dtype == np.float32
    assert (scale, left, top) == (0.5, 0, 6)
    assert pixels[0, :, 5, 0].tolist() == pytest.approx([114 / 255] * 3)
    assert pixels[0, :, 6, 0].tolist() == [1.0, 1.0, 1.0]
    tall = letterbox(Image.new("L", (1, 1000)), 32, 32)
    assert tall.pixels.shape == (1, 3, 32, 32)


def test_both_heads_are_read() -> None:
    raw = np.zeros((1, 6, 4), dtype=np.float32)  # two classes, four candidates
    raw[0, :, 0] = [50, 40, 20, 10, 0.1, 0.8]
    raw[0, :, 1] = [50, 40, 20, 11, 0.1, 0.7]  # a double of the first
    raw[0, :, 2] = [50, 40, 20, 10, 0.6, 0.2]  # the same place, another class
    raw[0, :, 3] = [5, 5, 2, 2, CONFIDENCE - 0.01, 0.0]
    corners, scores, classes = decode(raw, 2)
    assert corners.tolist() == [[40, 35, 60, 45], [40, 35, 60, 45]]
    assert scores.tolist() == pytest.approx([0.8, 0.6])
    assert classes.tolist() == [1, 0]
    done = np.array(
        [[[1, 2, 3, 4, 0.9, 1], [1, 2, 3, 4, 0.1, 0], [1, 2, 3, 4, 0.9, 7]]], np.float32
    )
    corners, scores, classes = decode(done, 2)
    assert (corners.tolist(), classes.tolist()) == ([[1, 2, 3, 4]], [1])
    with pytest.raises(ToolError, match=r"\(1, 9, 4\)"):
        decode(np.zeros((1, 9, 4), dtype=np.float32), 2)


@pytest.mark.parametrize("spec", ["", "yolo", "yolov8n.pt", "coco:x", "onnx:", "hf:", "OFF:"])
def test_an_unknown_spec_names_the_known_forms(spec: str) -> None:
    with pytest.raises(SettingsError) as caught:
        detector(spec)
    for form in ("embedded:", "onnx:PATH", "yolo:PATH.pt", "hf:", "off"):
        assert form in caught.value.hint


def test_the_pack_has_one_detector() -> None:
    with pytest.raises(SettingsError, match="one detector"):
        detector("embedded:other")
