"""Results on disk: one JSON line an item and condition, written when it is known.

Every process appends whole lines by itself, so a run that is killed loses what it was doing and
nothing else. A line torn by a power cut is skipped, and what it was about is done again.
"""

import json
import os
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def append(file: Path, record: Json) -> None:
    """Adds a line in one write. Raises OSError when the disk is full."""
    line = json.dumps(record, ensure_ascii=False) + "\n"
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def mend(file: Path) -> None:
    """Ends a torn last line, so that the next one begins on its own."""
    if not file.exists():
        return
    with file.open("rb+") as lines:
        if lines.seek(0, os.SEEK_END) and lines.seek(-1, os.SEEK_END) and lines.read(1) != b"\n":
            lines.write(b"\n")


def read(file: Path, *, errors: bool = True) -> dict[str, Json]:
    """Key -> its record; a good one takes the place of a failed one. errors: whether failed ones
    count at all (they do, as wrong answers, until they are tried again)."""
    records: dict[str, Json] = {}
    if not file.exists():
        return records
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if not isinstance(record, dict) or "key" not in record:
            continue
        old = records.get(record["key"])
        if old is None or old.get("error"):
            records[record["key"]] = record
    return {k: r for k, r in records.items() if errors or not r.get("error")}


def write(file: Path, text: str) -> None:
    """Writes a file whole or not at all. Raises OSError."""
    draft = file.with_name(f".{file.name}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)
