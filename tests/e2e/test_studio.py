"""`langgraph dev` on langgraph.json: the server answers over HTTP, and nothing blocks its loop."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from videoespresso.dataset_record import DatasetItem
from videoespresso.types import Answer, ChatTurn

ROOT = Path(__file__).resolve().parents[2]
ROOM = ROOT / "examples/videos/room.mp4"
START_S = 240
END_S = 30

pytestmark = [pytest.mark.extras, pytest.mark.timeout(900)]


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=400) as reply:
        return json.load(reply)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server keeps its state in the current folder, which must not be the checkout."""
    made = tmp_path_factory.mktemp("studio")
    shutil.copy(ROOT / "langgraph.json", made)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """The server's address; its log is in `folder/log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
    more = {
        "PYTHONPATH": str(ROOT / "src"),
        "VIDEOESPRESSO_CACHE_DIR": str(folder / "cache"),
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGSMITH_TRACING": "false",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder, env=os.environ | more, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, process, folder)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Until the server answers, or is known not to."""
    give_up = time.monotonic() + START_S
    while True:
        try:
            assert call(f"{url}/ok")["ok"] is True
            return
        except (urllib.error.URLError, OSError):
            said = (folder / "log").read_text(errors="replace")
            assert process.poll() is None, said
            assert time.monotonic() < give_up, said
            time.sleep(0.5)


GRAPHS = {
    "ask": ({"probe", "select", "evidence", "finish"}, {"path", "question", "options"}),
    "chat": ({"understand", "ask", "note"}, {"said", "videos"}),
    "dataset": ({"caption", "group", "questions"}, {"path"}),
}
"""Nodes and keys of the input by graph."""


def test_every_graph_is_tested() -> None:
    assert set(json.loads((ROOT / "langgraph.json").read_text())["graphs"]) == set(GRAPHS)


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_graph_is_there_with_its_nodes_and_input(server: str, graph: str) -> None:
    (assistant,) = call(f"{server}/assistants/search", {"graph_id": graph})
    name = assistant["assistant_id"]
    nodes, keys = GRAPHS[graph]
    assert nodes <= {node["id"] for node in call(f"{server}/assistants/{name}/graph")["nodes"]}
    schema = call(f"{server}/assistants/{name}/schemas")["input_schema"]
    assert keys <= set(schema["properties"])


@pytest.mark.parametrize("options", [{}, {"options": ["a man", "a dog"]}], ids=["free", "options"])
def test_a_question_is_answered_with_core_frames(
    server: str, folder: Path, options: dict[str, Any]
) -> None:
    given = {"path": str(ROOM), "question": "Who is surprised?", **options}
    values = call(f"{server}/runs/wait", {"assistant_id": "ask", "input": given})
    assert "answer" in values, values
    answer = Answer.model_validate(values["answer"])
    assert answer.core_frames
    assert answer.evidence
    assert answer.video.path == str(ROOM)
    assert "Blocking" not in (folder / "log").read_text(errors="replace")


def test_a_follow_up_on_one_thread_knows_what_was_asked(server: str, folder: Path) -> None:
    thread = call(f"{server}/threads", {})["thread_id"]
    turns: list[Any] = []
    for said in ("Who is surprised?", "Why?"):
        given = {"said": said, "videos": [str(ROOM)]}
        body = {"assistant_id": "chat", "input": given}
        values = call(f"{server}/threads/{thread}/runs/wait", body)
        assert "turns" in values, values
        turns = [ChatTurn.model_validate(turn) for turn in values["turns"]]
    first, second = turns
    assert first.frames
    assert second.said == "Why?"
    assert second.question != "Why?", "it is made to stand alone"
    assert second.work.remembered >= first.work.decoded + first.work.remembered > 0
    kept = call(f"{server}/threads/{thread}/state")
    assert [turn["said"] for turn in kept["values"]["turns"]] == ["Who is surprised?", "Why?"]
    assert "Blocking" not in (folder / "log").read_text(errors="replace")


def test_a_video_becomes_records_and_the_same_ones_again(server: str, folder: Path) -> None:
    body = {"assistant_id": "dataset", "input": {"path": str(ROOM)}}
    first, second = (call(f"{server}/runs/wait", body) for _ in range(2))
    assert [DatasetItem.model_validate(item).id for item in first["items"]]
    assert second["items"] == first["items"]
    assert "Blocking" not in (folder / "log").read_text(errors="replace")


def test_a_video_that_is_missing_is_told(server: str) -> None:
    given = {"path": "none.mp4", "question": "Who?"}
    try:
        told = str(call(f"{server}/runs/wait", {"assistant_id": "ask", "input": given}))
    except urllib.error.HTTPError as error:
        told = error.read().decode()
    assert "VideoError" in told
