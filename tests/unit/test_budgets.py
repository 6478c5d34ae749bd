"""No room grows unnoticed: docs/design.md says how many lines each may have."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/videoespresso"
LONGEST = 400
"""Lines of a file at most."""
BUDGETS = {
    room: int(most.replace(",", ""))
    for room, most in re.findall(
        r"^\| `([\w/]+)` \| [\d,]+ \| ([\d,]+) \|",
        (ROOT / "docs/design.md").read_text(),
        flags=re.MULTILINE,
    )
}


def files_of(room: str) -> list[Path]:
    """The Python files of a room; "videoespresso" is the files beside the rooms."""
    if room == "videoespresso":
        return sorted(PACKAGE.glob("*.py"))
    folder = ROOT / "lab" if room == "lab" else (PACKAGE / room).resolve()
    return sorted(folder.rglob("*.py"))


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def test_every_room_has_a_budget() -> None:
    rooms = {entry.name for entry in PACKAGE.iterdir() if entry.is_dir() and files_of(entry.name)}
    assert set(BUDGETS) == rooms | {"videoespresso", "lab"}


@pytest.mark.parametrize("room", BUDGETS)
def test_a_room_keeps_to_its_budget(room: str) -> None:
    count = sum(map(lines, files_of(room)))
    assert 0 < count <= BUDGETS[room], (
        f"{room} has {count:,} lines, {BUDGETS[room]:,} are allowed: cut something, or raise the "
        "number in docs/design.md and say in docs/log.md what the lines buy"
    )
    assert [file.name for file in files_of(room) if lines(file) > LONGEST] == []
