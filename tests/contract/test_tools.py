"""What every registered tool must do, whoever wrote it. New built-ins join by being registered."""

import importlib.util
import json
from collections.abc import Iterator, Sequence

import pytest
from PIL import Image
from tests.helpers.small import square_video, srt

from videoespresso.tools.base import NEEDS, Means, Sight, ToolRequest
from videoespresso.tools.registry import BUILT_IN, check_tool, load_tools, run_tool
from videoespresso.tools.video import open_video
from videoespresso.types import Box, Caption, CoreFrame, FrameRef, Video

EXTRA = {"subtitles": "pysubs2", "read_text": "rapidocr", "transcript": "faster_whisper"}
"""Tools whose work here needs a package that the core does not install."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    """Eight seconds with a side-car of subtitles and without sound."""
    path = square_video(tmp_path_factory.mktemp("tools") / "square.mp4")
    path.with_suffix(".srt").write_text(srt())
    with open_video(path) as reader:
        return reader.video


def look(video: Video, start_s: float, end_s: float, fps: float) -> Iterator[Sight]:
    count = max(1, int((end_s - start_s) * fps))
    with open_video(video.path) as reader:
        for picture in reader.at([start_s + k / fps for k in range(count)], 160):
            yield Sight(picture.time_s, Image.fromarray(picture.rgb))


def red(image: Image.Image, names: Sequence[str] = ()) -> list[Box]:
    """The red square, found by its colour."""
    mask = image.convert("RGB").split()[0].point(lambda v: 255 * (v > 170))
    found = mask.getbbox()
    if found is None:
        return []
    x0, y0, x1, y1 = found
    w, h = image.size
    return [Box(label="square", xyxy=(x0 / w, y0 / h, x1 / w, y1 / h), score=0.9)]


def request(video: Video, frames: int) -> ToolRequest:
    refs = [
        FrameRef(
            id=f"v@{k}000",
            video_id=video.id,
            time_s=float(k),
            index=k * 5,
            fps=video.fps,
            rule="keyframe",
            sha=str(k),
            width=160,
            height=90,
        )
        for k in range(frames)
    ]
    boxes = (
        Box(label="car", xyxy=(0.1, 0.1, 0.3, 0.3), score=0.9),
        Box(label="car", xyxy=(0.5, 0.5, 0.9, 0.9), score=0.8),
        Box(label="dog", xyxy=(0.4, 0.1, 0.6, 0.3), score=0.7),
    )
    cores = tuple(
        CoreFrame(frame=ref, caption="street, sun: red car drives", boxes=boxes[k:])
        for k, ref in enumerate(refs)
    )
    remembered = [Caption(frame_id=f"v@{k}500", time_s=k + 0.5, text=f"car {k}") for k in range(7)]
    means = Means(
        search=lambda query, k, keep=bool: [c for c in remembered if keep(c)][:k],
        look=lambda start_s, end_s, fps, scale=1.0: look(video, start_s, end_s, fps),
        describe=lambda images: [f"a picture of {image.size}" for image in images],
        detect=red,
    )

    def load(ref: FrameRef) -> Image.Image:
        return Image.new("RGB", (160, 90))

    return ToolRequest("How many cars?", video, cores, load, means=means)


def lacks(name: str) -> str:
    """The package that this environment lacks for the tool, or ""."""
    package = EXTRA.get(name, "")
    return package if package and importlib.util.find_spec(package) is None else ""


@pytest.fixture(params=[entry.name for entry in BUILT_IN])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_says_what_it_is(name: str) -> None:
    (tool,) = load_tools([name]).tools
    assert check_tool(tool, name) is tool
    assert tool.name == name
    assert tool.description.endswith(".")
    assert tool.needs in NEEDS


def test_what_a_model_may_call_it_with_is_a_schema(name: str) -> None:
    (tool,) = load_tools([name]).tools
    parameters = getattr(tool, "parameters", None)
    if parameters is None:
        assert name == "count", "the others pick a stretch or a query"
        return
    assert parameters["type"] == "object"
    assert all(
        about["type"] and about["description"] for about in parameters["properties"].values()
    )


@pytest.mark.parametrize("frames", [1, 3])
def test_it_gives_findings_on_the_frames_it_got(video: Video, name: str, frames: int) -> None:
    (tool,) = load_tools([name]).tools
    asked = request(video, frames)
    ran = run_tool(tool, asked)
    if package := lacks(name):
        if name == "transcript":  # a video without sound needs no package
            return
        assert ran.findings == ()
        assert ran.gap is not None
        assert package in ran.gap.reason
        return
    assert ran.gap is None
    instants = {core.frame.id: core.frame.time_s for core in asked.frames}
    for finding in ran.findings:
        assert finding.frame_id is None or instants[finding.frame_id] == finding.time_s
        assert json.loads(finding.model_dump_json())["text"]
    assert run_tool(tool, asked) == ran


@pytest.mark.parametrize("arguments", [{"start_s": 9, "end_s": 3}, {"start_s": "soon"}])
def test_a_stretch_that_is_none_is_a_gap(
    video: Video, name: str, arguments: dict[str, object]
) -> None:
    (tool,) = load_tools([name]).tools
    if not hasattr(tool, "parameters") or name == "transcript":
        return
    asked = request(video, 1)
    ran = run_tool(
        tool,
        ToolRequest(
            asked.question, video, asked.frames, asked.load, arguments=arguments, means=asked.means
        ),
    )
    assert ran.findings == ()
    assert ran.gap is not None


def test_without_means_a_tool_that_needs_them_says_so(video: Video) -> None:
    asked = request(video, 1)
    for name in ("look_closer", "search_memory", "track"):
        (tool,) = load_tools([name]).tools
        ran = run_tool(tool, ToolRequest(asked.question, video, asked.frames, asked.load))
        assert ran.findings == ()
        assert ran.gap is not None
        assert "here" in ran.gap.reason


def test_count_counts_boxes_and_says_nothing_where_there_are_none(video: Video) -> None:
    (tool,) = load_tools(["count"]).tools
    ran = run_tool(tool, request(video, 4))
    assert [f.text for f in ran.findings] == [
        "Detected: 2 car, 1 dog.",
        "Detected: 1 car, 1 dog.",
        "Detected: 1 dog.",
    ]
    assert [len(f.boxes) for f in ran.findings] == [3, 2, 1]


def test_the_square_is_followed_to_the_right(video: Video) -> None:
    (tool,) = load_tools(["track"]).tools
    (finding,) = run_tool(tool, request(video, 3)).findings
    assert finding.text.startswith("square 1 is seen from 0.0 to ")
    assert "moves right" in finding.text
