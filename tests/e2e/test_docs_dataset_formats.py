"""docs/dataset-formats.md does what it says: its blocks are run as the README's are."""

from pathlib import Path

import pytest
from tests.e2e.test_readme import Block, blocks, run_block

from videoespresso.dataset.formats.reading import FORMS
from videoespresso.dataset.formats.released_fields import CAPTIONS, FRAMES, VIDEO
from videoespresso.dataset.formats.writing import TARGETS

TEXT = (Path(__file__).resolve().parents[2] / "docs/dataset-formats.md").read_text()
BLOCKS = blocks(TEXT)

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if not b.excuse], ids=lambda b: f"line {b.line}"
)
def test_it_does_what_it_says(block: Block) -> None:
    run_block(block)


def test_every_format_and_spelling_is_told_of() -> None:
    for name in (*FORMS, *TARGETS[1:]):
        assert f"| `{name}` |" in TEXT
    for names in (FRAMES, CAPTIONS, VIDEO):
        assert ", ".join(f"`{name}`" for name in names) in TEXT
