"""Tools of real MCP servers, over stdio and HTTP: the same contract, and failures are gaps."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.graph.test_ask_calls_tools import calling_context
from tests.helpers.calling import calls, in_turn
from tests.helpers.small import square_video
from tests.unit.test_from_langchain import request

from videoespresso import settings_file
from videoespresso.cli.app import main
from videoespresso.cli.console import Exit, err, out
from videoespresso.errors import SettingsError, UserError
from videoespresso.graphs.ask import ask_graph
from videoespresso.settings import McpServer, Settings
from videoespresso.tools.base import Tool
from videoespresso.tools.registry import load_tools, run_tool, survey
from videoespresso.types import Answer

SERVER = Path(__file__).parents[1] / "helpers/mcp_tools.py"
NAMES = ["forecast", "key", "refuse", "picture", "hang", "die"]
PATHS = os.pathsep.join(filter(None, sys.path))  # where the packages of this interpreter are

pytestmark = [pytest.mark.extras, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    from videoespresso.tools.from_mcp import close_all  # noqa: PLC0415 - the extra `mcp`

    yield
    close_all()


@pytest.fixture(scope="module")
def station() -> Iterator[str]:
    """The address of a server over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(port)],
        env={"PYTHONPATH": PATHS},
        stderr=subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


def started(**more: Any) -> dict[str, McpServer]:
    env = {"PYTHONPATH": PATHS, **more.pop("env", {})}
    return {
        "weather": McpServer(command=sys.executable, args=(str(SERVER),), env=env, **more),
    }


@pytest.fixture(params=["stdio", "http"])
def servers(request: pytest.FixtureRequest) -> dict[str, McpServer]:
    if request.param == "stdio":
        return started()
    return {"weather": McpServer(url=request.getfixturevalue("station"))}


def tools_of(servers: dict[str, McpServer], *asked: str) -> dict[str, Tool]:
    return {tool.name: tool for tool in load_tools(asked or ["mcp:weather"], servers=servers).tools}


def test_all_tools_of_a_server_are_callable_tools(servers: dict[str, McpServer]) -> None:
    tools = tools_of(servers)
    assert list(tools) == [f"weather.{name}" for name in NAMES]
    forecast: Any = tools["weather.forecast"]
    assert (forecast.needs, forecast.description) == ("call", "The weather in a city.")
    assert forecast.parameters["required"] == ["city"]


def test_a_call_gives_a_finding_and_the_session_stays(servers: dict[str, McpServer]) -> None:
    tool = tools_of(servers, "mcp:weather#forecast")["weather.forecast"]
    texts = []
    for _ in range(2):
        ran = run_tool(tool, request(city="Bonn", days=2))
        assert ran.gap is None
        ((finding),) = ran.findings
        assert finding.time_s == 2.5
        texts.append(finding.text)
    first, second = (int(text.split("asked ")[1].split()[0]) for text in texts)
    assert texts[0].startswith("Bonn: sun for 2 days")
    assert second == first + 1


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("refuse", "no such city"),
        ("picture", "no text"),
        ("forecast", "city"),  # called without it
    ],
)
def test_what_fails_is_a_gap_in_the_tools_own_words(
    servers: dict[str, McpServer], name: str, why: str
) -> None:
    ran = run_tool(tools_of(servers)[f"weather.{name}"], request())
    assert ran.findings == ()
    assert ran.gap is not None
    assert ran.gap.stage == f"tool:weather.{name}"
    assert why in ran.gap.reason


def test_a_server_that_dies_is_a_gap_and_started_anew() -> None:
    tools = tools_of(started())
    ran = run_tool(tools["weather.die"], request())
    assert ran.findings == ()
    assert ran.gap is not None
    again = run_tool(tools["weather.forecast"], request(city="Bonn"))
    assert [f.text for f in again.findings] == ["Bonn: sun for 1 days (asked 1 times)"]


def test_a_tool_that_hangs_is_a_gap_and_the_others_go_on() -> None:
    servers = started(timeout_s=20)
    tools = tools_of(servers)
    ran = run_tool(tools["weather.hang"], request(), timeout_s=0.3)
    assert ran.gap is not None
    assert "no answer within" in ran.gap.reason
    assert run_tool(tools["weather.forecast"], request(city="Bonn")).gap is None


def test_a_call_ends_with_the_time_the_server_has() -> None:
    # enough to start on a busy machine, and short enough to wait for
    tools = tools_of(started(timeout_s=15))
    ran = run_tool(tools["weather.hang"], request())
    assert ran.gap is not None
    assert "the server gave no answer within 15 s" in ran.gap.reason


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (McpServer(command="/no/such/program"), "/no/such/program"),
        (McpServer(command=sys.executable, args=("-c", "raise SystemExit('no licence')")),
         "it said: no licence"),
        (McpServer(command=sys.executable, args=("-c", "import time; time.sleep(600)"),
                   timeout_s=1), "not ready within 1 s"),
        (McpServer(url="http://127.0.0.1:9/mcp", timeout_s=5), "ConnectError"),
        (McpServer(command="x", env={"A_KEY": "${NOBODY_SET_THIS}"}), "NOBODY_SET_THIS is not"),
    ],
    ids=["missing", "says why", "hangs", "no port", "variable"],
)  # fmt: skip
def test_a_server_that_cannot_be_had_is_told(server: McpServer, why: str) -> None:
    with pytest.raises(UserError, match="'weather' cannot be used") as caught:
        tools_of({"weather": server})
    assert why in str(caught.value)
    ((known),) = [k for k in survey([], {"weather": server}) if k.name == "mcp:weather"]
    assert known.tool is None
    assert why in known.reason


def test_what_nobody_described_is_told() -> None:
    with pytest.raises(SettingsError, match="no MCP server 'wether'"):
        load_tools(["mcp:wether"], servers=started())
    with pytest.raises(UserError, match="no tool 'forcast'") as caught:
        load_tools(["mcp:weather#forcast"], servers=started())
    assert "forecast" in caught.value.hint


def test_a_url_needs_no_settings(station: str) -> None:
    (tool,) = load_tools([f"mcp:{station}#forecast"]).tools
    assert tool.name == "weather_station.forecast", "the name the server gives itself"
    assert run_tool(tool, request(city="Bonn")).gap is None


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_STATION_KEY", "not-to-be-seen")
    servers = started(env={"STATION_KEY": "${MY_STATION_KEY}"})
    ran = run_tool(tools_of(servers)["weather.key"], request())
    assert [f.text for f in ran.findings] == ["***"], "passed on, and kept out of findings"


def test_they_work_inside_a_running_event_loop() -> None:
    async def run() -> Any:
        tool = tools_of(started(), "mcp:weather#forecast")["weather.forecast"]
        return await asyncio.to_thread(run_tool, tool, request(city="Bonn"))

    assert asyncio.run(run()).findings


def test_one_is_used_in_an_answer_and_cited(servers: dict[str, McpServer], tmp_path: Path) -> None:
    wanted = calls(("weather_forecast", {"city": "Bonn"}), ("weather_refuse", {}))
    context, chat = calling_context(tmp_path / "cache", in_turn(wanted), mcp=servers)
    video = square_video(tmp_path / "square.mp4", seconds=3)
    ask: Any = {"path": str(video), "question": "Is it sunny?", "options": []}
    graph, context = ask_graph(), context.with_tools(["mcp:weather"])
    for answer in (
        Answer.model_validate(graph.invoke(ask, context=context)["answer"]),
        Answer.model_validate(asyncio.run(graph.ainvoke(ask, context=context))["answer"]),
    ):
        assert answer.answered
        cited = {step.source: step.text for step in answer.evidence}
        assert cited["weather.forecast"].startswith("Bonn: sun")
        assert [gap.stage for gap in answer.gaps] == ["tool:weather.refuse"]
    assert chat.heard[1][-2].content.count("Bonn: sun") == 1, "the model read it"


@pytest.fixture
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose videoespresso.toml describes a server that works and one that does not."""
    given = started()["weather"].model_dump(include={"command", "args", "env"})
    lines = [f"{key} = {json.dumps(value)}" for key, value in given.items() if key != "env"]
    lines += [f"env = {{PYTHONPATH = {json.dumps(given['env']['PYTHONPATH'])}}}"]
    broken = ["[mcp.gone]", 'command = "/no/such/program"']
    (tmp_path / "videoespresso.toml").write_text("\n".join(["[mcp.weather]", *lines, *broken]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings_file, "trusted", lambda sha, environ: True)
    out.cache_clear()
    err.cache_clear()


@pytest.mark.usefixtures("_in_a_folder")
def test_they_are_listed_told_of_and_tried(tmp_path: Path, capsys: Any) -> None:
    assert main(["tools", "list"]) == Exit.ANSWERED
    printed = capsys.readouterr()
    assert "weather.forecast" in printed.out
    assert "count" in printed.out
    assert "the MCP server 'gone' cannot be used" in " ".join(printed.err.split())

    assert main(["tools", "info", "mcp:weather#forecast"]) == Exit.ANSWERED
    assert "city (string)" in capsys.readouterr().out
    assert main(["tools", "info", "mcp:weather"]) == Exit.USER
    assert "Choose one" in capsys.readouterr().err

    video = str(square_video(tmp_path / "square.mp4", seconds=2))
    line = ["tools", "try", "mcp:weather#forecast", video, "--detector", "off", "--json"]
    assert main([*line, "--arg", "city=Bonn"]) == Exit.ANSWERED
    assert "Bonn: sun" in json.loads(capsys.readouterr().out)["findings"][0]["text"]
    assert main(line) == Exit.FAILED


@pytest.mark.usefixtures("_in_a_folder")
def test_settings_carry_them_to_a_question() -> None:
    settings = Settings.load(environ={})
    assert sorted(settings.mcp) == ["gone", "weather"]
    assert tools_of(dict(settings.mcp), "mcp:weather#key")
