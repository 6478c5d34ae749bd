"""Our tools over the Model Context Protocol: another program's model asks a video and sees frames.

Every call opens a context of its own, so that budgets and ledgers are a call's; what was looked at
is remembered as everywhere else.
"""

import asyncio
import functools
import importlib
import importlib.util
import io
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

from langgraph.runtime import Runtime
from PIL import Image
from pydantic import Field

from videoespresso.api.ask import ask
from videoespresso.errors import UserError, VideoError, VideoEspressoError
from videoespresso.graphs.ask import select
from videoespresso.graphs.context import open_context
from videoespresso.graphs.state import frames_of, not_captioned
from videoespresso.graphs.watch import watch
from videoespresso.settings import Settings
from videoespresso.tools.fetch.download import local
from videoespresso.tools.video import open_video
from videoespresso.types import Box, Caption, EvidenceStep, Gap, Record

INSTRUCTIONS = (
    "Tools to look into video files on this machine. `ask` answers a question with the evidence it "
    "stands on; `get_frame` shows the picture at an instant. Instants are seconds from the start."
)

HOST, PORT = "127.0.0.1", 8765
"""Where it listens over HTTP: on this machine only."""

VideoPath = Annotated[
    str,
    Field(description="The path of a video file on the server's machine, or an http(s) address."),
]
QuestionText = Annotated[str, Field(description="What you want to know.", min_length=1)]


class Seen(Record):
    """A frame: its instant in seconds, what it shows, why it was chosen, boxes in 0-1 (xyxy)."""

    frame_id: str
    time_s: float
    caption: str
    why: str = ""
    boxes: tuple[Box, ...] = ()


class Reply(Record):
    """An answer and what it stands on. choice: position among the options, from 0.

    answered: False when the frames do not carry an answer. gaps: what could not be found out.
    """

    text: str
    answered: bool
    checked: bool
    choice: int | None
    evidence: tuple[EvidenceStep, ...]
    core_frames: tuple[Seen, ...]
    warnings: tuple[str, ...]
    gaps: tuple[Gap, ...]


class Moment(Record):
    """An instant whose caption is near to what was looked for; score is a cosine, at most 1."""

    time_s: float
    caption: str
    score: float


class Moments(Record):
    """Instants, the nearest first, and the stretches (start, end, in seconds) whose frames are not
    captioned yet: what was looked for may be there."""

    moments: tuple[Moment, ...]
    not_captioned_yet: tuple[tuple[float, float], ...]


class Description(Record):
    """What a video is, and captions of it in time order, repetitions left out."""

    duration_s: float
    width: int
    height: int
    codec: str
    has_audio: bool
    frames_looked_at: int
    frames_not_captioned_yet: int
    captions: tuple[Caption, ...]


class VideoTools:
    """The tools, as plain methods."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def ask(
        self,
        video: VideoPath,
        question: QuestionText,
        options: Annotated[
            list[str] | None, Field(description="Possible answers, for multiple choice.")
        ] = None,
    ) -> Reply:
        """Answer a question about a video, with the core frames and evidence it stands on."""
        answer = ask(video, question, options=options or (), settings=self.settings)
        seen = tuple(
            Seen(
                frame_id=core.frame.id,
                time_s=core.frame.time_s,
                caption=core.caption,
                why=core.why,
                boxes=core.boxes,
            )
            for core in answer.core_frames
        )
        return Reply(
            text=answer.text,
            answered=answer.answered,
            checked=answer.checked,
            choice=answer.choice,
            evidence=answer.evidence,
            core_frames=seen,
            warnings=answer.warnings,
            gaps=answer.gaps,
        )

    def find_moments(
        self,
        video: VideoPath,
        query: Annotated[str, Field(description="What to look for, in words.", min_length=1)],
        most: Annotated[int, Field(description="How many moments.", ge=1, le=50)] = 5,
        look: Annotated[
            bool, Field(description="First caption every frame that has no caption yet.")
        ] = False,
    ) -> Moments:
        """Find the instants of a video that look like what is described, the nearest first.

        Frames that are not captioned yet are not among them; where these are is said: what is not
        listed may still be there. `look` captions them, which costs a call for some of them each.
        """
        over = {"select": "paper", "quick": False} if look else {}
        context = open_context(self.settings.model_copy(update=over))
        state = watch(context, self._file(video), query)
        key = context.memory_key(state["video"]["id"])
        shown = {f["id"] for f in state["frames"]}
        captions = context.memory.search(query, [key], most, keep=lambda c: c.frame_id in shown)
        captioned = {c["frame_id"] for c in state["captions"]}
        end = state["video"]["duration_s"]
        return Moments(
            moments=tuple(
                Moment(time_s=f.caption.time_s, caption=f.caption.text, score=f.score)
                for f in captions
            ),
            not_captioned_yet=tuple(not_captioned(frames_of(state), captioned, end)),
        )

    def list_core_frames(self, video: VideoPath, question: QuestionText) -> list[Seen]:
        """List the few frames of a video that matter for a question, and why."""
        context = open_context(self.settings)
        state = watch(context, self._file(video), question)
        times = {f["id"]: f["time_s"] for f in state["frames"]}
        texts = {c["frame_id"]: c["text"] for c in state["captions"]}
        return [
            Seen(
                frame_id=c["id"],
                time_s=times[c["id"]],
                caption=texts.get(c["id"], ""),
                why=c["why"],
            )
            for c in select(state, Runtime(context=context))["core"]
        ]

    def describe(self, video: VideoPath) -> Description:
        """Say what a video is and what can be seen in it, in time order."""
        state = watch(open_context(self.settings), self._file(video))
        kept = set(state["kept"])
        file = state["video"]
        return Description(
            **{k: file[k] for k in ("duration_s", "width", "height", "codec", "has_audio")},
            frames_looked_at=len(state["frames"]),
            frames_not_captioned_yet=len(state["frames"]) - len(state["captions"]),
            captions=tuple(
                Caption.model_validate(c) for c in state["captions"] if c["frame_id"] in kept
            ),
        )

    def _file(self, video: str) -> str:
        return local(video, self.settings).path

    def picture(self, video: str, time_s: float, max_side: int) -> bytes:
        """The frame on screen at an instant, as JPEG. Raises VideoError for one outside."""
        with open_video(self._file(video), backend=self.settings.decoder) as reader:
            end = reader.video.duration_s
            if not 0 <= time_s <= end:
                raise VideoError(
                    f"{time_s:g} s is outside the video", hint=f"It lasts from 0 to {end:.1f} s."
                )
            (frame,) = reader.at([time_s], max_side)
        data = io.BytesIO()
        Image.fromarray(frame.rgb).save(data, "JPEG", quality=90)
        return data.getvalue()


def build_server(settings: Settings, host: str = HOST, port: int = PORT) -> Any:
    """The server, a `FastMCP` of the package mcp. Raises UserError where that is missing."""
    if importlib.util.find_spec("mcp") is None:
        raise UserError(
            "the MCP server needs the package mcp, which is not part of the core",
            hint='pip install "videoespresso[mcp]"',
        )
    # an optional package, without which the type checker must give the same verdict
    fastmcp = importlib.import_module("mcp.server.fastmcp")
    refused = importlib.import_module("mcp.server.fastmcp.exceptions").ToolError
    server = fastmcp.FastMCP(
        "videoespresso", instructions=INSTRUCTIONS, log_level="WARNING", host=host, port=port
    )
    server._mcp_server.version = version("videoespresso")  # else it tells that of the package mcp
    tools = VideoTools(settings)

    def get_frame(
        video: VideoPath,
        time_s: Annotated[float, Field(description="Seconds from the start.")],
        max_side: Annotated[int, Field(description="Longer side, pixels.", ge=32, le=2048)] = 640,
    ) -> Any:
        """Show the picture that is on screen at an instant of a video."""
        return fastmcp.Image(data=tools.picture(video, time_s, max_side), format="jpeg")

    for tool in (tools.ask, tools.find_moments, tools.list_core_frames, tools.describe):
        server.add_tool(_in_thread(tool, refused))
    server.add_tool(_in_thread(get_frame, refused), structured_output=False)
    return server


def _in_thread(tool: Callable[..., Any], refused: type[Exception]) -> Callable[..., Any]:
    """The tool in a thread, as the server answers others meanwhile; our errors become text and
    hint for the model that called it."""

    @functools.wraps(tool)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await asyncio.to_thread(tool, *args, **kwargs)
        except VideoEspressoError as error:
            raise refused(" ".join(filter(None, (f"{error}.", error.hint)))) from error

    return call
