"""No output is written over what it is made from."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from videoespresso.dataset.files import RECORDS, REJECTS
from videoespresso.errors import UserError

PAGE: Final = "index.html"
OWN: Final = (RECORDS, REJECTS, "dataset.json", PAGE, "frames", "work")
"""What a dataset's folder consists of; whatever else lies in it is somebody's own business."""


def refuse_own(source: Path, target: Path, *, spare: Collection[str] = ()) -> None:
    """Raises UserError for a target that is the source or a part of it, so that no --force ends it.

    source: a dataset's folder, its records.jsonl, or any other file, which is then all there is.
    spare: names in the dataset's folder that may be written.
    """
    is_dataset = source.is_dir() or source.name == RECORDS
    folder = source if source.is_dir() else source.parent
    own = [folder / name for name in OWN if name not in spare] if is_dataset else [source]
    place = target.resolve()
    for file in own:
        if place.is_relative_to(file.resolve()):
            what = f"a part of {source}" if is_dataset else "the source itself"
            raise UserError(
                f"{target} is {what}, which is read",
                hint="Write to another place; no --force replaces what is read.",
            )
