"""docs/python.md does what it says: its blocks are run as the README's are."""

from pathlib import Path

import pytest
from tests.e2e.test_readme import Block, blocks, run_block

GUIDE = Path(__file__).resolve().parents[2] / "docs/python.md"
BLOCKS = blocks(GUIDE.read_text())

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if not b.excuse], ids=lambda b: f"line {b.line}"
)
def test_it_does_what_it_says(block: Block) -> None:
    run_block(block)


def test_every_block_is_known_and_nearly_all_are_run() -> None:
    assert {b.language for b in BLOCKS} == {"python"}
    assert sum(b.excuse is None for b in BLOCKS) >= 6
