"""Small videos for the tools, with subtitles inside and words on them, and requests about them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageDraw, ImageFont

from videoespresso.tools.base import Means, ToolRequest
from videoespresso.types import Box, CoreFrame, FrameRef, Video

LINES = ((1.0, 2.0, "Where is the key?"), (5.0, 6.5, "Under the\nmat."))


def srt(lines: tuple[tuple[float, float, str], ...] = LINES) -> str:
    """The lines as a .srt file."""

    def stamp(seconds: float) -> str:
        whole, part = divmod(round(seconds * 1000), 1000)
        return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02},{part:03}"

    cues = (
        f"{n}\n{stamp(start)} --> {stamp(end)}\n{text}\n"
        for n, (start, end, text) in enumerate(lines, 1)
    )
    return "\n".join(cues)


def square_video(path: Path, seconds: int = 8, fps: int = 5) -> Path:
    """A red square that goes from left to right on grey: 160 x 90."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"crf": "18"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for k in range(seconds * fps):
            picture = Image.new("RGB", (160, 90), (120, 120, 120))
            left = round(k * 130 / (seconds * fps))
            ImageDraw.Draw(picture).rectangle((left, 30, left + 30, 60), fill=(220, 20, 20))
            out.mux(stream.encode(av.VideoFrame.from_image(picture)))
        out.mux(stream.encode(None))
    return path


def with_subtitles(video: Path, path: Path) -> Path:
    """The video's pictures and `LINES` as a subtitle stream, in an .mkv."""
    side_car = path.with_name(f"{path.stem}-source.srt")
    side_car.write_text(srt())
    with (
        av.open(str(video)) as pictures,
        av.open(str(side_car)) as words,
        av.open(str(path), "w") as out,
    ):
        from_picture = pictures.streams.video[0]
        to_picture = out.add_stream_from_template(from_picture)
        to_words = out.add_stream_from_template(words.streams.subtitles[0])
        for packet in pictures.demux(from_picture):
            if packet.dts is not None:
                packet.stream = to_picture
                out.mux(packet)
        for packet in words.demux(words.streams.subtitles[0]):
            if packet.pts is not None:
                packet.stream = to_words
                out.mux(packet)
    side_car.unlink()
    return path


def sign(text: str, size: tuple[int, int] = (480, 160)) -> Image.Image:
    """Black words on white, large enough to be read."""
    picture = Image.new("RGB", size, "white")
    font = ImageFont.load_default(size=size[1] // 3)
    ImageDraw.Draw(picture).text((20, size[1] // 3), text, fill="black", font=font)
    return picture


def core(video: Video, time_s: float, boxes: tuple[Box, ...] = ()) -> CoreFrame:
    frame = FrameRef(
        id=f"v@{round(time_s * 1000)}", video_id=video.id, time_s=time_s, index=0, fps=video.fps,
        rule="keyframe", sha="s", width=160, height=90,
    )  # fmt: skip
    return CoreFrame(frame=frame, boxes=boxes)


def asked(
    video: Video,
    times: Sequence[float] = (4.0,),
    *,
    span: tuple[float, float] | None = None,
    image: Image.Image | None = None,
    means: Means | None = None,
    **arguments: Any,
) -> ToolRequest:
    def load(frame: FrameRef) -> Image.Image:
        assert image is not None, "nobody should look at the pixels"
        return image

    frames = tuple(core(video, t) for t in times)
    return ToolRequest(
        "Why?", video, frames, load, span=span, arguments=arguments, means=means or Means()
    )
