"""docs/rewards.md does what it says: its blocks are run as the README's are."""

from pathlib import Path

import pytest
from tests.e2e.test_readme import Block, blocks, run_block
from tests.helpers.cheats import CHEATS

TEXT = (Path(__file__).resolve().parents[2] / "docs/rewards.md").read_text()
BLOCKS = [block for block in blocks(TEXT) if not block.excuse]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line {block.line}")
def test_it_does_what_it_says(block: Block) -> None:
    run_block(block)


def test_as_many_texts_cheat_as_is_said() -> None:
    assert f"has {len(CHEATS)} texts" in TEXT
