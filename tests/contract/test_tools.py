"""What every registered tool must do, whoever wrote it. New built-ins join by being registered."""

import json
from fractions import Fraction

import pytest
from PIL import Image

from videoespresso.tools.base import NEEDS, ToolRequest
from videoespresso.tools.registry import BUILT_IN, check_tool, load_tools, run_tool
from videoespresso.types import Box, CoreFrame, FrameRef, Video

VIDEO = Video(id="v" * 64, path="v.mp4", duration_s=10.0, fps=Fraction(25), width=64, height=48)


def request(frames: int) -> ToolRequest:
    refs = [
        FrameRef(
            id=f"v@{k}000",
            video_id=VIDEO.id,
            time_s=float(k),
            index=k * 25,
            fps=VIDEO.fps,
            rule="keyframe",
            sha=str(k),
            width=64,
            height=48,
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
    return ToolRequest("How many cars?", VIDEO, cores, lambda ref: Image.new("RGB", (64, 48)))


@pytest.fixture(params=[entry.name for entry in BUILT_IN])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_says_what_it_is(name: str) -> None:
    (tool,) = load_tools([name]).tools
    assert check_tool(tool, name) is tool
    assert tool.name == name
    assert tool.description.endswith(".")
    assert tool.needs in NEEDS


@pytest.mark.parametrize("frames", [1, 3])
def test_it_gives_findings_on_the_frames_it_got(name: str, frames: int) -> None:
    (tool,) = load_tools([name]).tools
    asked = request(frames)
    ran = run_tool(tool, asked)
    assert ran.gap is None
    instants = {core.frame.id: core.frame.time_s for core in asked.frames}
    for finding in ran.findings:
        assert finding.frame_id is None or instants[finding.frame_id] == finding.time_s
        assert json.loads(finding.model_dump_json())["text"]
    assert run_tool(tool, asked) == ran


def test_count_counts_boxes_and_says_nothing_where_there_are_none() -> None:
    (tool,) = load_tools(["count"]).tools
    ran = run_tool(tool, request(4))
    assert [f.text for f in ran.findings] == [
        "Detected: 2 car, 1 dog.",
        "Detected: 1 car, 1 dog.",
        "Detected: 1 dog.",
    ]
    assert [len(f.boxes) for f in ran.findings] == [3, 2, 1]
