"""`ve.Answer`: an answer that can be printed, shown in a notebook, saved and looked at.

The records of types.py know no report and no frame store; these are the same records with both.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr, ValidationInfo, model_validator

from videoespresso import types
from videoespresso.report.text import clock, letter, money, total

if TYPE_CHECKING:
    from PIL.Image import Image

    from videoespresso.memory.frames import FrameStore

FRAMES = "frames"
"""Key of a validation context: the frame store's folder, as text."""


def frame_store(root: Path | None) -> "FrameStore":
    """The store in that folder; None is the one of the settings."""
    from videoespresso.memory.frames import FrameStore  # noqa: PLC0415 - imports Pillow
    from videoespresso.settings import Settings  # noqa: PLC0415 - only for answers from a file

    return FrameStore(root or Settings.load().cache_dir / "frames")


class CoreFrame(types.CoreFrame):
    """A core frame with its pixels."""

    _root: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _placed(self, info: ValidationInfo) -> Self:
        if root := (info.context or {}).get(FRAMES):
            self._root = Path(root)
        return self

    @property
    def image(self) -> "Image":
        """The frame, RGB, out of the frame store. Raises MemoryStoreError where the store has it
        no more: ask again, which costs nothing while the replies are cached."""
        return frame_store(self._root).image(self.frame)


class Answer(types.Answer):
    """An answer as `ask` gives it: `print` shows it in short, a notebook as a card, `save` writes
    its page, and `core_frames[0].image` is a picture."""

    core_frames: tuple[CoreFrame, ...] = ()

    _root: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _placed(self, info: ValidationInfo) -> Self:
        if root := (info.context or {}).get(FRAMES):
            self._root = Path(root)
        return self

    @classmethod
    def of(cls, state: Any, frames: Path) -> "Answer":
        """From what the graph's last node wrote; `frames` is the frame store's folder."""
        return cls.model_validate(state, context={FRAMES: str(frames)})

    def __str__(self) -> str:
        chosen = "" if self.choice is None else f"{letter(self.choice)}. "
        lines = [f"{chosen}{self.text}"]
        lines += [f"  {clock(step.time_s)}  {step.text}" for step in self.evidence]
        cost = money(total(self.usage.values()).usd)
        return "\n".join([*lines, f"  ({self.verdict}, {cost})"])

    def __repr__(self) -> str:
        return f"<Answer {self.text!r}, {len(self.evidence)} steps of evidence>"

    def _repr_html_(self) -> str:
        """The card that a notebook shows."""
        from videoespresso.report.card import render  # noqa: PLC0415 - imports jinja2

        return render([self], frame_store(self._root).file)

    def save(self, path: str | Path) -> Path:
        """Writes the page of the evidence, one file that holds its pictures; returns its path.

        Raises UserError where it cannot be written, or would replace the video.
        """
        from videoespresso.report.page import write  # noqa: PLC0415 - imports jinja2
        from videoespresso.report.parts import check_target  # noqa: PLC0415 - imports jinja2

        target = Path(path)
        check_target(target, videos=[self.video.path])
        write(self, target, frame_store(self._root).image)
        return target
