"""What the detector learns from, and how it is scored."""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from lab.detector_data import (
    Labelled,
    frame_table,
    jittered,
    split_frames,
    training_frames,
)
from lab.detector_score import Tally, compare, iou, score
from PIL import Image

from videoespresso.theatre import LABELS, SPLITS, make_story
from videoespresso.tools.detectors.onnx_yolo import letterbox
from videoespresso.tools.grounding import detector
from videoespresso.types import Box


def box(x: float, label: str = "car", sure: float = 1.0) -> Box:
    return Box(label=label, xyxy=(x, 0.0, x + 0.2, 0.2), score=sure)


class Recites:
    """A detector that answers with the boxes it was given, one list a picture."""

    name, labels = "recites", LABELS

    def __init__(self, answers: Sequence[list[Box]]) -> None:
        self._answers = iter(answers)

    def detect(self, image: Image.Image, names: Sequence[str] = ()) -> list[Box]:
        return next(self._answers)


def test_overlap() -> None:
    assert iou(box(0.0), box(0.0)) == pytest.approx(1.0)
    assert iou(box(0.0), box(0.1)) == pytest.approx(1 / 3)
    assert iou(box(0.0), box(0.5)) == 0.0


def test_a_true_box_is_found_once_and_by_its_label() -> None:
    truth = [box(0.0), box(0.5), box(0.0, "dog")]
    found = [box(0.01, sure=0.9), box(0.02, sure=0.8), box(0.5, "bus"), box(0.25)]
    assert compare(found, truth) == {
        "bus": Tally(0, 1, 0),
        "car": Tally(1, 2, 1),
        "dog": Tally(0, 0, 1),
    }


def test_scores_of_a_known_detector() -> None:
    blank = Image.new("RGB", (8, 8))
    frames = [Labelled(k, blank, (box(0.0), box(0.5))) for k in range(10)]
    perfect = score(Recites([list(frame.boxes) for frame in frames]), frames)
    assert perfect["overall"] == {"f1": 1.0, "low": 1.0, "high": 1.0, "n": 20}
    half = score(Recites([[box(0.0)] if k % 2 else [] for k in range(10)]), frames)
    assert half["overall"]["f1"] == pytest.approx(2 * 5 / (2 * 5 + 15))
    assert half["overall"]["low"] < half["overall"]["f1"] < half["overall"]["high"]
    assert half["labels"].keys() == {"car"}
    assert half["things"] == half["overall"]
    person = Labelled(0, blank, (box(0.0, "person"), box(0.5)))
    assert score(Recites([[box(0.0, "person")]]), [person])["things"]["f1"] == 0.0
    nothing = score(detector("off"), frames)
    assert (nothing["overall"]["f1"], nothing["frames"]) == (0.0, 10)


def test_seeds_stay_in_their_split() -> None:
    for split in ("validation", "test"):
        first, end = SPLITS[split]
        assert [f.seed for f in split_frames(3, split)] == [first, first + 1, first + 2]
        assert end <= 2_000_000
    seeds = [frame.seed for frame in training_frames(12)]
    assert len(set(seeds)) == 12
    assert max(seeds) < SPLITS["train"][1]


def test_training_frames_are_the_same_every_time() -> None:
    one, other = ([(f.seed, f.image.size, f.boxes) for f in training_frames(4)] for _ in range(2))
    assert one == other


def test_balancing_brings_rare_things() -> None:
    def rare(frames: list[Labelled]) -> int:
        labels = Counter(box.label for frame in frames for box in frame.boxes)
        return sum(n for label, n in labels.items() if label != "person")

    natural = list(islice(split_frames(40, "validation"), 40))
    assert rare(list(training_frames(40))) > rare(natural)


def test_jitter_changes_grounds_but_not_what_things_look_like() -> None:
    style = make_story(3).scene(1.0).style
    other = jittered(style, random.Random(1))
    assert (other.far, other.near) != (style.far, style.near)
    assert other.outline == style.outline
    assert other.color("red") == style.color("red")


def test_the_table_says_where_things_are(tmp_path: Path) -> None:
    """A row is the frame as the product's detector sees it, its boxes on the same things."""
    table = frame_table(tmp_path / "data", 4, 192, 320)
    assert table.pixels.shape == (4, 3, 192, 320)
    for frame, pixels, boxes in zip(training_frames(4), table.pixels, table.boxes, strict=True):
        seen = letterbox(frame.image, 192, 320)
        assert np.abs(pixels / 255 - seen.pixels[0]).max() < 1e-6
        known = boxes[boxes[:, 0] >= 0]
        assert [LABELS[int(label)] for label in known[:, 0]] == [b.label for b in frame.boxes]
        size = np.array(frame.image.size * 2)
        back = (known[:, 1:] - [seen.left, seen.top] * 2) / (size * seen.scale)
        assert back == pytest.approx(np.array([b.xyxy for b in frame.boxes]), abs=1e-5)
    assert (table.boxes[..., 0] >= 0).any(axis=1).all()


def test_a_complete_table_is_kept_and_a_broken_one_made_again(tmp_path: Path) -> None:
    boxes, done = tmp_path / "boxes.npy", tmp_path / "complete.json"
    frame_table(tmp_path, 2, 32, 64)
    made = boxes.stat().st_mtime_ns
    frame_table(tmp_path, 2, 32, 64)
    assert boxes.stat().st_mtime_ns == made
    assert len(frame_table(tmp_path, 3, 32, 64).pixels) == 3, "another recipe"
    done.unlink()
    boxes.write_bytes(b"half")
    assert len(frame_table(tmp_path, 3, 32, 64).boxes) == 3
