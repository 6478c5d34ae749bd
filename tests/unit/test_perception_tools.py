"""The built-in tools that look closer, follow and remember, each on what it is made for."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.helpers.small import asked, core, square_video

from videoespresso.errors import ToolError
from videoespresso.tools.base import Means, Needs, Sight, ToolRequest, around, window
from videoespresso.tools.builtin.look_closer import MOST_FRAMES, LookCloser
from videoespresso.tools.builtin.read_text import ReadText
from videoespresso.tools.builtin.search_memory import SearchMemory
from videoespresso.tools.builtin.subtitles import Subtitles
from videoespresso.tools.builtin.track import MISSED, Tracker, link
from videoespresso.tools.builtin.transcript import Transcript
from videoespresso.tools.video import probe
from videoespresso.types import Box, Caption, Video


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("perception")


@pytest.fixture(scope="module")
def video(folder: Path) -> Video:
    return probe(square_video(folder / "square.mp4"))


# ---- which stretch


def test_a_stretch_is_the_argument_s_before_the_caller_s(video: Video) -> None:
    assert window(asked(video)) is None
    assert window(asked(video, span=(1.0, 2.0))) == (1.0, 2.0)
    assert window(asked(video, span=(1.0, 2.0), start_s=3, end_s=99)) == (3.0, video.duration_s)
    assert window(asked(video, start_s=3, end_s=None)) == (3.0, video.duration_s)
    assert window(asked(video, start_s=None, span=(1.0, 2.0))) == (1.0, 2.0)
    wrongs = ({"start_s": 5, "end_s": 5}, {"start_s": 50}, {"end_s": "x"}, {"end_s": True})
    for wrong in (*wrongs, {"end_s": 10**400}):
        with pytest.raises(ToolError):
            window(asked(video, **wrong))


def test_stretches_around_core_frames_that_overlap_are_one(video: Video) -> None:
    assert around(asked(video, (1.0, 1.5, 6.0)), 1.0) == [(0.0, 2.5), (5.0, 7.0)]
    assert around(asked(video, ()), 1.0) == [(0.0, video.duration_s)]


# ---- search_memory


def remembering(captions: Sequence[Caption]) -> tuple[Means, list[tuple[str, int]]]:
    queries: list[tuple[str, int]] = []

    def search(
        query: str, k: int, keep: Callable[[Caption], bool] = lambda _caption: True
    ) -> Sequence[Caption]:
        queries.append((query, k))
        return [caption for caption in captions if keep(caption)][:k]

    return Means(search=search), queries


def test_the_memory_is_searched_and_core_frames_are_left_out(video: Video) -> None:
    captions = [
        Caption(frame_id=f"v@{t}000", time_s=t, text=f"at {t}") for t in (4, 7, 2, 5, 1, 6, 3)
    ]
    means, queries = remembering(captions)
    found = SearchMemory().run(asked(video, (4.0,), means=means))
    assert [f.time_s for f in found] == [1, 2, 5, 6, 7], "in time order, without the core frame"
    assert queries[-1] == ("Why?", 5)
    found = SearchMemory().run(asked(video, (4.0,), means=means, query="a key", k=2))
    assert [f.text for f in found] == ["at 2", "at 7"]
    assert queries[-1][0] == "a key"
    found = SearchMemory().run(asked(video, (4.0,), means=means, start_s=2.5, end_s=5.5))
    assert [f.time_s for f in found] == [3, 5]
    found = SearchMemory().run(asked(video, means=means, start_s=2.5, end_s=3.5, k=1))
    assert [f.time_s for f in found] == [3], "the nearest of the stretch, not of the whole video"
    with pytest.raises(ToolError, match="empty"):
        SearchMemory().run(asked(video, means=means, query=" "))


# ---- look_closer


class Looks:
    """Sights of one colour a step, with what was asked for and described."""

    def __init__(self, shades: Callable[[float], int]) -> None:
        self.shades = shades
        self.calls: list[tuple[float, float, float, float]] = []
        self.sizes: list[tuple[int, int]] = []

    def look(self, start_s: float, end_s: float, fps: float, scale: float = 1.0) -> Iterator[Sight]:
        self.calls.append((start_s, end_s, fps, scale))
        for k in range(round((end_s - start_s) * fps)):
            time_s = start_s + k / fps
            shade = self.shades(time_s)
            yield Sight(time_s, Image.new("RGB", (200, 100), (shade, shade, shade)))

    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        self.sizes += [image.size for image in images]
        return [f"shade {image.getpixel((0, 0))[0]}" for image in images]  # type: ignore[index]

    def means(self) -> Means:
        return Means(look=self.look, describe=self.describe)


def test_looking_closer_describes_what_differs(video: Video) -> None:
    looks = Looks(lambda t: 200 if t >= 2 else 0)
    found = LookCloser().run(asked(video, means=looks.means(), start_s=1, end_s=3, fps=4))
    assert [(f.time_s, f.text) for f in found] == [(1.0, "shade 0"), (2.0, "shade 200")]
    assert looks.calls == [(1.0, 3.0, 4.0, 1.0)]


def test_a_part_is_cut_out_of_larger_frames(video: Video) -> None:
    looks = Looks(lambda t: 0)
    crop = [25, 0, 75, 50]
    (found,) = LookCloser().run(asked(video, means=looks.means(), start_s=1, end_s=2, crop=crop))
    assert found.text == "In the part 25 0 75 50: shade 0"
    assert looks.sizes == [(100, 50)]
    assert looks.calls[0][3] == 2.0


def test_looking_closer_is_bounded(video: Video) -> None:
    looks = Looks(lambda t: int(t * 1000) % 251)
    LookCloser().run(asked(video, means=looks.means(), start_s=0, end_s=8, fps=1000))
    assert len(looks.sizes) <= MOST_FRAMES


@pytest.mark.parametrize("crop", ["left", [1, 2, 3], [50, 0, 50, 100], [0, 0, "x", 1]])
def test_a_crop_that_is_none_is_refused(video: Video, crop: Any) -> None:
    with pytest.raises(ToolError):
        LookCloser().run(asked(video, means=Looks(lambda t: 0).means(), crop=crop))


# ---- track


def box(x: float, label: str = "car") -> Box:
    return Box(label=label, xyxy=(x, 0.4, x + 0.2, 0.6), score=0.9)


def test_boxes_are_linked_by_overlap_and_label() -> None:
    looks = [
        (0.0, [box(0.0), box(0.7)]),
        (0.2, [box(0.68), box(0.05), box(0.05, "dog")]),
        (0.4, [box(0.1), box(0.66)]),
    ]
    tracks = link(looks)
    assert [(t.name, len(t.seen)) for t in tracks] == [("car 1", 3), ("car 2", 3)]
    assert [b.xyxy[0] for _, b in tracks[0].seen] == [0.0, 0.05, 0.1]


def test_an_object_may_be_hidden_for_a_moment_but_not_for_long() -> None:
    def hidden(frames: int) -> list[str]:
        gap: list[tuple[float, list[Box]]] = [(0.4 + 0.2 * k, []) for k in range(frames)]
        after = [(5.0, [box(0.1)]), (5.2, [box(0.1)])]
        return [t.name for t in link([(0.0, [box(0.1)]), (0.2, [box(0.1)]), *gap, *after])]

    assert hidden(MISSED) == ["car 1"]
    assert hidden(MISSED + 1) == ["car 1", "car 2"]


def test_another_label_in_the_same_place_is_another_object() -> None:
    looks = [(0.2 * k, [box(0.1, "car" if k < 2 else "dog")]) for k in range(4)]
    assert [(t.name, len(t.seen)) for t in link(looks)] == [("car 1", 2), ("dog 1", 2)]


def test_a_jump_is_another_object() -> None:
    looks = [(0.0, [box(0.0)]), (0.2, [box(0.0)]), (0.4, [box(0.6)]), (0.6, [box(0.6)])]
    assert [t.name for t in link(looks)] == ["car 1", "car 2"]


def test_a_track_is_told_with_the_core_frame_s_own_box(video: Video) -> None:
    means = Means(look=Looks(lambda t: 0).look, detect=lambda image, names: [box(0.3)])
    frames = (core(video, 2.0, (box(0.31), box(0.8))),)
    request = ToolRequest("Why?", video, frames, lambda ref: Image.new("RGB", (1, 1)), means=means)
    (found,) = Tracker().run(request)
    assert found.frame_id == "v@2000"
    assert found.text == "car 1 is seen from 0.5 to 3.3 s and stays (30 40 50 60 to 30 40 50 60)."
    assert [(b.label, b.xyxy[0]) for b in found.boxes] == [("car 1", 0.31)]


NEEDS: dict[type, Needs] = {
    SearchMemory: "text", LookCloser: "span", Tracker: "span", Subtitles: "span",
    ReadText: "frames", Transcript: "span",
}  # fmt: skip


@pytest.mark.parametrize("kind", NEEDS)
def test_what_each_needs(kind: type) -> None:
    assert kind().needs == NEEDS[kind]
