"""docs/tools.md does what it says, as the README does."""

import re
import sys
from pathlib import Path

import pytest
from tests.e2e.test_readme import Block, blocks, execute

from videoespresso.tools.registry import BUILT_IN

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/tools.md").read_text()
RUN = [b for b in blocks(TEXT) if b.language in ("bash", "python") and not b.excuse]

pytestmark = pytest.mark.timeout(1200)


@pytest.mark.usefixtures("as_a_reader")
@pytest.mark.parametrize("block", RUN, ids=lambda b: f"line {b.line}")
def test_it_does_what_it_says(block: Block) -> None:
    if block.language == "bash":
        execute("bash", "-euo", "pipefail", "-c", block.text)
    else:
        execute(sys.executable, "-W", "error", "-c", block.text)


def test_every_built_in_tool_is_told_of() -> None:
    told = re.findall(r"^\| `(\w+)` \|[^|]+\|[^|]+\|[^|]*\|$", TEXT, re.MULTILINE)
    assert told == [entry.name for entry in BUILT_IN]
