"""`ask-many` as a process: real videos, the embedded pack, an interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.forks import Run

from videoespresso.api.ask_many_records import QuestionResult

ROOT = Path(__file__).resolve().parents[2]
ROOM = str(ROOT / "examples/videos/room.mp4")

LINE = ("ask-many", "q.jsonl", "--out", "a.jsonl", "--json")

pytestmark = pytest.mark.timeout(600)


def environment() -> dict[str, str]:
    paths = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": paths}


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "videoespresso", *LINE, *more]


def written(cwd: Path) -> list[QuestionResult]:
    lines = (cwd / "a.jsonl").read_text().splitlines()
    return [QuestionResult.model_validate_json(line) for line in lines]


def put(cwd: Path, *questions: Any) -> None:
    lines = [q if isinstance(q, str) else json.dumps(q) for q in questions]
    (cwd / "q.jsonl").write_text("\n".join(lines) + "\n")


def test_questions_with_bad_lines_a_torn_end_and_a_second_run(run: Run, tmp_path: Path) -> None:
    who = {"id": "who", "video": ROOM, "question": "Who is surprised?"}
    put(
        tmp_path,
        who,
        "{torn",
        {"id": "gone", "video": "gone.mp4", "question": "Who?"},
        {**who, "id": "which", "options": ["the man in purple", "the dog"]},
    )
    first = run(*LINE)
    assert first.returncode == 2, first.stderr
    assert "Traceback" not in first.stderr
    assert "[4/4]" in first.stderr
    summary = json.loads(first.stdout)
    assert (summary["failed"], summary["left"], summary["known"]) == (2, 0, 0)
    records = {asked.id or "torn": asked for asked in written(tmp_path)}
    assert set(records) == {"who", "torn", "gone", "which"}
    assert "no such file" in str(records["gone"].error)
    assert records["who"].answer
    assert records["who"].answer.core_frames
    looked = [a.answer.work.decoded for a in records.values() if a.answer]
    assert sorted(looked)[0] == 0, "the second question about a video decodes nothing"

    whole = (tmp_path / "a.jsonl").read_bytes()
    (tmp_path / "a.jsonl").write_bytes(whole[:-40])
    second = json.loads(run(*LINE, "--quiet").stdout)
    assert (second["known"], second["left"]) == (3, 0)
    assert {a.key for a in written(tmp_path)} == {a.key for a in records.values()}


def test_an_interruption_keeps_what_is_answered(run: Run, tmp_path: Path) -> None:
    """The second question waits for a reasoner that never answers; Ctrl-C twice."""
    put(tmp_path, "{bad", {"id": "slow", "video": ROOM, "question": "Who is surprised?"})
    with fake.Server([fake.hang()]) as server:
        process = subprocess.Popen(
            command("--model", f"reasoner=openai:slow@{server.url}", "--jobs", "1"),
            cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stderr
        for shown in process.stderr:
            if shown.startswith("[1/2]"):
                break
        while not server.requests:
            assert process.poll() is None, "it ended before the reasoner was asked"
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        for shown in process.stderr:
            if "Ctrl-C again" in shown:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "1 of 2 questions are in a.jsonl: the same command asks the rest" in err
    assert "Traceback" not in err
    assert json.loads(out)["left"] == 1
    assert len(written(tmp_path)) == 1
    again = json.loads(run(*LINE, "--quiet").stdout)
    assert (again["known"], again["left"]) == (1, 0)
