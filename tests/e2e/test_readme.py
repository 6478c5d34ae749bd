"""The README does what it says: its commands are run, in order, as written.

A block that cannot run here (it needs a key, a GPU, a server) says so in the line above it:
`<!-- not run: needs OPENAI_API_KEY -->`.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
CHAT = ROOT / "docs/chat.md"
EXCUSE = re.compile(r"<!-- not run: (\S.*?) -->")

pytestmark = pytest.mark.timeout(1200)  # `make demo` may have to install the core first


class Block(NamedTuple):
    """A fenced block: its language, first line in the file, text, and why it is not run."""

    language: str
    line: int
    text: str
    excuse: str | None


def blocks(text: str) -> list[Block]:
    """All fenced blocks with a language. Raises ValueError for a fence that is never closed."""
    found: list[Block] = []
    lines = text.splitlines()
    above, start = "", None
    for number, line in enumerate(lines):
        if start is None and line.startswith("```"):
            start = number
        elif start is not None and line == "```":
            language = lines[start][3:].strip()
            excuse = EXCUSE.fullmatch(above)
            inside = "\n".join(lines[start + 1 : number])
            if language:
                found.append(Block(language, start + 2, inside, excuse[1] if excuse else None))
            start, above = None, ""
        elif start is None and line.strip():
            above = line.strip()
    if start is not None:
        raise ValueError(f"line {start + 1}: the block is never closed")
    return found


def runnable() -> list[Block]:
    known = ("bash", "python")
    return [b for b in blocks(README.read_text()) if b.language in known and not b.excuse]


def execute(*command: str) -> None:
    """In the checkout, with this environment's commands first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"


def run_block(block: Block) -> None:
    """Runs a block as written; a warning in Python is an error."""
    if block.language == "bash":
        execute("bash", "-euo", "pipefail", "-c", block.text)
    else:
        execute(sys.executable, "-W", "error", "-c", block.text)


@pytest.mark.usefixtures("as_a_reader")
@pytest.mark.parametrize("block", runnable(), ids=lambda b: f"line {b.line}")
def test_it_does_what_it_says(block: Block) -> None:
    run_block(block)


def test_the_recorded_chat_is_one_of_today() -> None:
    """What is asked, and what is decoded for it; what the pack answers may differ by processor."""
    spec = importlib.util.spec_from_file_location("record_chat", ROOT / "examples/record_chat.py")
    assert spec is not None
    assert spec.loader is not None
    recorder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recorder)
    recorded = CHAT.read_text().partition(f"{recorder.MARKER}\n```text\n")[2].partition("```")[0]
    told = re.compile("> |sample ")
    today = [line for line in recorder.recorded() if told.match(line)]
    assert len(today) == 2 * len(recorder.SAID) == 10
    assert today == [line for line in recorded.splitlines() if told.match(line)]


def test_the_first_command_is_run_and_the_second_is_this_one() -> None:
    commands = [b for b in blocks(README.read_text()) if b.language == "bash"]
    assert any("make demo" in b.text and not b.excuse for b in commands)
    assert any("make test" in b.text and b.excuse for b in commands), "it would run itself"


def test_a_block_without_an_excuse_is_run() -> None:
    text = (
        "<!-- not run: needs a key -->\n\n```bash\na\n```\n"
        "```bash\nb\n```\nwords\n```\noutput\n```\n<!-- not run: -->\n```bash\nc\n```\n"
    )
    assert [(b.line, b.text, b.excuse) for b in blocks(text)] == [
        (4, "a", "needs a key"),
        (7, "b", None),
        (15, "c", None),
    ]
    with pytest.raises(ValueError, match="line 1"):
        blocks("```bash\na\n")
