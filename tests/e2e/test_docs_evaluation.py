"""docs/evaluation.md does what it says: its blocks are run as the README's are."""

from pathlib import Path

import pytest
from tests.e2e.test_readme import Block, blocks, run_block
from tests.helpers.letter_replies import BOOLEAN, MORE, PLAIN

TEXT = (Path(__file__).resolve().parents[2] / "docs/evaluation.md").read_text()
BLOCKS = [block for block in blocks(TEXT) if not block.excuse]

pytestmark = pytest.mark.timeout(600)


@pytest.mark.usefixtures("as_a_reader")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line {block.line}")
def test_it_does_what_it_says(block: Block) -> None:
    run_block(block)


def test_the_suite_is_as_large_as_is_said() -> None:
    assert f"has {len(PLAIN) + len(MORE) + len(BOOLEAN)} replies" in TEXT
