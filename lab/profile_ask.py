"""How many files and rooms one question enters: `python -m lab.profile_ask [VIDEO] [QUESTION]`.

A file is entered when a function of it runs (not when it is imported). The room changes when a
function of a room is called, directly or through a library, by one of another room; the files
beside the rooms (`types.py`, `settings.py` ...) are no room. All threads count. The caches are
empty, so that everything a first question needs is done.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

CO_NEWLOCALS = 0x2  # set for functions, not for the bodies of modules and classes


class Profile:
    """Counts entered files and changes of room while it is installed.

    root: the folder in which the package's rooms are; what lies elsewhere is a library.
    """

    def __init__(self, package: Path) -> None:
        self._rooms = {entry.resolve(): entry.name for entry in package.iterdir() if entry.is_dir()}
        self._package = package
        self._places: dict[CodeType, tuple[str, str] | None] = {}
        self.files: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()

    def __call__(self, frame: FrameType, event: str, _arg: Any) -> None:
        """What `sys.setprofile` calls."""
        if event != "call":
            return
        place = self._place(frame.f_code)
        if place is None or not frame.f_code.co_flags & CO_NEWLOCALS or _imported(frame):
            return
        file, room = place
        self.files[file] += 1
        caller = self._caller(frame)
        if room and caller and caller != room:
            self.changes[f"{caller} > {room}"] += 1

    def _caller(self, frame: FrameType) -> str:
        """The room of the nearest caller that is of a room; "" outside all of them."""
        back = frame.f_back
        while back is not None:
            place = self._place(back.f_code)
            if place is not None and place[1]:
                return place[1]
            back = back.f_back
        return ""

    def _place(self, code: CodeType) -> tuple[str, str] | None:
        """(file, room) of code of ours; None for a library's."""
        if code not in self._places:
            path = Path(code.co_filename).resolve()
            self._places[code] = next(
                (
                    (f"{name}/{path.relative_to(folder)}", name)
                    for folder, name in self._rooms.items()
                    if path.is_relative_to(folder)
                ),
                (path.name, "") if path.parent == self._package else None,
            )
        return self._places[code]


def _imported(frame: FrameType) -> bool:
    """Whether it is called for a module that is being imported: a table that is put together."""
    back = frame.f_back
    while back is not None:
        if back.f_code.co_name == "<module>" and back.f_globals["__name__"] != "__main__":
            return True
        back = back.f_back
    return False


def main(argv: list[str] | None = None) -> None:
    """Asks the question with an empty cache and prints the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", nargs="?", default="examples/videos/room.mp4")
    parser.add_argument("question", nargs="?", default="Who is surprised?")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["VIDEOESPRESSO_CACHE_DIR"] = cache
        import videoespresso as ve  # noqa: PLC0415 - slow, and not part of --help

        profile = Profile(Path(ve.__file__).resolve().parent)
        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            answer = ve.ask(given.video, given.question)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    counts = {
        "answer": answer.text,
        "files": len(profile.files),
        "room_changes": profile.changes.total(),
        "calls": profile.files.total(),
        "changes": dict(profile.changes.most_common()),
        "entered": sorted(profile.files),
    }
    print(json.dumps(counts, indent=2))


if __name__ == "__main__":
    main()
