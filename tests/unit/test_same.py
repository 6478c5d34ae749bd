"""Codec noise is the same to the eye; a light or a mouth that changed is not."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tests.helpers.videos import Recipe, encode

from videoespresso.tools.sampling import (
    GRID,
    THRESHOLD,
    changed_share,
    difference,
    fingerprint,
    similar_frames,
)
from videoespresso.tools.video import open_video

RGB = NDArray[np.uint8]
SIZE = (320, 180)
CRF = (18, 23, 28, 33)


def scene(light: str = "red", mood: int = 1, sensor: int = 0) -> RGB:
    """A street with a lit traffic light (2 % of the frame) and a face; `sensor` seeds its noise."""
    scale = 4
    image = Image.new("RGB", (SIZE[0] * scale, SIZE[1] * scale), (120, 170, 210))
    draw = ImageDraw.Draw(image)

    def at(*corners: float) -> list[float]:
        return [c * scale for c in corners]

    draw.rectangle(at(0, 120, 320, 180), fill=(90, 90, 95))
    draw.rectangle(at(20, 40, 90, 120), fill=(170, 110, 90))
    draw.rectangle(at(150, 60, 166, 102), fill=(40, 40, 40))
    for i, (name, lit) in enumerate({"red": (230, 40, 40), "green": (40, 210, 60)}.items()):
        fill = lit if name == light else tuple(v // 4 for v in lit)
        draw.ellipse(at(152, 62 + i * 18, 164, 74 + i * 18), fill=fill)
    draw.ellipse(at(230, 80, 254, 104), fill=(240, 200, 170))
    mouth = [
        ((237 + i) * scale, (97 + 3 * mood * (0.5 - ((i - 5) / 5) ** 2)) * scale) for i in range(11)
    ]
    draw.line(mouth, fill=(150, 30, 30), width=6)
    rgb = np.asarray(image.resize(SIZE, Image.Resampling.LANCZOS), dtype=float)
    rgb = rgb + np.random.default_rng(1).normal(0, 6, rgb.shape)  # the same texture in each
    if sensor:
        rgb = rgb + np.random.default_rng(sensor).normal(0, 4, rgb.shape)
    return np.asarray(np.clip(rgb, 0, 255), dtype=np.uint8)


def encoded(folder: Path, crf: int, picture: Callable[[int], RGB]) -> list[RGB]:
    """24 frames through H.264 and back."""
    recipe = Recipe(
        name="scene.mp4",
        codec="libx264",
        pts=range(24),
        time_base=Fraction(1, 25),
        fps=Fraction(25),
        size=SIZE,
        options={"crf": str(crf), "preset": "veryfast", "g": "12"},
    )
    path = encode(folder / recipe.name, recipe, picture)
    with open_video(path) as reader:
        return [p.rgb for p in reader.at([i / 25 for i in range(24)], 320)]


@pytest.mark.parametrize("crf", CRF)
@pytest.mark.parametrize("sensor", [False, True], ids=["clean", "sensor noise"])
def test_codec_noise_is_not_a_change(tmp_path: Path, crf: int, sensor: bool) -> None:
    frames = encoded(tmp_path, crf, lambda i: scene(sensor=i + 2 if sensor else 0))
    prints = [fingerprint(rgb) for rgb in frames]
    assert not all(np.array_equal(frames[0], rgb) for rgb in frames), "the codec left no noise"
    worst = max(difference(prints[0], p).max() for p in prints[1:])
    assert worst <= THRESHOLD
    assert all(similar_frames(prints[0], p) for p in prints)
    assert changed_share(prints[0], prints[-1]) == 0.0


@pytest.mark.parametrize("crf", CRF)
def test_a_light_that_turns_green_is_a_change(tmp_path: Path, crf: int) -> None:
    frames = encoded(tmp_path, crf, lambda i: scene(light="red" if i < 12 else "green"))
    before, after = fingerprint(frames[3]), fingerprint(frames[20])
    assert not similar_frames(before, after)
    assert 0 < changed_share(before, after) < 0.03


@pytest.mark.parametrize("crf", CRF)
def test_a_smile_that_turns_into_a_frown_is_a_change(tmp_path: Path, crf: int) -> None:
    frames = encoded(tmp_path, crf, lambda i: scene(mood=1 if i < 12 else -1))
    assert not similar_frames(fingerprint(frames[3]), fingerprint(frames[20]))


def test_a_faint_change_over_an_area_is_seen_although_no_cell_stands_out() -> None:
    rgb = scene()
    fog = rgb.copy()
    fog[40:80, 100:140] = np.clip(fog[40:80, 100:140].astype(int) + 24, 0, 255)
    assert THRESHOLD > 24
    assert not similar_frames(fingerprint(rgb), fingerprint(fog))


def test_arrays_and_images_give_the_same_fingerprint() -> None:
    rgb = scene()
    image = Image.fromarray(rgb)
    assert np.array_equal(fingerprint(rgb), fingerprint(image))
    assert fingerprint(rgb).shape == (GRID[1], GRID[0], 3)
    assert np.array_equal(fingerprint(image.convert("RGBA")), fingerprint(rgb))


def test_same_is_symmetric_and_the_threshold_counts() -> None:
    a, b = fingerprint(scene()), fingerprint(scene(light="green"))
    assert np.array_equal(difference(a, b), difference(b, a))
    assert similar_frames(a, b, threshold=255 * 3)
    assert not similar_frames(a, b, threshold=0)
