"""LangChain's tools under our contract: called with arguments, and no failure is a finding."""

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool, ToolException, tool

from videoespresso.errors import UserError
from videoespresso.tools.base import Finding, ToolRequest
from videoespresso.tools.from_langchain import MAX_CHARS, LangChainTool, is_langchain
from videoespresso.tools.registry import check_tool, load_tools, run_tool
from videoespresso.types import CoreFrame, FrameRef, Video

VIDEO = Video(id="v" * 64, path="v.mp4", duration_s=10.0, fps=Fraction(25), width=64, height=48)
FRAME = FrameRef(
    id="v@2500", video_id=VIDEO.id, time_s=2.5, index=62, fps=VIDEO.fps, rule="keyframe", sha="s",
    width=64, height=48,
)  # fmt: skip


def request(**arguments: Any) -> ToolRequest:
    def no_pixels(frame: FrameRef) -> Any:
        raise AssertionError(f"nobody should look at {frame.id}")

    return ToolRequest("Why?", VIDEO, (CoreFrame(frame=FRAME),), no_pixels, arguments=arguments)


@tool
def weather(city: str, days: int = 1) -> str:
    """The weather in a city."""
    return f"{city}: sun\nfor {days} days"


def returning(value: Any) -> BaseTool:
    """A LangChain tool that returns just this."""
    return StructuredTool.from_function(lambda: value, name="gives", description="Gives.")


def test_it_is_accepted_as_it_is_and_waits_to_be_called() -> None:
    (loaded,) = load_tools([weather]).tools
    assert isinstance(loaded, LangChainTool)
    assert (loaded.name, loaded.needs) == ("weather", "call")
    assert loaded.description == "The weather in a city."
    assert set(loaded.parameters["properties"]) == {"city", "days"}
    assert loaded.parameters["required"] == ["city"]


def test_a_result_is_one_finding_at_the_first_core_frame() -> None:
    ran = run_tool(check_tool(weather, "it"), request(city="Bonn", days=2))
    assert ran.gap is None
    assert ran.findings == (Finding(text="Bonn: sun for 2 days", time_s=2.5),)


def test_it_is_found_by_module_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lc_plugin.py").write_text(
        "from langchain_core.tools import tool\n"
        "@tool\n"
        "def clock(zone: str) -> str:\n"
        "    'The time.'\n"
        "    return zone\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (loaded,) = load_tools(["lc_plugin:clock"]).tools
    assert loaded.name == "clock"
    sys.modules.pop("lc_plugin")


def test_a_tool_made_of_a_coroutine_is_awaited() -> None:
    async def distance(a: str) -> str:
        """How far."""
        return f"{a}: 3 km"

    made = StructuredTool.from_function(coroutine=distance)
    ran = run_tool(check_tool(made, "it"), request(a="Bonn"))
    assert [f.text for f in ran.findings] == ["Bonn: 3 km"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None]}, '{"a": [1, null]}'),
        (3, "3"),
        (False, "false"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "one two"),
    ],
)
def test_json_values_are_told_as_json(value: Any, text: str) -> None:
    ran = run_tool(check_tool(returning(value), "it"), request())
    assert [f.text for f in ran.findings] == [text]


def test_findings_of_its_own_are_taken_as_they_are() -> None:
    own = [Finding(text="a bell", time_s=7.0)]
    assert run_tool(check_tool(returning(own), "it"), request()).findings == tuple(own)


@pytest.mark.parametrize(
    "value",
    [None, b"bytes", object(), {"a": object()}, float("nan"), [Finding(text="x", time_s=1), "y"]],
    ids=["none", "bytes", "object", "inner", "nan", "mixed"],
)
def test_nonsense_is_a_gap_and_never_evidence(value: Any) -> None:
    ran = run_tool(check_tool(returning(value), "it"), request())
    assert ran.findings == ()
    assert ran.gap is not None
    assert ran.gap.stage == "tool:gives"


def test_an_empty_text_is_nothing_found() -> None:
    assert run_tool(check_tool(returning("  "), "it"), request()) == ((), None)


def test_a_long_result_is_cut_and_says_so() -> None:
    (finding,) = run_tool(check_tool(returning("x" * 5000), "it"), request()).findings
    assert finding.text == "x" * MAX_CHARS + f" … (cut after {MAX_CHARS} of 5000 characters)"


def failing() -> Iterator[Any]:
    """Tools that would rather tell of their failure in words."""

    def raises(key: str = "") -> str:
        raise ToolException("the server says no")

    for handled in (False, True, "Please try again."):
        yield StructuredTool.from_function(
            raises, name="fails", description="Fails.", handle_tool_error=handled
        )


@pytest.mark.parametrize("made", list(failing()), ids=["raised", "handled", "with words"])
def test_a_failure_is_a_gap_even_where_the_tool_turns_it_into_text(made: BaseTool) -> None:
    ran = run_tool(check_tool(made, "it"), request())
    assert ran.findings == ()
    assert ran.gap is not None
    assert "the server says no" in ran.gap.reason


@pytest.mark.parametrize("arguments", [{}, {"city": "Bonn", "days": "many"}])
def test_arguments_that_do_not_fit_are_a_gap(arguments: dict[str, Any]) -> None:
    ran = run_tool(check_tool(weather, "it"), request(**arguments))
    assert ran.findings == ()
    assert ran.gap is not None


def test_a_key_in_a_reply_or_an_error_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "abcdefgh12345")
    told = run_tool(check_tool(returning("the key is abcdefgh12345"), "it"), request())
    assert [f.text for f in told.findings] == ["the key is ***"]

    def raises() -> str:
        raise RuntimeError("refused abcdefgh12345")

    made = StructuredTool.from_function(raises, name="fails", description="Fails.")
    gap = run_tool(check_tool(made, "it"), request()).gap
    assert gap is not None
    assert "***" in gap.reason
    assert "abcdefgh12345" not in gap.reason


def test_others_are_not_taken_for_one() -> None:
    assert not is_langchain(len)
    assert not is_langchain(weather.name)

    class Silent:
        name, description, needs = "silent", "Has no parameters.", "call"

        def run(self, request: ToolRequest) -> list[Finding]:
            return []

    with pytest.raises(UserError, match="parameters"):
        check_tool(Silent, "it")
