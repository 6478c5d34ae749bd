"""ONNX detectors of the DETR family: the same boxes and scores as torch's, whatever the layout.

The twins are tiny and random, built from the real configurations and exported under the published
names (tests/helpers/detr_twins.py).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.detr_twins import KINDS, NAMES, Twin, build, picture

from videoespresso.errors import SettingsError
from videoespresso.tools.detectors.base import Raw, tidy
from videoespresso.tools.grounding import detector, match_items
from videoespresso.types import Box

pytestmark = pytest.mark.extras
CLOSE = 1e-3


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Twin]:
    built: dict[str, Twin] = {}

    def get(kind: str) -> Twin:
        if kind not in built:
            built[kind] = build(kind, tmp_path_factory.mktemp("twin"))
        return built[kind]

    return get


def same(one: Box, other: Box) -> bool:
    distance = max(abs(a - b) for a, b in zip(one.xyxy, other.xyxy, strict=True))
    return one.label == other.label and distance < CLOSE and abs(one.score - other.score) < CLOSE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(120, 80), (40, 100), (96, 64)])
def test_boxes_and_scores_are_torchs(
    twin: Callable[[str], Twin], kind: str, size: tuple[int, int]
) -> None:
    image = picture(*size, seed=sum(size))
    made = twin(kind)
    ours = detector(made.spec).detect(image)
    theirs = [raw for raw in made.torch(image) if raw.label != "background"]
    expected = tidy(Raw(spelled(label), *rest) for label, *rest in theirs)
    assert expected, "a twin that finds nothing shows nothing"
    left = list(ours)
    for box in expected:
        match = next((other for other in left if same(box, other)), None)
        assert match is not None, f"{box} is not among {left}"
        left.remove(match)
    assert not left


def spelled(label: str) -> str:
    return {"aeroplane": "airplane"}.get(label, label)


def test_labels_are_cocos_and_key_items_find_them(twin: Callable[[str], Twin]) -> None:
    made = detector(twin("d-fine").spec)
    assert made.labels == ("person", "airplane", "dog")
    [item] = match_items(["the man in red"], made.detect(picture()))
    assert {box.label for box in item.boxes} <= {"person"}
    assert detector(twin("rf-detr, its authors'").spec).labels == made.labels


def test_a_file_a_folder_and_a_fetched_repository_are_the_same(
    twin: Callable[[str], Twin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(twin("d-fine").spec.removeprefix("onnx:"))
    whole = detector(f"onnx:{folder}").detect(picture())
    assert detector(f"onnx:{folder}/onnx/model.onnx").detect(picture()) == whole
    snapshot = tmp_path / "models--a--b/snapshots/0"
    (tmp_path / "models--a--b/refs").mkdir(parents=True)
    (tmp_path / "models--a--b/refs/main").write_text("0")
    snapshot.parent.mkdir()
    snapshot.symlink_to(folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert detector("onnx:a/b").detect(picture()) == whole
    with pytest.raises(SettingsError, match="no such repository") as refused:
        detector("onnx:a/c")
    assert "models pull detector --repo a/c" in refused.value.hint


def test_other_names_give_other_identities(twin: Callable[[str], Twin], tmp_path: Path) -> None:
    folder = Path(twin("d-fine").spec.removeprefix("onnx:"))
    for name in ("onnx/model.onnx", "preprocessor_config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    identities = []
    for names in (NAMES, {**NAMES, 2: "cat"}):
        (tmp_path / "config.json").write_text(json.dumps({"id2label": names}))
        identities.append(detector(f"onnx:{tmp_path}").identity)  # type: ignore[attr-defined]
    assert identities[0] != identities[1]


def graph(path: Path, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> None:
    """A graph with these inputs and outputs, which gives ones."""
    onnx = pytest.importorskip("onnx")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        make.make_node(
            "ConstantOfShape",
            ["shape"],
            [name],
            value=make.make_tensor("one", kind, [1], [1.0]),
        )
        for name in outputs
    ]
    model = make.make_model(
        make.make_graph(
            nodes,
            "made",
            [make.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
            [make.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
            [make.make_tensor("shape", onnx.TensorProto.INT64, [3], [1, 2, 4])],
        ),
        opset_imports=[make.make_opsetid("", 17)],
        ir_version=8,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


PIXELS = {"pixel_values": [1, 3, 64, 64]}
FREE = {"pixel_values": ["batch", 3, "height", "width"]}
LOGITS = {"logits": [1, 2, 4], "pred_boxes": [1, 2, 4]}
CONFIG = {"config.json": {"id2label": NAMES}}


@pytest.mark.parametrize(
    ("inputs", "outputs", "files", "said", "hint"),
    [
        ({**PIXELS, "input_ids": [1, 4]}, LOGITS, CONFIG, "phrases", "only the first phrase"),
        (PIXELS, {"masks": [1, 2, 4]}, CONFIG, "gives masks", "D-FINE"),
        (PIXELS, LOGITS, {}, "what its classes are called", "id2label"),
        (PIXELS, LOGITS, {"config.json": {}}, "what its classes are called", "id2label"),
        (PIXELS, LOGITS, {"config.json": {"id2label": {"0": "LABEL_0"}}}, "no names", "id2label"),
        (PIXELS, LOGITS, CONFIG, "no preprocessor_config.json", "repository"),
        (
            FREE,
            LOGITS,
            {**CONFIG, "preprocessor_config.json": {"do_resize": False}},
            "its picture size",
            "size",
        ),
        (PIXELS, LOGITS, {**CONFIG, "preprocessor_config.json": []}, "cannot be used", "Take"),
        ({**PIXELS, "odd": [1]}, LOGITS, CONFIG, "wants pixel_values, odd", "pixel_mask"),
    ],
)
def test_what_is_not_known_is_refused_with_what_to_do(
    tmp_path: Path, inputs: Any, outputs: Any, files: dict[str, Any], said: str, hint: str
) -> None:
    graph(tmp_path / "model.onnx", inputs, outputs)
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(SettingsError, match=said) as refused:
        detector(f"onnx:{tmp_path}")
    assert hint in refused.value.hint


def test_several_graphs_must_be_named(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        graph(tmp_path / name, PIXELS, LOGITS)
    with pytest.raises(SettingsError, match="2 ONNX files") as refused:
        detector(f"onnx:{tmp_path}")
    assert "a.onnx" in refused.value.hint
