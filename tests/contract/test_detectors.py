"""What every detector must do, whatever runs it: one list, one suite.

The zero-shot models are tiny and randomly initialised, built from the real configurations: they
find nonsense, but as many boxes of it, in the same form, as the real ones.
"""

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.helpers.tiny_detectors import (
    TEST_SEED,
    blank_picture,
    theatre,
    tiny_dino,
    tiny_owl,
    tiny_yolo,
)

from videoespresso.errors import SettingsError, ToolError, UserError
from videoespresso.models.embedded import PACK
from videoespresso.theatre import LABELS
from videoespresso.tools.detectors.base import MAX_BOXES, Detector, PluginDetector
from videoespresso.tools.grounding import detector, match_items
from videoespresso.types import Box

WEIGHTS = Path(PACK) / "detector" / "detector.onnx"
NAMES = ("the red car", "dogs", "man in blue")

extras = pytest.mark.extras


def plugin(folder: Path) -> str:
    """The example plug-in's, by module and name."""
    spec = "videoespresso_brightness.blobs:Blobs"
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples/plugin"))
    try:
        detector(spec)
    finally:
        sys.path.pop(0)
    return spec


MAKERS: dict[str, Callable[[Path], str]] = {
    "off": lambda folder: "off",
    "embedded": lambda folder: "embedded:",
    "onnx": lambda folder: f"onnx:{WEIGHTS}",
    "yolo": tiny_yolo,
    "owl": tiny_owl,
    "dino": tiny_dino,
    "plugin": plugin,
}
ALL = [
    pytest.param(kind, marks=extras if kind in ("yolo", "owl", "dino") else ()) for kind in MAKERS
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Detector]:
    """Detectors by kind, each built once."""
    built: dict[str, Detector] = {}

    def get(kind: str) -> Detector:
        if kind not in built:
            with warnings.catch_warnings():  # others' deprecations while their models are built
                warnings.simplefilter("ignore")
                built[kind] = detector(MAKERS[kind](tmp_path_factory.mktemp(kind)))
        return built[kind]

    return get


@pytest.fixture(params=ALL)
def found(request: pytest.FixtureRequest, made: Callable[[str], Detector]) -> Detector:
    return made(str(request.param))


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def check(boxes: list[Box]) -> None:
    assert len(boxes) <= MAX_BOXES
    assert [b.score for b in boxes] == sorted((b.score for b in boxes), reverse=True)
    for box in boxes:
        x0, y0, x1, y1 = box.xyxy
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        assert box.label
        assert json.loads(box.model_dump_json())["score"] == box.score


SIZES = [(480, 270), (131, 77), (77, 131), (640, 12), (12, 640), (1, 1), (33, 32)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_boxes_are_on_the_picture_best_first(found: Detector, size: tuple[int, int]) -> None:
    check(found.detect(noise(*size), NAMES))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I"])
def test_every_mode_is_read(found: Detector, mode: str) -> None:
    image = noise(96, 64).convert("L").convert(mode) if mode in ("I", "LA") else noise(96, 64, mode)
    check(found.detect(image, NAMES))


def test_the_picture_is_left_as_it_was(found: Detector) -> None:
    image = noise(96, 64, "RGBA")
    before = image.tobytes()
    found.detect(image, NAMES)
    assert (image.mode, image.tobytes()) == ("RGBA", before)


def test_the_same_picture_gives_the_same_boxes(found: Detector) -> None:
    image, _ = theatre()
    first = found.detect(image, NAMES)
    found.detect(noise(50, 90), NAMES)
    assert found.detect(image, NAMES) == first
    assert found.detect(image.copy(), tuple(reversed(NAMES))) == first


def test_labels_are_those_it_says(found: Detector) -> None:
    image, _ = theatre()
    said = {box.label for box in found.detect(image, NAMES)}
    assert said <= set(NAMES if found.labels is None else found.labels)


def test_an_open_vocabulary_finds_nothing_without_names(found: Detector) -> None:
    image, _ = theatre()
    if found.labels is None:
        assert found.detect(image) == found.detect(image, ["", "!"]) == []
    else:
        assert found.detect(image) == found.detect(image, NAMES)


def test_what_is_not_found_keeps_an_empty_item(found: Detector) -> None:
    boxes = [] if found.labels is None else found.detect(blank_picture(), NAMES)
    assert boxes == []
    assert [(i.name, i.boxes) for i in match_items(NAMES, boxes)] == [(n, ()) for n in NAMES]


def test_threads_get_the_boxes_of_their_own_picture(found: Detector) -> None:
    pictures = [theatre()[0], noise(131, 77), noise(60, 90), theatre(TEST_SEED + 1)[0]]
    alone = [found.detect(picture, NAMES) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda picture: found.detect(picture, NAMES), pictures)) == alone


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(
        0.0, min(a[3], b[3]) - max(a[1], b[1])
    )
    return shared / sum([*((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)), -shared])


@pytest.mark.parametrize("margin", [(0, 0), (0, 45), (60, 0)], ids=str)
def test_boxes_lie_where_the_things_are(
    margin: tuple[int, int], made: Callable[[str], Detector]
) -> None:
    """Also when the picture is set into a taller or wider one, so that the letterbox moves."""
    hits, truths = 0, 0
    for seed in range(TEST_SEED, TEST_SEED + 12):
        image, things = theatre(seed)
        wide, high = image.width + 2 * margin[0], image.height + 2 * margin[1]
        canvas = Image.new("RGB", (wide, high), (114, 114, 114))
        canvas.paste(image, margin)
        boxes = made("embedded").detect(canvas)
        check(boxes)
        for thing in things:
            x0, y0, x1, y1 = (
                (v * size + pad) / total
                for v, size, pad, total in zip(
                    thing.xyxy, image.size * 2, margin * 2, (wide, high) * 2, strict=True
                )
            )
            truths += 1
            hits += any(
                box.label == thing.label and overlap(box.xyxy, (x0, y0, x1, y1)) >= 0.5
                for box in boxes
            )
    assert truths >= 20
    assert hits / truths >= (0.75 if margin == (0, 0) else 0.6)  # what is smaller is harder


def test_the_pack_knows_the_theatre(made: Callable[[str], Detector]) -> None:
    assert made("embedded").labels == LABELS
    assert made("embedded").name == "embedded:"


@extras
@pytest.mark.filterwarnings("ignore")  # torch and ultralytics, while they export
def test_checkpoint_and_onnx_are_the_same_detector(made: Callable[[str], Detector]) -> None:
    pytest.importorskip("onnx")
    checkpoint: Any = made("yolo")
    path = checkpoint.name.removeprefix("yolo:")
    exported = type(checkpoint._model)(path).export(
        format="onnx", imgsz=[384, 640], opset=17, simplify=False, device="cpu"
    )
    export, pairs = detector(f"onnx:{exported}"), 0
    assert export.labels == checkpoint.labels == ("person", "dog", "car")
    for seed in range(TEST_SEED, TEST_SEED + 4):
        image = theatre(seed)[0].resize((640, 360))
        one, other = export.detect(image), checkpoint.detect(image)
        for box in (b for b in one if b.score > 0.4):
            twin = max(
                (b for b in other if b.label == box.label), key=lambda b: overlap(b.xyxy, box.xyxy)
            )
            assert overlap(twin.xyxy, box.xyxy) > 0.95
            assert twin.score == pytest.approx(box.score, abs=0.02)
            pairs += 1
    assert pairs >= 20


class Hostile:
    """What a pickle may hold instead of a model: a call."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@extras
@pytest.mark.parametrize("held", ["alone", "beside a model", "as a model's activation"])
def test_code_in_a_checkpoint_is_not_run(
    held: str,
    made: Callable[[str], Detector],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The whole file is refused, also where an honest model stands beside what is not."""
    torch = pytest.importorskip("torch")
    honest: Any = made("yolo")
    kept = torch.load(honest.name.removeprefix("yolo:"), weights_only=False)
    mark = tmp_path / "owned"
    if held == "as a model's activation":
        call = f"__import__('os').mkdir({str(mark)!r})"
        kept["model"] = Built({**kept["model"].yaml, "activation": call})
    else:
        kept = {"model": Hostile(mark)} if held == "alone" else {**kept, "more": Hostile(mark)}
    torch.save(kept, tmp_path / "bad.pt")
    with pytest.raises(SettingsError, match="cannot be loaded"):
        detector(f"yolo:{tmp_path / 'bad.pt'}")
    assert not mark.exists()
    tasks = pytest.importorskip("ultralytics.nn.tasks")
    monkeypatch.setattr(tasks, "SAFE_LOAD", False)
    with contextlib.suppress(TypeError):  # a model whose activation made a folder does not compute
        torch.load(tmp_path / "bad.pt", weights_only=False)
    assert mark.exists(), "the checkpoint does what it should not, when it is loaded otherwise"


class Built:
    """A model that is built while it is unpickled, from a plan whose activation is evaluated."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan

    def __reduce__(self) -> tuple[Any, ...]:
        from ultralytics.nn.tasks import DetectionModel  # noqa: PLC0415 - the extra `yolo`

        return DetectionModel, (self.plan,)


@extras
@pytest.mark.parametrize("kind", ["owl", "dino"])
def test_zero_shot_boxes_are_read_in_units_of_the_picture(
    kind: str, made: Callable[[str], Detector]
) -> None:
    """A known output of the network, through the real post-processing, on a 200 x 100 picture."""
    torch = pytest.importorskip("torch")
    open_eyed: Any = made(kind)
    inputs = open_eyed._processor(
        images=Image.new("RGB", (200, 100)), text=[["red car", "dog"]], return_tensors="pt"
    )
    logits = torch.full((1, 2, 256 if kind == "dino" else 2), -20.0)
    # OWLv2 pads to a square, so that its 0-1 is of the longer side
    centre = [0.5, 0.25, 0.2, 0.1] if kind == "owl" else [0.5, 0.5, 0.2, 0.2]
    place = (
        inputs["input_ids"][0].tolist().index(open_eyed._processor.tokenizer("car")["input_ids"][1])
        if kind == "dino"
        else 0
    )
    logits[0, 1, place] = 3.0
    outputs = SimpleNamespace(
        logits=logits, pred_boxes=torch.tensor([[[0.1, 0.1, 0.1, 0.1], centre]])
    )
    (raw,) = open_eyed._read(outputs, inputs, (200, 100), ["red car", "dog"])
    assert raw.label == "red car"
    assert raw.xyxy == pytest.approx((0.4, 0.4, 0.6, 0.6), abs=1e-5)
    assert raw.score == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-5)


@pytest.mark.parametrize(
    "spec",
    [
        "onnx:{}/missing.onnx",
        "onnx:{}",
        "onnx:{}/text.onnx",
        "yolo:{}/missing.pt",
        "yolo:{}/text.onnx",
        pytest.param("yolo:{}/text.pt", marks=extras),
        "hf:{}/missing",
        "hf:{}",
        "no_such_package:Detector",
        "pathlib:Path",  # it can be made, and finds nothing
        "no such name",
    ],
)
def test_weights_that_are_missing_or_wrong_are_your_error(spec: str, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("these are no weights")
    (tmp_path / "text.pt").write_text("these are no weights")
    with pytest.raises(SettingsError) as caught:
        detector(spec.format(tmp_path))
    assert isinstance(caught.value, UserError)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_failing_model_is_a_tool_error(monkeypatch: pytest.MonkeyPatch) -> None:
    broken: Any = detector(f"onnx:{WEIGHTS}")
    monkeypatch.setattr(broken, "_session", None)
    with pytest.raises(ToolError, match="failed on a picture"):
        broken.detect(noise(64, 64))


class Wrong:
    """A plug-in whose `detect` does what it is told."""

    labels = ("red",)

    def __init__(self, result: Any) -> None:
        self.result = result

    def detect(self, image: Image.Image, names: tuple[str, ...] = ()) -> Any:
        return self.result()


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: None, "TypeError"),
        (lambda: [(0, 0, 1, 1)], "returned tuple"),
        (lambda: [Box(label="blue", xyxy=(0, 0, 1, 1), score=1)], "no label of it"),
    ],
)
def test_what_a_plug_in_does_wrong_is_a_tool_error(result: Any, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        PluginDetector(Wrong(result), "wrong").detect(noise(8, 8))
