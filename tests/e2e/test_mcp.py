"""Our MCP server, as a process, asked by the protocol's own client over stdio and HTTP."""

import asyncio
import base64
import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from videoespresso.api import mcp_server
from videoespresso.cli.app import main
from videoespresso.errors import UserError
from videoespresso.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
START_S = 240
ROOM = str(ROOT / "examples/videos/room.mp4")

extras = pytest.mark.extras
pytestmark = pytest.mark.timeout(900)


Conversation = Callable[[Any], Awaitable[None]]


def environment(cache: Path) -> dict[str, str]:
    paths = os.pathsep.join(filter(None, (str(ROOT / "src"), *sys.path)))
    return {"PYTHONPATH": paths, "VIDEOESPRESSO_CACHE_DIR": str(cache)}


def talk(cache: Path, conversation: Conversation) -> None:
    """Starts the server over stdio, holds the conversation, and ends it."""
    from mcp import ClientSession, StdioServerParameters  # noqa: PLC0415 - an extra
    from mcp.client.stdio import stdio_client  # noqa: PLC0415 - an extra

    server = StdioServerParameters(
        command=sys.executable, args=["-m", "videoespresso", "mcp"], env=environment(cache)
    )

    async def run() -> None:
        with (cache / "log").open("w") as log:
            async with (
                stdio_client(server, log) as (read, write),
                ClientSession(read, write, timedelta(seconds=600)) as client,
            ):
                await client.initialize()
                await conversation(client)

    asyncio.run(run())


def talk_http(cache: Path, conversation: Conversation) -> None:
    """The same over streamable HTTP."""
    from mcp import ClientSession  # noqa: PLC0415 - an extra
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415 - an extra

    async def run(url: str) -> None:
        async with (
            streamable_http_client(url) as (read, write, _),
            ClientSession(read, write, timedelta(seconds=600)) as client,
        ):
            about = await client.initialize()
            assert about.serverInfo.version == version("videoespresso")
            await conversation(client)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "videoespresso", "mcp", "--http", "--port", str(port)]
    with (cache / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **environment(cache)},
            stdout=log,
            stderr=log,
        )
    try:
        give_up = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (cache / "log").read_text()
                assert time.monotonic() < give_up
                time.sleep(0.1)
        asyncio.run(run(f"http://127.0.0.1:{port}/mcp"))
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    log = (cache / "log").read_text()
    assert f"http://127.0.0.1:{port}/mcp" in log
    assert "Traceback" not in log, "a client that leaves is no error"


def said(result: Any) -> str:
    return " ".join(block.text for block in result.content if block.type == "text")


@extras
@pytest.mark.parametrize("over", [talk, talk_http], ids=["stdio", "http"])
def test_every_tool(tmp_path: Path, over: Callable[[Path, Conversation], None]) -> None:
    async def conversation(client: Any) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        names = {"ask", "find_moments", "list_core_frames", "get_frame", "describe"}
        assert set(tools) == names
        assert all(tool.description for tool in tools.values())
        assert "options" in tools["ask"].inputSchema["properties"]

        asked = await client.call_tool("ask", {"video": ROOM, "question": "Who is surprised?"})
        assert not asked.isError, said(asked)
        reply = mcp_server.Reply.model_validate(asked.structuredContent)
        assert reply.core_frames
        assert reply.evidence
        assert json.loads(said(asked))["text"] == reply.text

        given = {"video": ROOM, "question": "Who is surprised?"}
        core = await client.call_tool("list_core_frames", given)
        frames = core.structuredContent["result"]
        assert frames
        assert {f["frame_id"] for f in frames} <= {f.frame_id for f in reply.core_frames}
        assert all(f["why"] for f in frames)

        found = await client.call_tool(
            "find_moments", {"video": ROOM, "query": "somebody is surprised", "most": 3}
        )
        moments = found.structuredContent["moments"]
        assert found.structuredContent["not_captioned_yet"] == []
        assert len(moments) == 3
        assert [m["score"] for m in moments] == sorted((m["score"] for m in moments), reverse=True)

        described = (await client.call_tool("describe", {"video": ROOM})).structuredContent
        assert described["duration_s"] == pytest.approx(20.0, abs=0.5)
        times = [c["time_s"] for c in described["captions"]]
        assert times
        assert times == sorted(times)

        shown = await client.call_tool(
            "get_frame", {"video": ROOM, "time_s": frames[0]["time_s"], "max_side": 200}
        )
        (picture,) = shown.content
        assert picture.mimeType == "image/jpeg"
        assert max(Image.open(io.BytesIO(base64.b64decode(picture.data))).size) == 200

    over(tmp_path, conversation)


@extras
def test_what_is_wrong_is_told_with_the_hint(tmp_path: Path) -> None:
    async def conversation(client: Any) -> None:
        missing = await client.call_tool("ask", {"video": "none.mp4", "question": "Who?"})
        assert missing.isError
        assert "no such file" in said(missing)
        late = await client.call_tool("get_frame", {"video": ROOM, "time_s": 1e6})
        assert late.isError
        assert "It lasts from 0 to" in said(late)
        wrong = await client.call_tool("find_moments", {"video": ROOM, "query": "x", "most": 0})
        assert wrong.isError

    talk(tmp_path, conversation)


@pytest.mark.skipif(importlib.util.find_spec("mcp") is not None, reason="mcp is installed")
def test_without_the_package_the_extra_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="mcp") as caught:
        mcp_server.build_server(Settings.load())
    assert "videoespresso[mcp]" in caught.value.hint
    assert main(["mcp"]) == 2


def test_a_port_is_for_http() -> None:
    assert main(["mcp", "--port", "9000"]) == 2


def test_a_picture_is_of_the_instant_and_the_size() -> None:
    tools = mcp_server.VideoTools(Settings.load())
    picture = Image.open(io.BytesIO(tools.picture(ROOM, 3.0, 320)))
    assert max(picture.size) == 320
