"""The command itself, in a process of its own, on a real video with the embedded pack.

The first question, the help and whatever is interrupted start as a user starts them; the others are
forks of one process (`tests/helpers/forks.py`), which has what they would import.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.helpers import chat_server as fake
from tests.helpers.forks import Run

from videoespresso.types import Answer, Usage

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "examples/videos/room.mp4"
QUESTION = "Who is surprised?"
"""The demo's: the checker is content with the first look, so nothing is looked at twice."""
COMMAND = (sys.executable, "-m", "videoespresso")

pytestmark = pytest.mark.timeout(600)


def environment(**more: str) -> dict[str, str]:
    paths = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": paths, "COLUMNS": "120", **more}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, subprocess.CompletedProcess[str]]:
    """The first question on the sample video: the cache it filled, and what it showed."""
    folder = tmp_path_factory.mktemp("warm")
    line = [*COMMAND, "ask", str(SAMPLE), QUESTION, "-v"]
    env = environment(VIDEOESPRESSO_CACHE_DIR=str(folder))
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(folder), done


@pytest.fixture
def warm(first: tuple[str, object]) -> str:
    """A cache in which the sample video has been looked at."""
    return first[0]


def test_the_help_needs_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from videoespresso.cli.app import main; code = main(['ask', '--help']); "
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "typer" in loaded
    assert loaded & {
        "torch", "chromadb", "langgraph", "langchain_core", "numpy", "PIL", "av", "decord",
        "onnxruntime", "wordllama", "jinja2",
    } == set()  # fmt: skip


def test_a_question_is_answered_with_its_evidence(run: Run, warm: str, tmp_path: Path) -> None:
    done = run(
        "ask", SAMPLE, QUESTION, "--json", "--report", "r.html",
        VIDEOESPRESSO_CACHE_DIR=warm,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = Answer.model_validate_json(done.stdout)
    assert answer.answered
    assert answer.core_frames
    assert answer.evidence
    assert answer.work.decoded == 0, "the second question on a video decodes nothing"
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/jpeg;base64,") == len(answer.core_frames)


def test_what_it_will_take_is_said_before_the_first_caption(
    first: tuple[str, subprocess.CompletedProcess[str]],
) -> None:
    lines = first[1].stderr.splitlines()
    (plan,) = [
        k
        for k, line in enumerate(lines)
        if re.fullmatch(r"31 frames, about \d+ calls, \$0.00", line)
    ]
    assert plan < next(k for k, line in enumerate(lines) if line.startswith("caption "))
    assert re.search(r"\d\.\d s, of which models \d+\.\d s", first[1].stdout)


def test_without_a_terminal_little_is_said_and_nothing_with_quiet(run: Run, warm: str) -> None:
    done = run("ask", SAMPLE, QUESTION, "--json", VIDEOESPRESSO_CACHE_DIR=warm)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert lines[0] == "31 frames, all known from before, about 4 calls, $0.00"
    assert len(lines) < 4, "a line every ten seconds at most"
    quiet = run("ask", SAMPLE, QUESTION, "--json", "-q", VIDEOESPRESSO_CACHE_DIR=warm)
    assert quiet.stderr == ""
    one, other = map(Answer.model_validate_json, (done.stdout, quiet.stdout))
    assert one.model_copy(update={"usage": {}}) == other.model_copy(update={"usage": {}})


def test_steps_are_shown_as_they_happen_and_not_in_the_answer(
    first: tuple[str, subprocess.CompletedProcess[str]],
) -> None:
    done = first[1]
    steps = [line.split()[0] for line in done.stderr.splitlines() if line]
    order = ["sample", "caption", "filter", "select", "answer"]
    assert [step for step in steps if step in order] == order
    assert "core frames:" in done.stdout


def test_a_name_that_begins_with_a_dash(run: Run, warm: str, tmp_path: Path) -> None:
    shutil.copy(SAMPLE, tmp_path / "-clip #1.mp4")
    done = run("ask", "--quiet", "--", "-clip #1.mp4", QUESTION, VIDEOESPRESSO_CACHE_DIR=warm)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_name_that_is_no_text(run: Run, warm: str, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(SAMPLE, tmp_path / name)
    done = run(
        "ask", name, QUESTION, "--json", "--report", "r.html",
        VIDEOESPRESSO_CACHE_DIR=warm,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["video"]["path"].endswith(name)
    assert (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("missing.mp4", None), ("empty.mp4", b""), ("text.mp4", b"not a video\n" * 99)],
)
def test_what_is_no_video_is_the_users_to_mend(
    run: Run, tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run("ask", name, QUESTION, "--json")
    assert done.returncode == 2
    assert done.stdout == ""
    *_note, error, hint = done.stderr.strip().splitlines()
    assert name in error
    assert error.startswith("error: ")
    assert hint.startswith("hint:  ")


def test_a_server_that_is_not_there(run: Run, warm: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        spec = f"openai:nobody@http://127.0.0.1:{free.getsockname()[1]}/v1"
        done = run(
            "ask", SAMPLE, QUESTION, "--model", f"reasoner={spec}",
            VIDEOESPRESSO_CACHE_DIR=warm,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert "nothing answers at http://127.0.0.1" in done.stderr
        assert "looked at" not in done.stderr


def test_a_limit_ends_with_what_is_known(run: Run) -> None:
    done = run("ask", SAMPLE, QUESTION, "--max-calls", "1")
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert "1 model calls" in done.stderr


def hanging(server: fake.Server, folder: Path, role: str, **more: str) -> "subprocess.Popen[str]":
    """`ask` of which a role never answers, as far as that it was asked."""
    slow = f"{role}=openai:slow@{server.url}"
    process = subprocess.Popen(
        [*COMMAND, "ask", str(SAMPLE), QUESTION, "--profile", "embedded", "--model", slow],
        cwd=folder, env=environment(**more), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while not server.requests:
        assert process.poll() is None, "it ended before the role was asked"
        time.sleep(0.05)
    return process


def test_a_second_interruption_leaves_at_once(tmp_path: Path) -> None:
    """Captions are asked for by threads, which the first waits for; one that comes while they are
    being started may have nothing to wait for, and leaves: then another run is interrupted."""
    for _ in range(5):
        with fake.Server([fake.hang()]) as server:
            process = hanging(server, tmp_path, "captioner")
            process.send_signal(signal.SIGINT)
            assert process.stderr
            waits = any("Ctrl-C again leaves at once" in shown for shown in process.stderr)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        assert "Traceback" not in err
        if waits:
            return
    pytest.fail("no run was waited for")


def test_an_interruption_keeps_finished_work(run: Run, tmp_path: Path) -> None:
    """Interrupted while a reasoner that never answers is waited for, as long as a call may take."""
    with fake.Server([fake.hang()]) as server:
        process = hanging(server, tmp_path, "reasoner", VIDEOESPRESSO_TIMEOUT_S="4")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert out == ""
    assert "Ctrl-C again leaves at once" in err
    assert "interrupted; " in err
    assert "Traceback" not in err
    assert len(server.requests) == 1, "it was not asked again"
    again = run("ask", SAMPLE, QUESTION, "--json")
    answer = Answer.model_validate_json(again.stdout)
    asked = answer.usage.get("captioner", Usage())
    assert asked.calls == 0, "no caption is asked for twice"
    assert asked.cached_calls + answer.work.remembered > 0


def test_a_reader_that_goes_away_is_no_error(warm: str, tmp_path: Path) -> None:
    shell = (
        '"$0" -m videoespresso ask "$1" "$2" --quiet --json | head -c 1; exit "${PIPESTATUS[0]}"'
    )
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, str(SAMPLE), QUESTION],
        cwd=tmp_path,
        env=environment(VIDEOESPRESSO_CACHE_DIR=warm),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "{"
    assert done.stderr == ""


def counted(shown: str) -> dict[str, str]:
    """The number column of `cache show`."""
    rows = [line.split() for line in shown.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1}


def test_the_cache_is_shown_and_cleared(run: Run, warm: str, tmp_path: Path) -> None:
    shutil.copytree(warm, tmp_path / "cache")
    where = {"VIDEOESPRESSO_CACHE_DIR": str(tmp_path / "cache")}
    shown = run("cache", "show", **where)
    assert shown.returncode == 0, shown.stderr
    counts = counted(shown.stdout)
    assert int(counts["frames"]) > 0
    assert int(counts["replies"]) > 0
    assert run("cache", "clear", "--yes", **where).returncode == 0
    shown = run("cache", "show", **where)
    after = counted(shown.stdout)
    assert after["frames"] == "0"
    assert after["replies"] == counts["replies"], "what was paid for stays until it is named"
    assert run("cache", "clear", "--replies", "--yes", **where).returncode == 0
    shown = run("cache", "show", **where)
    assert "replies   0" in " ".join(shown.stdout.split()).replace("replies 0", "replies   0")


def test_the_memory_is_counted_and_rebuilt(run: Run, warm: str, tmp_path: Path) -> None:
    shutil.copytree(warm, tmp_path / "cache")
    where = {"VIDEOESPRESSO_CACHE_DIR": str(tmp_path / "cache")}
    before = run("memory", "stats", **where)
    assert before.returncode == 0, before.stderr
    for index in (tmp_path / "cache/memory").glob("index-*"):
        shutil.rmtree(index)
    after = run("memory", "rebuild", **where)
    assert after.returncode == 0, after.stderr
    kept = [line for line in before.stdout.splitlines() if not line.startswith("size")]
    assert [line for line in after.stdout.splitlines() if not line.startswith("size")] == kept


def test_the_doctor_finds_nothing_wrong(run: Run) -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    checked = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ok")]
    assert {
        "settings",
        "cache",
        "pyav",
        "pack",
        "captioner",
        "selector",
        "reasoner",
        "checker",
    } <= (set(checked))


def test_the_doctor_says_what_is_wrong(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(
        "doctor", "--model", "reasoner=openai:x", "--detector", "onnx:none.onnx",
        VIDEOESPRESSO_CACHE_DIR=str(tmp_path / "file"),
    )  # fmt: skip
    assert done.returncode == 4
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failed == ["cache", "captioner", "selector", "reasoner", "checker", "detector"]
    assert "OPENAI_API_KEY" in done.stdout
