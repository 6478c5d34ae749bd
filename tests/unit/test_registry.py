"""Tools found by name, and nothing a broken one does becomes evidence."""

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from videoespresso.errors import BudgetExceeded, UserError
from videoespresso.tools import registry
from videoespresso.tools.base import Finding, Needs, ToolRequest
from videoespresso.tools.registry import (
    GROUP,
    MAX_FINDINGS,
    check_tool,
    known_tools,
    load_tools,
    run_tool,
)
from videoespresso.types import Box, CoreFrame, FrameRef, Video

VIDEO = Video(id="v" * 64, path="v.mp4", duration_s=10.0, fps=Fraction(25), width=64, height=48)


def core(time_s: float) -> CoreFrame:
    frame = FrameRef(
        id=f"v@{round(time_s * 1000)}",
        video_id=VIDEO.id,
        time_s=time_s,
        index=0,
        fps=Fraction(25),
        rule="keyframe",
        sha="s",
        width=64,
        height=48,
    )
    return CoreFrame(frame=frame)


def no_pixels(frame: FrameRef) -> Any:
    raise AssertionError(f"nobody should look at {frame.id}")


REQUEST = ToolRequest("Why?", VIDEO, (core(1.0), core(2.5)), no_pixels)


class Says:
    """A tool made of a function."""

    description = "For tests."
    needs: Needs = "frames"

    def __init__(self, say: Callable[[ToolRequest], Any], name: str = "says") -> None:
        self.name = name
        self.run = say


def raises(error: BaseException) -> Callable[[ToolRequest], Any]:
    def run(request: ToolRequest) -> Any:
        raise error

    return run


def test_good_findings_pass_and_take_their_frames_instant() -> None:
    found = [Finding(text=" a sign ", time_s=2.4, frame_id="v@2500"), Finding(text="b", time_s=9.0)]
    ran = run_tool(Says(lambda request: found), REQUEST)
    assert ran.gap is None
    assert [(f.text, f.time_s) for f in ran.findings] == [("a sign", 2.5), ("b", 9.0)]


def test_no_findings_is_no_failure() -> None:
    assert run_tool(Says(lambda request: []), REQUEST) == ((), None)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret\nline two"),
        BudgetExceeded("too dear"),
        SystemExit(3),
        KeyboardInterrupt(),
    ],
)
def test_an_exception_is_a_gap(error: BaseException) -> None:
    findings, gap = run_tool(Says(raises(error)), REQUEST)
    assert findings == ()
    assert gap is not None
    assert gap.stage == "tool:says"
    assert type(error).__name__ in gap.reason
    assert "\n" not in gap.reason


NONSENSE: list[Any] = [
    None,
    3,
    "the car is red",
    b"bytes",
    {"text": "x"},
    ["the car is red"],
    [Finding(text="good", time_s=1.0), "bad"],
    [Finding(text="elsewhere", time_s=1.0, frame_id="other@1")],
    [Finding(text="too late", time_s=10.5)],
    [Finding(text="x", time_s=1.0, boxes=(Box(label="x", xyxy=(0, 0, 1, 1), score=1),))],
]


@pytest.mark.parametrize("result", NONSENSE)
def test_nonsense_is_a_gap_and_never_evidence(result: Any) -> None:
    findings, gap = run_tool(Says(lambda request: result), REQUEST)
    assert findings == ()
    assert gap is not None


def test_findings_are_checked_when_they_are_made() -> None:
    for bad in ({"text": "  "}, {"time_s": -1.0}, {"time_s": float("nan")}, {"extra": 1}):
        with pytest.raises(ValueError, match="validation error"):
            Finding.model_validate({"text": "x", "time_s": 1.0, **bad})


def test_a_hang_is_a_gap_and_its_late_result_is_dropped() -> None:
    released, done = threading.Event(), threading.Event()

    def slow(request: ToolRequest) -> list[Finding]:
        released.wait(60)
        done.set()
        return [Finding(text="late", time_s=1.0)]

    findings, gap = run_tool(Says(slow), REQUEST, timeout_s=0.05)
    released.set()
    assert done.wait(60)
    assert findings == ()
    assert gap is not None
    assert "0.05 s" in gap.reason


def test_a_generator_is_read_under_the_same_guard() -> None:
    def forever(request: ToolRequest) -> Iterator[Finding]:
        while True:
            yield Finding(text="again", time_s=1.0)

    findings, gap = run_tool(Says(forever), REQUEST)
    assert len(findings) == MAX_FINDINGS
    assert gap is not None
    assert str(MAX_FINDINGS) in gap.reason


def test_a_frame_tool_without_frames_is_not_run() -> None:
    empty = ToolRequest("Why?", VIDEO, (), no_pixels)
    findings, gap = run_tool(Says(raises(AssertionError("ran"))), empty)
    assert findings == ()
    assert gap is not None
    assert "no core frames" in gap.reason
    spans = Says(lambda request: [Finding(text="x", time_s=3.0)])
    spans.needs = "span"
    assert len(run_tool(spans, empty).findings) == 1


def test_built_ins_load_by_name_through_the_same_door() -> None:
    tools, warnings = load_tools(["count"])
    assert [tool.name for tool in tools] == ["count"]
    assert warnings == ()
    assert all(entry.group == GROUP for entry in known_tools().values())


def test_a_tool_is_taken_as_object_class_and_string(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_plugin.py").write_text(
        "class Hello:\n"
        "    name, description, needs = 'hello', 'Greets.', 'text'\n"
        "    def run(self, request):\n"
        "        return []\n"
        "tool = Hello()\n"
        "tool.name = 'other'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    given = Says(lambda request: [])
    tools, _ = load_tools([given, "my_plugin:Hello", "my_plugin:tool"])
    assert [tool.name for tool in tools] == ["says", "hello", "other"]
    assert tools[0] is given
    sys.modules.pop("my_plugin")


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="two tools are called 'count'"):
        load_tools(["count", Says(lambda request: [], name="count")])


@pytest.mark.parametrize(
    "asked", ["nosuch", "no_such_module:Tool", "json:nosuch", "json:dumps", ":"]
)
def test_what_was_asked_for_and_cannot_be_had_is_an_error(asked: str) -> None:
    with pytest.raises(UserError) as caught:
        load_tools([asked])
    assert caught.value.hint


def with_plugins(monkeypatch: pytest.MonkeyPatch, **entries: str) -> None:
    """As if packages with these entry points were installed."""
    plugins = [EntryPoint(name, value, GROUP) for name, value in entries.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: plugins if group == GROUP else [])


def test_a_broken_plug_in_is_named_and_skipped_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with_plugins(
        monkeypatch,
        broken="broken_plugin:Tool",
        good="videoespresso.tools.builtin.count:Count",
        odd="json:dumps",
    )
    tools, warnings = load_tools(installed=True)
    assert [tool.name for tool in tools] == ["count"]
    assert len(warnings) == 2
    assert "'broken'" in warnings[0]
    assert "no licence" in warnings[0]
    assert "'odd'" in warnings[1]
    with pytest.raises(UserError, match="no licence"):
        load_tools(["broken"], installed=True)


def test_nothing_installed_replaces_a_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    with_plugins(monkeypatch, count="json:dumps")
    assert known_tools()["count"].value == "videoespresso.tools.builtin.count:Count"
    assert [tool.name for tool in load_tools(["count"], installed=True).tools] == ["count"]


def test_plug_ins_are_not_loaded_unless_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    with_plugins(monkeypatch, broken="broken_plugin:Tool")
    assert load_tools() == ((), ())


class NoName:
    description, needs = "x", "frames"

    def run(self, request: ToolRequest) -> list[Finding]:
        return []


class WrongNeeds(NoName):
    name, needs = "x", "pixels"


class NoRun:
    name, description, needs = "x", "x", "text"


class Demanding(NoName):
    name = "x"

    def __init__(self, key: str) -> None: ...


@pytest.mark.parametrize(
    ("candidate", "lacks"),
    [
        (NoName, "name"),
        (WrongNeeds, "needs"),
        (NoRun, "run"),
        (Demanding, "no arguments"),
        (len, "name"),
    ],
)
def test_what_is_no_tool_is_told_what_it_lacks(candidate: object, lacks: str) -> None:
    with pytest.raises(UserError) as caught:
        check_tool(candidate, "it")
    assert lacks in f"{caught.value} {caught.value.hint}"


@pytest.mark.skipif(
    importlib.util.find_spec("langchain_mcp_adapters") is not None, reason="it is installed"
)
def test_mcp_tools_without_the_package_name_the_extra() -> None:
    with pytest.raises(UserError, match="langchain-mcp-adapters") as caught:
        load_tools(["mcp:weather"])
    assert "videoespresso[mcp]" in caught.value.hint
