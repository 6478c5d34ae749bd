"""Every backend on every kind of video: the right frame at every instant, or a remedy."""

import hashlib
import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import videos
from tests.helpers.videos import CORNERS, RECIPES, Recipe, encode, read_corners, read_number

from videoespresso.tools.video import Backend, ProcessReader, open_video, probe

BACKENDS: tuple[Backend, ...] = ("pyav", "decord")
FULL = 10_000
"""A `max_side` that reduces nothing here."""

BY_NAME = {recipe.name: recipe for recipe in RECIPES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


def made(folder: Path, name: str) -> Path:
    """The recipe's file, encoded once a module."""
    path = folder / name
    return path if path.exists() else encode(path, BY_NAME[name])


@pytest.fixture(scope="module", params=RECIPES, ids=lambda r: r.name)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    found: Recipe = request.param
    return found


@pytest.fixture(scope="module", params=BACKENDS)
def reader(request: pytest.FixtureRequest, recipe: Recipe, folder: Path) -> Iterator[ProcessReader]:
    with open_video(made(folder, recipe.name), backend=request.param) as opened:
        yield opened


def some(recipe: Recipe, step: int = 1) -> list[tuple[int, float]]:
    """(number, instant) of every `step`-th frame; of a long video, every 97th."""
    step = step * 97 if len(recipe.pts) > 500 else step
    return [(i, float(t)) for i, t in enumerate(recipe.instants)][::step]


# --- the right frame, whatever the file -----------------------------------------------------------


def test_facts(recipe: Recipe, reader: ProcessReader) -> None:
    video = reader.video
    assert (video.width, video.height) == recipe.displayed
    assert video.rotation == recipe.rotation
    assert video.has_audio == recipe.audio
    assert video.codec == recipe.says
    assert isinstance(video.fps, Fraction)
    if recipe.fps:
        assert video.fps == recipe.fps
    end = float(recipe.instants[-1] + recipe.last * recipe.time_base)
    assert video.duration_s == pytest.approx(end, abs=0.005)
    assert video.id == hashlib.sha256(Path(video.path).read_bytes()).hexdigest()


def test_every_frame_at_its_instant(recipe: Recipe, reader: ProcessReader) -> None:
    wanted = some(recipe)
    got = list(reader.at([t for _, t in wanted], FULL))
    assert [read_number(p.rgb) for p in got] == [i for i, _ in wanted]
    assert [p.time_s for p in got] == pytest.approx([t for _, t in wanted], abs=1e-9)
    assert all(p.index in (-1, i) for p, (i, _) in zip(got, wanted, strict=True))


def test_between_two_instants_the_earlier_frame_is_on_screen(
    recipe: Recipe, reader: ProcessReader
) -> None:
    times = [float(t) for t in recipe.instants]
    between = [(i, (a + b) / 2) for i, (a, b) in enumerate(itertools.pairwise(times))]
    between = between[:: max(1, len(between) // 40)]
    got = list(reader.at([t for _, t in between], FULL))
    assert [read_number(p.rgb) for p in got] == [i for i, _ in between]


def test_outside_the_video_its_first_and_last_frame(recipe: Recipe, reader: ProcessReader) -> None:
    end = reader.video.duration_s
    first, last, still_last = reader.at([-3.0, end + 0.1, end + 1e6], FULL)
    assert read_number(first.rgb) == 0
    assert read_number(last.rgb) == read_number(still_last.rgb) == len(recipe.pts) - 1


@pytest.mark.parametrize("step", [7, 23, 29])
def test_far_apart_the_same_frames_as_one_by_one(
    recipe: Recipe, reader: ProcessReader, step: int
) -> None:
    wanted = some(recipe, step)
    got = list(reader.at([t for _, t in wanted], FULL))
    assert [read_number(p.rgb) for p in got] == [i for i, _ in wanted]
    assert [p.time_s for p in got] == pytest.approx([t for _, t in wanted], abs=1e-9)
    assert all(p.index in (-1, i) for p, (i, _) in zip(got, wanted, strict=True))
    one_by_one = reader.at(iter([t for _, t in wanted]), FULL)
    assert all((a.rgb == b.rgb).all() for a, b in zip(got, one_by_one, strict=True))


def test_each_frame_alone(recipe: Recipe, reader: ProcessReader) -> None:
    for number, time_s in some(recipe)[5 :: max(1, len(some(recipe)) // 6)]:
        (picture,) = reader.at([time_s], FULL)
        assert read_number(picture.rgb) == number


def test_key_frames(recipe: Recipe, reader: ProcessReader) -> None:
    keys = list(reader.keyframes(FULL))
    assert keys[0].time_s == 0.0
    instants = [float(t) for t in recipe.instants]
    for key in keys:
        assert key.time_s == pytest.approx(instants[read_number(key.rgb)], abs=1e-9)
    times = [key.time_s for key in keys]
    assert times == sorted(set(times))
    apart = [key.time_s for key in reader.keyframes(FULL, min_gap_s=1.5)]
    assert apart[0] == 0.0
    assert set(apart) <= set(times)
    assert all(b - a >= 1.5 - 1e-9 for a, b in itertools.pairwise(apart))


@pytest.mark.parametrize("side", [FULL, 70, 33])
def test_pictures_are_upright_and_as_small_as_asked(
    recipe: Recipe, reader: ProcessReader, side: int
) -> None:
    width, height = recipe.displayed
    scale = min(1.0, side / max(width, height))
    (picture,) = reader.at([0.0], side)
    key = next(reader.keyframes(side))
    for rgb in (picture.rgb, key.rgb):
        assert rgb.dtype == np.uint8
        assert rgb.shape == (round(height * scale), round(width * scale), 3)
        for seen, drawn in zip(read_corners(rgb), CORNERS, strict=True):
            assert np.abs(np.subtract(seen, drawn)).max() < 45


def test_streams_of_one_reader_do_not_disturb_each_other(
    recipe: Recipe, reader: ProcessReader
) -> None:
    wanted = some(recipe, 3)
    ahead = reader.at([t for _, t in wanted], FULL)
    behind = reader.at([t for _, t in wanted], 64)
    keys = reader.keyframes(FULL)
    for number, _ in wanted[:5]:
        assert read_number(next(ahead).rgb) == number
        next(keys, None)
        if number:
            next(behind)
    assert [read_number(p.rgb) for p in ahead] == [i for i, _ in wanted[5:]]


# --- beyond the fixtures --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "decodes"),
    [
        ("h264.mp4", "decord"),
        ("vp9.webm", "decord"),
        ("mpeg4.avi", "decord"),
        ("rotated-90.mkv", "decord"),
        ("variable-rate.mp4", "decord"),
        ("open-gop.mp4", "pyav"),
        ("h265.mp4", "pyav"),
        ("b-frames.ts", "pyav"),
        ("mpeg4-b-frames.avi", "pyav"),
    ],
)
def test_decord_decodes_what_it_reads_right_and_nothing_else(
    folder: Path, name: str, decodes: str
) -> None:
    with open_video(made(folder, name), backend="decord") as reader:
        assert reader.backend == decodes


def test_both_backends_agree_on_the_pixels(folder: Path) -> None:
    path = made(folder, "b-frames.mp4")
    pictures = []
    for backend in BACKENDS:
        with open_video(path, backend=backend) as reader:
            assert reader.backend == backend
            pictures.append([p.rgb.astype(int) for p in reader.at([0.0, 0.5, 1.9], FULL)])
    for ours, theirs in zip(*pictures, strict=True):
        assert np.abs(ours - theirs).mean() < 2


def test_auto_is_exact_on_a_file_that_decord_reads_wrong(folder: Path) -> None:
    with open_video(made(folder, "open-gop.mp4")) as reader:
        assert reader.backend == "pyav"


def test_a_pixel_that_is_not_square_is_stretched(tmp_path: Path) -> None:
    options = {**videos.RECIPES[0].options, "x264-params": "sar=3/2"}
    wide = Recipe("wide.mp4", "libx264", range(5), Fraction(1, 25), options=options)
    path = encode(tmp_path / wide.name, wide)
    for backend in BACKENDS:
        with open_video(path, backend=backend) as reader:
            assert (reader.video.width, reader.video.height) == (192, 72)
            assert next(reader.at([0.0], 96)).rgb.shape == (36, 96, 3)


def test_instants_may_depend_on_the_pictures(folder: Path) -> None:
    with open_video(made(folder, "b-frames.mp4")) as reader:
        asked = [0.0]
        got = []
        for picture in reader.at(iter(lambda: asked[-1], None), FULL):
            got.append(read_number(picture.rgb))
            asked.append(picture.time_s + 0.4)
            if len(got) == 5:
                break
    assert got == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("times", [[1.0, 0.5], [float("nan")], [0.0, float("inf")]])
def test_instants_must_grow_and_be_finite(folder: Path, times: list[float]) -> None:
    with (
        open_video(made(folder, "h264.mp4")) as reader,
        pytest.raises(ValueError, match="must be finite and grow"),
    ):
        list(reader.at(times, FULL))


def test_a_name_that_is_not_text_is_opened(folder: Path, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    path.write_bytes(made(folder, "h264.mp4").read_bytes())
    assert probe(path).codec == "h264"


def test_a_relative_path_and_a_changed_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = Path("clip.mp4")
    clip.write_bytes(made(folder, "h264.mp4").read_bytes())
    before = probe("clip.mp4")
    assert Path(before.path).is_absolute()
    assert probe("clip.mp4") == before
    clip.write_bytes(made(folder, "ntsc.mp4").read_bytes())
    assert probe("clip.mp4").id != before.id
