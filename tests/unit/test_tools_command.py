"""`videoespresso tools`: what is listed, what is told, and one tool tried on a real video."""

import json
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.small import square_video

from videoespresso import settings_file
from videoespresso.cli.app import main
from videoespresso.cli.console import Exit, err, out
from videoespresso.cli.tools import AROUND_S, FRAMES, instants
from videoespresso.errors import UserError
from videoespresso.tools import registry
from videoespresso.tools.registry import GROUP

STREET = Path(__file__).parents[2] / "examples/videos/street.mp4"

PLUGIN = """
from videoespresso.tools.base import Finding

class Bright:
    name, description, needs = "bright", "How bright a frame is.", "frames"

    def run(self, request):
        for core in request.frames:
            grey = request.image(core).convert("L").resize((1, 1)).getpixel((0, 0))
            yield Finding(text=f"brightness {grey}", time_s=core.frame.time_s,
                          frame_id=core.frame.id)

class Fails(Bright):
    name = "fails"

    def run(self, request):
        raise RuntimeError("no licence")

class Echo:
    name, description, needs = "echo", "Says what it is called with.", "call"
    parameters = {"type": "object", "properties": {"word": {"type": "string"}}}

    def run(self, request):
        return [Finding(text=f"{request.arguments}", time_s=0)]
"""


@pytest.fixture(autouse=True)
def _fresh_streams() -> None:
    out.cache_clear()
    err.cache_clear()


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed plug-in, a broken one, and one named in the settings' file."""
    (tmp_path / "tried_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings_file, "trusted", lambda sha, environ: True)
    Path("videoespresso.toml").write_text('tools = ["tried_plugin:Echo", "nowhere_at_all:Tool"]\n')
    entries = [
        EntryPoint("bright", "tried_plugin:Bright", GROUP),
        EntryPoint("broken", "tried_plugin:Nothing", GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries if group == GROUP else [])
    yield
    sys.modules.pop("tried_plugin", None)


@pytest.mark.usefixtures("plugin")
def test_all_are_listed_and_what_cannot_be_had_is_named(capsys: Any) -> None:
    assert main(["tools", "list"]) == Exit.ANSWERED
    shown = capsys.readouterr()
    listed = [line.split()[0] for line in shown.out.splitlines()[1:] if line[:1].strip()]
    assert listed[: len(registry.BUILT_IN)] == [entry.name for entry in registry.BUILT_IN]
    assert {"bright", "echo"} <= set(listed)
    assert "broken" not in listed
    assert shown.err.count("; skipped") == 2
    assert "'broken'" in shown.err
    assert "nowhere_at_all" in shown.err


@pytest.mark.usefixtures("plugin")
def test_info_tells_what_a_model_may_call_it_with(capsys: Any) -> None:
    assert main(["tools", "info", "tried_plugin:Echo"]) == Exit.ANSWERED
    shown = capsys.readouterr().out
    assert "Says what it is called with." in shown
    assert "word (string)" in shown
    assert "tried_plugin:Echo" in shown
    assert main(["tools", "info", "bright"]) == Exit.ANSWERED
    assert "used on every question  no" in capsys.readouterr().out
    assert main(["tools", "info", "nosuch"]) == Exit.USER


@pytest.mark.usefixtures("plugin")
def test_a_tool_is_tried_on_a_few_frames(capsys: Any) -> None:
    line = ["tools", "try", "bright", str(STREET), "--from", "2", "--to", "4", "--json"]
    assert main([*line, "--detector", "off"]) == Exit.ANSWERED
    tried = json.loads(capsys.readouterr().out)
    assert len(tried["findings"]) == len(tried["frames"]) == FRAMES
    assert all(2 <= frame["time_s"] <= 4 for frame in tried["frames"])
    assert tried["gap"] is None
    assert all(f["text"].startswith("brightness ") for f in tried["findings"])


@pytest.mark.usefixtures("plugin")
def test_a_gap_is_told_and_is_a_failure(capsys: Any) -> None:
    line = ["tools", "try", "tried_plugin:Fails", str(STREET), "--at", "3", "--detector", "off"]
    assert main(line) == Exit.FAILED
    shown = capsys.readouterr()
    assert "no licence" in shown.err
    assert "no licence" not in shown.out


@pytest.mark.usefixtures("plugin")
def test_a_callable_tool_is_called_with_what_is_given(capsys: Any) -> None:
    line = ["tools", "try", "tried_plugin:Echo", str(STREET), "--arg", "word=car", "--arg", "k=3"]
    assert main([*line, "--detector", "off"]) == Exit.ANSWERED
    assert "{'word': 'car', 'k': 3}" in capsys.readouterr().out


def test_a_search_of_a_video_that_nobody_asked_about(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOESPRESSO_CACHE_DIR", str(tmp_path))
    line = ["tools", "try", "search_memory", str(STREET), "--question", "a car"]
    assert main([*line, "--detector", "off"]) == Exit.ANSWERED
    assert "ask a question about it first" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["no_such_module:Tool", "json:Tool"])
def test_a_misspelt_module_is_not_a_broken_package(name: str, capsys: Any) -> None:
    assert main(["tools", "info", name]) == Exit.USER
    assert "PYTHONPATH" in capsys.readouterr().err


def test_where_frames_are_taken() -> None:
    span, times = instants(16.0, None, None, None)
    assert span is None
    assert times == [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0]
    assert instants(16.0, 5.0, None, None) == ((4.0, 6.0), [5.0 - AROUND_S, 5.0, 5.0 + AROUND_S])
    assert instants(16.0, None, 14.0, None)[0] == (14.0, 16.0)


@pytest.mark.parametrize(
    "when", [(17.0, None, None), (1.0, 2.0, None), (None, 3.0, 3.0), (None, -1.0, None)]
)
def test_what_is_outside_the_video_is_refused(when: Any) -> None:
    with pytest.raises(UserError):
        instants(16.0, *when)


def test_the_pack_describes_nothing_that_it_does_not_know(tmp_path: Path, capsys: Any) -> None:
    video = square_video(tmp_path / "square.mp4", seconds=2)
    line = ["tools", "try", "look_closer", str(video), "--from", "0", "--to", "1"]
    assert main(line) == Exit.FAILED
    shown = capsys.readouterr()
    assert "no captioner" in shown.err
    assert shown.out == ""


def test_nothing_is_not_found_where_nothing_looked(tmp_path: Path, capsys: Any) -> None:
    clip = square_video(tmp_path / "clip.mp4")
    assert main(["tools", "try", "count", str(clip), "--detector", "off"]) == Exit.ANSWERED
    assert "found nothing; no detector looked at the frames" in " ".join(
        capsys.readouterr().out.split()
    )
    argv = ["tools", "try", "count", str(clip), "--detector", "off", "--json"]
    assert main(argv) == Exit.ANSWERED
    assert json.loads(capsys.readouterr().out)["detected"] is False
