"""`videoespresso chat` in a process of its own: on a pipe, and on a pseudo-terminal."""

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Self

import pytest
from tests.helpers.forks import Run

from videoespresso.types import Answer

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "examples/videos/room.mp4"
COMMAND = (sys.executable, "-m", "videoespresso", "chat")

pytestmark = pytest.mark.timeout(900)


def environment(cache: Path) -> dict[str, str]:
    paths = os.pathsep.join(
        filter(None, (str(ROOT / "src"), str(cache), os.environ.get("PYTHONPATH")))
    )
    return os.environ | {
        "PYTHONPATH": paths,
        "COLUMNS": "120",
        "TERM": "xterm",
        "VIDEOESPRESSO_CACHE_DIR": str(cache),
    }


def piped(run: Run, said: str, *words: str) -> subprocess.CompletedProcess[str]:
    return run("chat", *words, said=said)


def test_a_pipe_gets_one_answer_a_line_and_the_chat_can_be_resumed(run: Run) -> None:
    done = piped(run, "Who is surprised?\n\nand after that?\n", str(SAMPLE), "--json", "-v")
    assert done.returncode in (0, 3), done.stderr
    first, second = map(Answer.model_validate_json, done.stdout.splitlines())
    assert first.work.decoded > 0
    assert second.work.remembered >= first.work.decoded
    assert f"{first.work.decoded} frames looked at, 0 of them decoded now" in done.stderr
    if first.evidence:
        assert second.question.startswith("What happens right after ")
    again = piped(run, "/threads\n/cost\n/nothing\n", "--resume")
    assert again.returncode == 2, "the first code that is not 0"
    assert "2 turns  room.mp4  and after that?" in again.stdout
    assert "no command /nothing" in again.stderr
    assert "Traceback" not in again.stderr
    kept = piped(run, "", "--list")
    assert "2 turns  room.mp4  and after that?" in kept.stdout
    assert kept.returncode == 0
    assert run("cache", "clear", "--chats", "--yes").returncode == 0
    assert "no chat is kept" in piped(run, "", "--list").stderr
    gone = piped(run, "/threads\n", "--resume")
    assert "no chat to resume" in gone.stderr


def test_a_choice_in_a_chat(run: Run) -> None:
    typed = "/option a dog | the man in purple\nWho is surprised?\nWho is surprised?\n"
    done = piped(run, typed, str(SAMPLE), "--json")
    first, second = map(Answer.model_validate_json, done.stdout.splitlines())
    assert first.options == ("a dog", "the man in purple")
    assert first.choice is not None
    assert first.text == first.options[first.choice]
    assert (second.options, second.choice) == ((), None)
    assert "(B) the man in purple" in done.stderr


def test_a_chat_that_cannot_be(run: Run) -> None:
    for arguments, said in (
        ((), "a chat needs a video"),
        (("none.mp4",), "no such file"),
        (("--resume",), "no chat to resume"),
        (("--resume", "ffffff"), "no chat 'ffffff'"),
        (("--resume", "a", "b"), "--resume takes one chat"),
    ):
        done = piped(run, "", *arguments)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr


READY = "<ready>"
"""In the place of what the prompt says to the terminal when it begins to read (bracketed paste)."""


class Terminal:
    """The command on a pseudo-terminal: what is typed, and what is then shown."""

    def __init__(self, cache: Path, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 120))
        self.fd = ours
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(cache),
            cwd=cache,
            start_new_session=True,
            # Ctrl-C reaches the process only where the terminal is its controlling one
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
        )
        os.close(theirs)
        self.seen = ""

    def type(self, text: str) -> None:
        self.seen = ""
        os.write(self.fd, text.encode())

    def wait(self, pattern: str, seconds: float = 240) -> str:
        """What was shown until the pattern came."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.seen, re.DOTALL):
            assert self.process.poll() is None or select.select([self.fd], [], [], 0)[0], self.seen
            assert time.monotonic() < end, f"{pattern!r} never came:\n{self.seen}"
            ready, _, _ = select.select([self.fd], [], [], 1.0)
            if not ready:
                continue
            piece = os.read(self.fd, 65536).decode("utf-8", "replace")
            if "\x1b[6n" in piece:  # the prompt asks where the cursor is, as terminals are asked
                os.write(self.fd, b"\x1b[1;1R")
            piece = piece.replace("\x1b[?2004h", READY)
            self.seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]", "", piece)
        return self.seen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.fd)


SLOW = """
import time

class Slow:
    name, description, needs = "slow", "Takes its time.", "frames"

    def run(self, request):
        time.sleep(100)
        return []
"""


def test_a_session_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    with Terminal(tmp_path, str(SAMPLE), "-v") as terminal:
        terminal.wait(f"Ctrl-D leaves.*{READY}")
        terminal.type("Who is surprised?\r")
        terminal.wait(f"sample +31 frames.*model calls.*{READY}")
        terminal.type("/tools slow:Slow\r")
        terminal.wait(f"on +slow.*{READY}")
        terminal.type("Why does the\x1b\rman smile?\r")
        terminal.wait("ground ")
        os.write(terminal.fd, b"\x03")
        shown = terminal.wait(f"stopped; .*{READY}", seconds=60)
        assert "Traceback" not in shown
        terminal.type("/tools off\r")
        terminal.wait(READY)
        terminal.type("/fra\t")
        terminal.wait("/frames|mes")
        terminal.type("\r")
        shown = terminal.wait(rf"0:\d\d\.\d  .*{READY}")
        assert "▄" in shown, "this terminal has no protocol for pictures: they are of half blocks"
        assert ".jpg" not in shown
        terminal.type("not sent\x03")
        terminal.wait(READY)
        terminal.type("/cost\r")
        shown = terminal.wait(rf"1\. .*all: \d+ model calls.*{READY}")
        assert "2. " not in shown, "what was stopped is no turn"
        assert "not sent" not in shown
        terminal.type("\x04")
        terminal.wait("chat --resume [0-9a-f]{6}")
        assert terminal.process.wait(60) == 0
