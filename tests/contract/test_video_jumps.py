"""Changes between key frames, by the sizes of coded frames; and an overview that goes by them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers.videos import RECIPES, Recipe, encode, read_number

from videoespresso.tools.sampling import SamplingPlan, sample
from videoespresso.tools.video import open_video

RATE = 25
BY_NAME = {recipe.name: recipe for recipe in RECIPES}


def scene(number: int, colour: int) -> NDArray[np.uint8]:
    """Texture of its own a colour, with a spot that moves."""
    rgb = np.random.default_rng(colour).integers(0, 255, (9, 16, 3), np.uint8)
    rgb = rgb.repeat(10, 0).repeat(10, 1)
    x = number % 140
    rgb[40:50, x : x + 10] = colour
    return rgb


def film(path: Path, cuts: list[int], count: int, codec: str = "libx264") -> Path:
    """One key frame, and cuts that the encoder gives none."""
    options = {"preset": "veryfast", "x264-params": f"keyint={count}:scenecut=0"}
    if codec != "libx264":
        options = {"g": str(count), "sc_threshold": "1000000000"}
    recipe = Recipe(path.name, codec, range(count), Fraction(1, RATE), (160, 90), options=options)
    return encode(path, recipe, lambda k: scene(k, sum(cut <= k for cut in cuts)))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "mpeg2video")]
)
def test_a_cut_without_a_key_frame_is_a_jump(tmp_path: Path, name: str, codec: str) -> None:
    with open_video(film(tmp_path / name, [60, 130], 200, codec)) as reader:
        assert len(list(reader.keyframes(64))) == 1
        assert reader.jumps() == pytest.approx([60 / RATE, 130 / RATE], abs=0.2)


def test_where_nothing_comes_in_there_is_none(tmp_path: Path) -> None:
    with open_video(film(tmp_path / "a.mp4", [], 200)) as reader:
        assert reader.jumps() == []


@pytest.mark.parametrize("name", ["mpeg4-b-frames.avi", "h264.mp4"])
def test_without_instants_or_with_few_frames_a_group_there_is_none(
    tmp_path: Path, name: str
) -> None:
    with open_video(encode(tmp_path / name, BY_NAME[name])) as reader:
        assert reader.jumps() == []


def test_the_overview_sees_a_shot_that_has_no_key_frame(tmp_path: Path) -> None:
    """8 s and one key frame: by key frames alone the second shot would be missed."""
    path = film(tmp_path / "a.mp4", [60], 200)
    with open_video(path) as reader:
        frames = list(sample(reader, SamplingPlan(static_fps=10, dynamic_fps=10, max_frames=40)))
    by_rule = {f.rule.partition(" ")[0]: f.picture for f in frames}
    assert [f.picture.time_s for f in frames] == pytest.approx([0.0, 2.6], abs=0.05)
    new = scene(65, 1).astype(int)
    assert np.abs(by_rule["fps=5"].rgb[:30] - new[:30]).mean() < 25
    assert np.abs(by_rule["keyframe"].rgb[:30] - new[:30]).mean() > 40


def test_frames_left_out_by_the_decoder_are_counted(tmp_path: Path) -> None:
    """Sparse looks skip what none leans on; number and instant stay the file's."""
    recipe = Recipe(
        "b.mp4",
        "libx264",
        range(200),
        Fraction(1, RATE),
        options={"preset": "veryfast", "x264-params": "bframes=3:b-adapt=0:keyint=200:scenecut=0"},
    )
    path = encode(tmp_path / recipe.name, recipe)
    wanted = [0, 1, 40, 41, 42, 43, 110, 112, 199]
    with open_video(path) as reader:
        got = list(reader.at([k / RATE for k in wanted], 10_000))
    assert [read_number(p.rgb) for p in got] == wanted
    assert [p.index for p in got] == wanted
