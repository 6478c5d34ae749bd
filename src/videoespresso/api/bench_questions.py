"""The authors' bench files as questions to ask: options without their labels, videos below a root.

Nothing that gives the answer away goes along: neither the reference, nor the letter, nor evidence.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from videoespresso.dataset.formats.conversion_report import Report, Unusable
from videoespresso.dataset.formats.json_stream import rows
from videoespresso.dataset.formats.reading import PEEKED
from videoespresso.dataset.formats.released import ReleasedReader
from videoespresso.dataset.formats.released_boxes import RELEASED
from videoespresso.dataset.formats.timestamps import Timestamps, below
from videoespresso.errors import UserError

KINDS = (".json", ".jsonl", ".ndjson")


def is_bench(path: Path) -> bool:
    """Whether the records are released ones: they name their video by `video_path`, where a
    question of ours has `video`."""
    if not path.is_file() or path.suffix.lower() not in KINDS:
        return False
    try:
        first = [row.value for row in itertools.islice(rows(path), PEEKED)]
    except UserError:
        return False  # what is wrong with it is said by who reads questions
    records = [record for record in first if isinstance(record, dict)]
    named = [record for record in records if "video_path" in record and "video" not in record]
    return bool(named) and len(named) == len(records)


def bench_questions(path: Path, videos: Path | None) -> Iterator[tuple[int, Any]]:
    """(number from 1, the fields of a question) of each record; a record that is no question comes
    as it is. videos: the folder of the videos, with or without the release's `all_video/` below it.

    Raises UserError where `videos` is no folder, and for a file that cannot be read on.
    """
    if videos is not None and not videos.is_dir():
        raise UserError(f"--videos {videos} is no folder", hint="Give the folder they are in.")
    reader, root = ReleasedReader(RELEASED, Timestamps(None), Report()), Timestamps(videos)
    for number, row in enumerate(rows(path), start=1):
        try:
            if row.fault:
                raise Unusable("cannot be read", row.fault)
            item = reader.read(row.value)
        except Unusable:
            yield number, row.value if row.value is not None else row.fault
            continue
        yield (
            number,
            {
                "video": item.video.path
                if videos is None
                else _place(root, videos, item.video.path),
                "question": item.question,
                "options": item.options,
                "id": item.id,
            },
        )


def _place(root: Timestamps, videos: Path, path: str) -> str:
    """Where the video is, or where it should be; "" for a path that leads out of the folder."""
    file = root.file(path) or below(videos, path)
    return "" if file is None else str(file)
