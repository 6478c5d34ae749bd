"""Pixels by preprocessor_config.json: sizes, and that numbers are transformers'."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from videoespresso.errors import SettingsError
from videoespresso.models.preprocessor import Preprocessor

CLIP = {
    "size": {"shortest_edge": 24},
    "do_center_crop": True,
    "crop_size": {"height": 24, "width": 24},
    "resample": 3,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}
DETR = {"size": {"shortest_edge": 40, "longest_edge": 60}, "do_normalize": False}


def preprocessor(folder: Path, said: Any) -> Preprocessor:
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    found = Preprocessor.read(folder)
    assert found is not None
    return found


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("said", "size", "shape"),
    [
        ({"size": {"height": 20, "width": 30}}, (50, 50), (20, 30)),
        (CLIP, (100, 50), (24, 24)),
        (CLIP, (10, 300), (24, 24)),
        ({"size": 24, "crop_size": 20, "do_center_crop": True}, (48, 96), (20, 20)),
        (DETR, (50, 50), (40, 40)),
        (DETR, (100, 50), (30, 60)),  # the longer side would be 80
        (DETR, (50, 100), (60, 30)),
        ({"do_resize": False}, (13, 7), (7, 13)),
    ],
)
def test_sizes(tmp_path: Path, said: Any, size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert preprocessor(tmp_path, said)(noise(*size)).shape == (1, 3, *shape)


def test_a_graphs_own_size_wins(tmp_path: Path) -> None:
    detr, image = preprocessor(tmp_path, DETR), noise(100, 50)
    stretched = detr(image, (8, 16))
    assert stretched.shape == (1, 3, 8, 16)
    assert np.array_equal(detr(image, (30, 60)), detr(image))  # they agree: nothing else happens


def test_every_mode_and_the_numbers(tmp_path: Path) -> None:
    plain = preprocessor(tmp_path, {"do_resize": False})
    grey = plain(Image.new("LA", (2, 2), (51, 0)))
    assert grey == pytest.approx(np.full((1, 3, 2, 2), 0.2))
    assert grey.dtype == np.float32
    raw = preprocessor(tmp_path, {"do_resize": False, "do_rescale": False})
    assert raw(Image.new("RGB", (1, 1), (1, 2, 3))).ravel().tolist() == [1, 2, 3]
    normal = preprocessor(
        tmp_path, {"do_resize": False, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    )
    assert normal(Image.new("RGB", (1, 1), (255, 255, 255))).ravel().tolist() == [2, 2, 2]


def test_no_file_and_a_broken_one(tmp_path: Path) -> None:
    assert Preprocessor.read(tmp_path) is None
    for broken in ("{", "[]", '{"size": "big"}', '{"image_mean": [1, 2]}'):
        (tmp_path / "preprocessor_config.json").write_text(broken)
        with pytest.raises(SettingsError, match="cannot be used"):
            Preprocessor.read(tmp_path)


@pytest.mark.extras
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("CLIPImageProcessorPil", {}),
        ("DetrImageProcessorPil", {"size": {"shortest_edge": 40, "longest_edge": 60}}),
        ("RTDetrImageProcessorPil", {"size": {"height": 40, "width": 60}}),
        ("SiglipImageProcessorPil", {}),
    ],
)
@pytest.mark.parametrize("size", [(320, 180), (90, 160), (64, 64), (30, 401)])
def test_pixels_are_those_of_transformers(
    tmp_path: Path, name: str, settings: dict[str, Any], size: tuple[int, int]
) -> None:
    hf = pytest.importorskip("transformers")
    theirs = getattr(hf, name)(**settings)
    theirs.save_pretrained(tmp_path)
    ours = Preprocessor.read(tmp_path)
    assert ours is not None
    expected = theirs(images=noise(*size), return_tensors="np")["pixel_values"]
    found = ours(noise(*size))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5
