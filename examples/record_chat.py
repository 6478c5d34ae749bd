"""Records the chat in the README: `python examples/record_chat.py` from the checkout.

Every question goes to the real command, in one thread, each as a session that is resumed, with a
new cache, so that what is printed is what a first chat shows. Of the steps only those are kept that
say how a question was understood and what was decoded for it. The block under the marker in
README.md is replaced.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VIDEOS = Path("examples/videos")
MARKER = "<!-- not run: recorded by examples/record_chat.py -->"
SAID = (
    "Who is surprised?",
    "and before?",
    "why?",
    "Why does the white car stop in street.mp4?",
    "and after that?",
)
LEFT_OUT = re.compile(
    r"(?:probe|caption|remember|filter|select|ground|use_tools|evidence|answer|check|look_again) +"
    r"\S|note: "
)


def recorded() -> Iterator[str]:
    """The lines of the chat. Raises CalledProcessError where a question could not be asked."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"VIDEOESPRESSO_CACHE_DIR": cache}
        start = [str(VIDEOS / "room.mp4"), str(VIDEOS / "street.mp4")]
        for number, said in enumerate(SAID):
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "videoespresso",
                    "chat",
                    *(["--resume"] if number else start),
                ],
                input=f"{said}\n",
                env=environment,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if done.returncode not in (0, 3):  # answered, or said not to be
                raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout)
            yield f"> {said}"
            yield from (line for line in done.stdout.splitlines() if not LEFT_OUT.match(line))
            yield ""


def main() -> int:
    """Puts the recording into the README."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    block = re.compile(rf"({re.escape(MARKER)}\n```text\n).*?(\n```\n)", re.DOTALL)
    if not block.search(text):
        sys.stderr.write(f"README.md has no block under {MARKER}\n")
        return 1
    chat = "\n".join(recorded()).rstrip()
    readme.write_text(block.sub(lambda m: f"{m[1]}{chat}{m[2]}", text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
