"""docs/security.md: every threat has something in its way, and a test that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/security.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| from")
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:40])
def test_every_threat_has_its_test(row: list[str]) -> None:
    assert len(row) == 4
    assert all(row)
    files = re.findall(r"`(tests/[\w/]+\.py)`", row[3])
    assert files
    for file in files:
        assert "def test_" in (ROOT / file).read_text(encoding="utf-8")
