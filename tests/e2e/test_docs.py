"""The guides do what they say: their blocks are run as the README's are."""

from pathlib import Path

import pytest
from tests.e2e.test_readme import Block, blocks, run_block

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDES = {
    name: blocks((DOCS / name).read_text()) for name in ("python.md", "dataset.md", "chat.md")
}
RUN = [
    pytest.param(block, id=f"{name} line {block.line}")
    for name, found in GUIDES.items()
    for block in found
    if not block.excuse and block.language == "python"
]

pytestmark = pytest.mark.timeout(600)


@pytest.mark.usefixtures("as_a_reader")
@pytest.mark.parametrize("block", RUN)
def test_it_does_what_it_says(block: Block) -> None:
    run_block(block)


def test_every_block_is_known_and_nearly_all_are_run() -> None:
    assert {b.language for found in GUIDES.values() for b in found} == {
        "python",
        "mermaid",
        "bash",
        "text",
    }
    assert len(RUN) >= 7
