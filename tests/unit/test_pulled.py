"""Pulled weights: what is whole counts, and a spec comes of it."""

from pathlib import Path

import pytest

from videoespresso.models.weights import NOTE, Pulled, folder, pulled, pulled_detector, pulled_spec
from videoespresso.settings import Settings


def put(settings: Settings, note: Pulled) -> Path:
    """Weights as `models pull` leaves them."""
    where = folder(settings, note.part)
    for name, size in note.files.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(b"\0" * size)
    (where / NOTE).write_text(note.model_dump_json())
    return where


def test_nothing_was_pulled() -> None:
    settings = Settings.load()
    assert pulled(settings, "detector") is None
    assert pulled_detector(settings) is None


def test_a_folder_a_file_and_options_become_a_spec() -> None:
    settings = Settings.load()
    files = {"config.json": 2, "onnx/model.onnx": 7}
    where = put(settings, Pulled(part="detector", repo="a/b", files=files))
    assert pulled_detector(settings) == f"onnx:{where}"
    assert where.is_absolute()
    put(settings, Pulled(part="vlm", repo="a/b", options="dtype=int8", files={"x": 1}))
    assert pulled_spec(settings, "vlm") == f"onnx:{folder(settings, 'vlm')}?dtype=int8"
    yolo = Pulled(part="detector", repo="", kind="yolo", file="n.pt", files={"n.pt": 3})
    assert pulled_detector(settings) == f"onnx:{where}"
    put(settings, yolo)
    assert pulled_detector(settings) == f"yolo:{where / 'n.pt'}"


@pytest.mark.parametrize("damage", ["missing", "shorter", "note", "no note"])
def test_damaged_weights_count_as_not_pulled(damage: str) -> None:
    settings = Settings.load()
    where = put(settings, Pulled(part="clip", repo="a/b", files={"onnx/m.onnx": 7}))
    assert pulled(settings, "clip") is not None
    match damage:
        case "missing":
            (where / "onnx/m.onnx").unlink()
        case "shorter":
            (where / "onnx/m.onnx").write_bytes(b"\0")
        case "note":
            (where / NOTE).write_text("{}")
        case _:
            (where / NOTE).unlink()
    assert pulled(settings, "clip") is None
    assert pulled_spec(settings, "clip") is None
