"""Records the chat in docs/chat.md: `python examples/record_chat.py` from the checkout.

The real command runs on a pseudo-terminal with a new cache, and the questions are typed into it.
Of the steps only those are kept that say how a question was understood and what was decoded for
it. The block under the marker in docs/chat.md is replaced.
"""

import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VIDEOS = ("examples/videos/room.mp4", "examples/videos/street.mp4")
MARKER = "<!-- not run: recorded by examples/record_chat.py -->"
SAID = (
    "Who is surprised?",
    "why?",
    "and before?",
    "What happens right after the white car stops in street.mp4?",
    "and after that?",
)
LEFT_OUT = re.compile(
    r"(?:probe|caption|remember|filter|select|ground|use_tools|evidence|answer|check|look_again) +"
    r"\S|note: |\d+ frames, "
)
PROMPT = b"\x1b[?2004h"
"""What the prompt sends when it is ready: pasted text is to be marked."""
WHERE = b"\x1b[6n"
"""The terminal is asked where its cursor is."""
WIPED = re.compile(r"[^\n]*\n?\r*(?:\x1b\[1A)?\x1b\[2K")
"""A line that went away again: what was under way."""
HIDDEN = re.compile(r"\x1b\[\?25[hl]")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")
LONGEST_S = 600


def shown(terminal: int) -> str:
    """What is written until the prompt is there, without what only a terminal needs."""
    seen, end = b"", time.monotonic() + LONGEST_S
    while PROMPT not in seen:
        if not select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError(seen.decode())
        piece = os.read(terminal, 65536)
        if WHERE in piece:
            os.write(terminal, b"\x1b[1;1R")
        seen += piece
    text = HIDDEN.sub("", seen.partition(PROMPT)[0].decode())
    return CONTROL.sub("", WIPED.sub("", text))


def recorded() -> Iterator[str]:
    """The lines of the chat."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, 200))
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"VIDEOESPRESSO_CACHE_DIR": cache, "TERM": "xterm"}
        command = [sys.executable, "-m", "videoespresso", "chat", "-v", *VIDEOS]
        chat = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT
        )
        try:
            shown(ours)
            for message in SAID:
                os.write(ours, f"{message}\r".encode())
                _typed, first, rest = shown(ours).partition("understand ")
                yield f"> {message}"
                lines = [line.rstrip() for line in f"{first}{rest}".splitlines()]
                yield from (line for line in lines if not LEFT_OUT.match(line))
                yield ""
            os.write(ours, b"\x04")
            chat.wait(LONGEST_S)
        finally:
            chat.kill()
            chat.wait()
            os.close(theirs)
            os.close(ours)


def main() -> int:
    """Puts the recording into the guide."""
    guide = ROOT / "docs/chat.md"
    text = guide.read_text(encoding="utf-8")
    block = re.compile(rf"({re.escape(MARKER)}\n```text\n).*?(\n```\n)", re.DOTALL)
    if not block.search(text):
        sys.stderr.write(f"docs/chat.md has no block under {MARKER}\n")
        return 1
    chat = "\n".join(recorded()).rstrip()
    guide.write_text(block.sub(lambda m: f"{m[1]}{chat}{m[2]}", text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
