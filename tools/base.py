"""What a tool is. Everything a plug-in in another package needs to import is here.

A tool is any object (or class that takes no arguments) with a name, a description, what it needs,
and `run`. The whole of one:

    from videoespresso.tools.base import Finding, Needs, ToolRequest

    class Brightness:
        name, description = "brightness", "How bright each core frame is, 0-255."
        needs: Needs = "frames"

        def run(self, request: ToolRequest) -> list[Finding]:
            found = []
            for core in request.frames:
                grey = request.image(core).convert("L").resize((1, 1)).getpixel((0, 0))
                text = f"The mean brightness is {grey}."
                found.append(Finding(text=text, time_s=core.frame.time_s, frame_id=core.frame.id))
            return found

It is found by the entry point group `videoespresso.tools`, by "module:name", or given as it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, get_args

from pydantic import Field, StringConstraints

from videoespresso.types import Box, CoreFrame, FrameRef, Record, Video

if TYPE_CHECKING:
    from PIL.Image import Image

Needs = Literal["frames", "span", "text"]
"""frames: core frames and their pixels. span: the video file and an interval. text: the question
and the captions of the core frames, no pixels."""

NEEDS: tuple[str, ...] = get_args(Needs)


class Finding(Record):
    """One thing a tool found: a sentence tied to an instant (seconds from the stream's start).

    frame_id: the core frame it was seen on, None when it belongs to the instant alone (a subtitle,
    a sound). boxes: where on that frame.
    """

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    time_s: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    frame_id: str | None = None
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class ToolRequest:
    """What a tool is given.

    frames: the core frames in time order, each with caption and the detector's boxes.
    load: the pixels of a frame; `image(core_frame)` is the short form.
    span: the interval asked about in seconds, None for the whole video.
    """

    question: str
    video: Video
    frames: tuple[CoreFrame, ...]
    load: Callable[[FrameRef], "Image"]
    span: tuple[float, float] | None = None

    def image(self, core: CoreFrame) -> "Image":
        """The pixels of a core frame. Raises `MemoryStoreError` when they are gone."""
        return self.load(core.frame)


class Tool(Protocol):
    """The contract. `name` is what it is asked for and cited by; `description` is for people and
    models, one sentence. `run` may raise, and may take its time: whoever calls it (`run_tool`)
    turns failures into gaps."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def needs(self) -> Needs: ...

    def run(self, request: ToolRequest) -> Sequence[Finding]: ...
