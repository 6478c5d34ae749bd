"""What has no caption yet is not known: it is said, and never that it is not there."""

from pathlib import Path

import pytest
from tests.graph.test_candidates import Counting, asked, film
from tests.helpers.scripted import scripted_context

from videoespresso.api import mcp_server
from videoespresso.graphs.state import not_captioned
from videoespresso.graphs.tool_use import tool_request
from videoespresso.settings import Settings
from videoespresso.tools.base import Finding, Unknown
from videoespresso.tools.builtin.search_memory import SearchMemory
from videoespresso.tools.registry import run_tool
from videoespresso.tools.video import probe


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "minute.mp4", 60)


def test_stretches_are_those_of_frames_without_a_caption(minute: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path, Counting().script(), select="pixels+top:3")
    asked(context, minute)
    video = probe(minute)
    request = tool_request(context, video, "Where is the wall?", [])
    dark = request.means.uncaptioned()
    assert dark
    assert dark == sorted(dark)
    assert all(a < b for a, b in dark)
    assert sum(b - a for a, b in dark) == pytest.approx(video.duration_s - 3, abs=1.5)
    assert not_captioned([], set(), 9.0) == []


def test_the_search_says_so_and_can_look(minute: Path, tmp_path: Path) -> None:
    counting = Counting()
    context, _ = scripted_context(tmp_path, counting.script(), select="pixels+top:3")
    core = asked(context, minute).core_frames[:1]
    before = counting.captioned
    request = tool_request(context, probe(minute), "Where is the wall?", core)
    *found, last = SearchMemory().run(request)
    assert len([f for f in found if isinstance(f, Finding)]) == 2
    assert isinstance(last, Unknown)
    assert "not captioned yet" in last.text
    result = run_tool(SearchMemory(), request)
    assert len(result.findings) == 2
    assert result.gap is not None
    assert "not captioned yet" in result.gap.reason
    assert counting.captioned == before
    span = {"start_s": 0.0, "end_s": 30.0, "look": True}
    told = tool_request(context, probe(minute), "Where is the wall?", core, arguments=span)
    looked = run_tool(SearchMemory(), told)
    assert counting.captioned > before
    assert len(looked.findings) > 1
    assert all(f.time_s <= 30 for f in looked.findings)


def test_where_all_is_captioned_nothing_is_unknown(minute: Path, tmp_path: Path) -> None:
    context, _ = scripted_context(tmp_path, Counting().script(), select="paper")
    core = asked(context, minute).core_frames
    result = run_tool(SearchMemory(), tool_request(context, probe(minute), "Where?", core))
    assert result.findings
    assert result.gap is None


def test_an_answer_that_is_none_says_how_much_was_not_seen(minute: Path, tmp_path: Path) -> None:
    script = Counting().script()
    script["reasoner"] = lambda _: '{"steps": [], "answered": false, "answer": "", "choice": null}'
    context, _ = scripted_context(tmp_path, script, select="pixels+top:3")
    answer = asked(context, minute)
    assert not answer.answered
    assert any("not the same as not there" in warning for warning in answer.warnings)


def test_find_moments_names_the_stretches_and_can_look(
    minute: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(settings: Settings) -> object:
        return scripted_context(tmp_path, Counting().script(), select=settings.select)[0]

    monkeypatch.setattr(mcp_server, "open_context", opened)
    tools = mcp_server.VideoTools(Settings.load({"select": "pixels+segments"}, environ={}))
    some = tools.find_moments(str(minute), "a wall", 50)
    assert len(some.moments) == 8
    assert some.not_captioned_yet
    every = tools.find_moments(str(minute), "a wall", 50, look=True)
    assert every.not_captioned_yet == ()
    assert len(every.moments) > 8
