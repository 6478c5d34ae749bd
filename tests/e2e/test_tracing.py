"""Tracing by the usual variables: names, roles and usage leave this process; pixels and keys never.

The command runs as a user's does; LangSmith, a collector of OpenTelemetry and the model's server
are recorded on this machine.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import chat_server as fake

ROOT = Path(__file__).resolve().parents[2]
ROOM = str(ROOT / "examples/videos/room.mp4")
SECRETS = {
    "OPENAI_API_KEY": "sk-not-to-be-seen-1234",
    "LANGSMITH_API_KEY": "lsv2_not_to_be_seen_99",
}
PIXELS = re.compile(rb"data:image|base64|[A-Za-z0-9+/]{200,}")
NODES = {"ask", "probe", "sample", "caption", "filter", "select", "evidence", "answer", "check"}

pytestmark = pytest.mark.timeout(300)

INFO = {
    "version": "0",
    "batch_ingest_config": {
        "use_multipart_endpoint": False,
        "size_limit": 100,
        "size_limit_bytes": 20_000_000,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
    },
}
"""What LangSmith says of itself: plain JSON is welcome, so that it can be searched here."""


class Endpoint:
    """Takes whatever is posted; `posted` has the path and the body of each, in order."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(INFO)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert "Content-Encoding" not in self.headers, "it could not be searched"
                outer.posted.append((self.path, body))
                self._reply({})

            def _reply(self, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def runs(self) -> list[dict[str, Any]]:
        """The runs as LangSmith's client posted them."""
        bodies = [json.loads(body) for path, body in self.posted if path == "/runs/batch"]
        return [run for body in bodies for key in ("post", "patch") for run in body.get(key, [])]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


STEPS = {"steps": [{"frame": 1, "text": "the man in purple is surprised", "items": []}]}
ANSWER = {"answered": True, "answer": "the man in purple", "choice": None}


def ask(cache: Path, **variables: str) -> list[dict[str, Any]]:
    """A question, with a reasoner behind HTTP; returns what that was sent."""
    with fake.Server([fake.say(json.dumps(STEPS)), fake.say(json.dumps(ANSWER))]) as server:
        model = f"reasoner=openai:tester@{server.url}"
        environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("LANG", "OTEL_"))},
            **SECRETS,
            **variables,
            "VIDEOESPRESSO_CACHE_DIR": str(cache),
            "PYTHONPATH": str(ROOT / "src"),
        }
        line = [sys.executable, "-m", "videoespresso", "ask", ROOM, "Who is surprised?"]
        done = subprocess.run(
            [*line, "--profile", "embedded", "--model", model],
            env=environ,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return server.requests


def check_no_pixels_and_keys(endpoint: Endpoint) -> None:
    assert endpoint.posted
    for path, body in endpoint.posted:
        found = PIXELS.search(body)
        assert found is None, (path, body[max(0, found.start() - 200) : found.end()])
        for secret in SECRETS.values():
            assert secret.encode() not in body


def test_langsmith_gets_names_roles_and_usage_and_no_pixels(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    sent = ask(tmp_path, LANGSMITH_TRACING="true", LANGSMITH_ENDPOINT=endpoint.url)
    assert "data:image/jpeg;base64," in json.dumps(sent), "the model sees the frames"
    check_no_pixels_and_keys(endpoint)
    runs = endpoint.runs()
    assert {run["name"] for run in runs} >= NODES
    calls = [run for run in runs if run.get("run_type") == "llm" and run.get("outputs")]
    metadata = [run["extra"]["metadata"] for run in calls]
    assert {about["role"] for about in metadata} == {
        "captioner",
        "selector",
        "reasoner",
        "checker",
    }
    assert all(about["usage_metadata"]["output_tokens"] > 0 for about in metadata)
    assert len({run["trace_id"] for run in calls}) == 1, "all of one question in one trace"
    assert any("[image " in json.dumps(run["inputs"]) for run in calls), "a name for each"


def test_nothing_is_traced_unless_it_is_asked_for(endpoint: Endpoint, tmp_path: Path) -> None:
    ask(tmp_path, LANGSMITH_ENDPOINT=endpoint.url)
    assert endpoint.posted == []


@pytest.mark.extras
def test_opentelemetry_gets_the_same_through_langsmiths_mode(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    on = dict.fromkeys(
        ("LANGSMITH_TRACING", "LANGSMITH_OTEL_ENABLED", "LANGSMITH_OTEL_ONLY"), "true"
    )
    ask(
        tmp_path,
        LANGSMITH_ENDPOINT=endpoint.url,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint.url,
        **on,
    )
    assert {path for path, _ in endpoint.posted} == {"/v1/traces"}
    check_no_pixels_and_keys(endpoint)
    everything = b"".join(body for _, body in endpoint.posted)
    for word in (*NODES, "captioner", "reasoner", "gen_ai.usage.output_tokens"):
        assert word.encode() in everything
