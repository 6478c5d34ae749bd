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

A tool that also has `parameters` (the JSON Schema of an object) is offered to a reasoner that can
call tools; what it is called with is in `request.arguments`.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

from pydantic import Field, StringConstraints

from videoespresso.errors import ToolError
from videoespresso.types import Box, Caption, CoreFrame, FrameRef, Record, Video

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from PIL.Image import Image


Needs = Literal["frames", "span", "text", "call"]
"""frames: core frames and their pixels. span: the video file and an interval. text: the question
and the captions of the core frames, no pixels. call: arguments; it runs only when a model calls it,
the others run once on every question."""

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


class Sight(NamedTuple):
    """A decoded frame that is not stored: exact seconds from the stream's start, pixels."""

    time_s: float
    image: "Image"


class Unknown(NamedTuple):
    """What a tool did not look at, in a sentence: said to the model that called it and among the
    answer's gaps. No finding, and never evidence."""

    text: str


class Search(Protocol):
    """The k captions of this video nearest to a query, best first, among those for which `keep` is
    true. Filter with `keep`: of k captions that are filtered afterwards none may be left."""

    def __call__(
        self, query: str, k: int, keep: Callable[[Caption], bool] = ...
    ) -> Sequence[Caption]: ...


class Look(Protocol):
    """Frames of start_s <= t < end_s, `fps` a second, evenly fewer where that were too many.

    scale: how much larger than the run's usual frames, for a tool that cuts a part out.
    """

    def __call__(
        self, start_s: float, end_s: float, fps: float, scale: float = 1.0
    ) -> Iterator[Sight]: ...


def _no_memory(
    query: str, k: int, keep: Callable[[Caption], bool] = lambda _caption: True
) -> Sequence[Caption]:
    raise ToolError("there is no caption memory here to search")


def _no_look(start_s: float, end_s: float, fps: float, scale: float = 1.0) -> Iterator[Sight]:
    raise ToolError("there is nothing here that could decode more frames")


def _no_captioner(images: "Sequence[Image]") -> Sequence[str]:
    raise ToolError("there is no captioner here to describe frames")


def _no_detector(image: "Image", names: Sequence[str] = ()) -> Sequence[Box]:
    raise ToolError("there is no detector here (choose one with --detector)")


@dataclass(frozen=True)
class Means:
    """What the run lends a tool. All of it counts against the run's budget.

    search: the captions of this video nearest to a query, best first. look: frames of any stretch.
    uncaptioned: the stretches (start_s, end_s) whose frames have no caption yet, so that `search`
    knows nothing of them. describe: a caption for each picture. detect: boxes on a picture, best
    first; an open vocabulary looks for the names.

    Whatever is not there raises `ToolError`, so a tool need not ask first.
    """

    search: Search = _no_memory
    uncaptioned: Callable[[], Sequence[tuple[float, float]]] = tuple
    look: Look = _no_look
    describe: "Callable[[Sequence[Image]], Sequence[str]]" = _no_captioner
    detect: "Callable[[Image, Sequence[str]], Sequence[Box]]" = _no_detector


@dataclass(frozen=True)
class ToolRequest:
    """What a tool is given.

    frames: the core frames in time order, each with caption and the detector's boxes.
    load: the pixels of a frame; `image(core_frame)` is the short form.
    span: the interval asked about in seconds, None for the whole video.
    arguments: what a model called the tool with, empty when none did. Not trusted: check them.
    means: what else the run can do for a tool.
    """

    question: str
    video: Video
    frames: tuple[CoreFrame, ...]
    load: Callable[[FrameRef], "Image"]
    span: tuple[float, float] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    means: Means = Means()

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

    def run(self, request: ToolRequest) -> Sequence[Finding | Unknown]: ...


def parameters(tool: Tool) -> dict[str, Any] | None:
    """What a tool may be called with; None for one that is not called."""
    schema: dict[str, Any] | None = getattr(tool, "parameters", None)
    return schema


Given: TypeAlias = "Tool | BaseTool | str"
"""What a tool may be given as: an object, a tool of LangChain's, or a name."""


Window = tuple[float, float]

_PROPERTIES = {
    "start_s": {"type": "number", "description": "From this second of the video."},
    "end_s": {"type": "number", "description": "Up to this second of the video."},
}


def stretch_parameters(**own: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a tool that works on a stretch, with arguments of its own."""
    return {"type": "object", "properties": {**_PROPERTIES, **own}}


def number(arguments: Mapping[str, Any], key: str, default: float) -> float:
    """A number among the arguments. Raises ToolError for a value that is none."""
    value = arguments.get(key)
    if value is None:  # models write null for what they leave out
        return default
    with contextlib.suppress(OverflowError):  # an integer of hundreds of digits
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if known and math.isfinite(value):
            return float(value)
    raise ToolError(f"{key} is not a number: {value!r:.40}")


def window(request: ToolRequest) -> Window | None:
    """The stretch of the question in seconds, within the video; None where there is none.

    Raises ToolError for a stretch that is empty or outside the video.
    """
    if all(request.arguments.get(key) is None for key in _PROPERTIES):
        return request.span
    start = max(0.0, number(request.arguments, "start_s", 0.0))
    end = min(request.video.duration_s, number(request.arguments, "end_s", math.inf))
    if end <= start:
        raise ToolError(
            f"there is nothing between {start:g} and {end:g} s of a video of "
            f"{request.video.duration_s:g} s"
        )
    return start, end


def around(request: ToolRequest, reach_s: float) -> list[Window]:
    """The stretch of the question; without one, `reach_s` to either side of each core frame.

    Those that overlap are one; without core frames it is the whole video.
    """
    span = window(request)
    if span is not None:
        return [span]
    whole = (0.0, request.video.duration_s)
    windows: list[Window] = []
    for core in request.frames:
        start = max(whole[0], core.frame.time_s - reach_s)
        end = min(whole[1], core.frame.time_s + reach_s)
        if windows and start <= windows[-1][1]:  # in time order, so this one ends later
            start, _ = windows.pop()
        windows.append((start, end))
    return windows or [whole]
