"""The page of evidence of each error of a gallery, from a run's record and the frame store."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videoespresso.errors import UserError
from videoespresso.report import page
from videoespresso.types import Answer, Box, CoreFrame, DroppedFrame, EvidenceStep, KeyItem, Video

if TYPE_CHECKING:
    from PIL.Image import Image

    from videoespresso.types import FrameRef

Json = dict[str, Any]
_DROPPED = ("frame_id", "time_s", "stage", "reason")


class EvidencePages:
    """Writes them into a folder beside the gallery. image: a frame's pixels (FrameStore.image)."""

    def __init__(self, gallery: Path, image: "Callable[[FrameRef], Image]") -> None:
        self.folder, self._image = gallery.with_name(f"{gallery.stem}-evidence"), image

    def __call__(self, run: str, record: Json) -> str:
        """Writes the page of a record; its address from the gallery, "" where the record has no
        film. Raises UserError where it cannot be written."""
        if "dropped" not in record:
            return ""
        identity = f"{run} {record['condition']} {record['item']}"
        name = f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.html"
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder} cannot be made: {error.strerror}") from error
        page.write(answer_of(record), self.folder / name, self._image)
        return f"{self.folder.name}/{name}"


def answer_of(record: Json) -> Answer:
    """The answer as far as the record keeps it."""
    core = tuple(CoreFrame.model_validate(c) for c in record["core"])
    at = {round(c.frame.time_s, 3): c.frame.id for c in core}
    steps = [
        EvidenceStep(
            text=step["text"],
            frame_id=at.get(step["time_s"], ""),
            time_s=step["time_s"],
            items=(KeyItem(name="box", boxes=boxes),) if (boxes := _boxes(step)) else (),
        )
        for step in record["steps"]
    ]
    return Answer(
        question=record["question"],
        options=tuple(record["options"]),
        text=record["reply"],
        choice=record["choice"],
        answered=record["answered"],
        checked=record["checked"],
        evidence=tuple(steps),
        core_frames=core,
        dropped=tuple(
            DroppedFrame.model_validate(dict(zip(_DROPPED, row, strict=True)))
            for row in record["dropped"]
        ),
        video=Video.model_validate(record["film"]),
    )


def _boxes(step: Json) -> tuple[Box, ...]:
    return tuple(Box(label="cited", xyxy=tuple(box), score=1.0) for box in step["boxes"])
