"""Whole little videos in many containers and codecs: what the mutations begin with."""

from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image, ImageDraw

FRAMES, RATE = 20, 10


class Seed(NamedTuple):
    """How a video is made. size: width and height, where the codec takes only some."""

    name: str
    codec: str
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = (96, 64)
    format: str | None = None
    rate: int = RATE
    extra: str = ""


_H263 = (176, 144)
SEEDS = (
    Seed("h264.mp4", "libx264"),
    Seed("h264.mkv", "libx264"),
    Seed("h264.mov", "libx264"),
    Seed("h264.avi", "libx264"),
    Seed("h264.flv", "libx264"),
    Seed("h264.ts", "libx264"),
    Seed("h264.3gp", "libx264"),
    Seed("h264.ismv", "libx264", format="ismv"),
    Seed("h264.h264", "libx264"),
    Seed("h265.mp4", "libx265"),
    Seed("h265.mkv", "libx265"),
    Seed("h265.hevc", "libx265"),
    Seed("av1.mp4", "libsvtav1"),
    Seed("av1.webm", "libsvtav1"),
    Seed("av1.obu", "libsvtav1"),
    Seed("vp8.webm", "libvpx"),
    Seed("vp8.ivf", "libvpx"),
    Seed("vp9.webm", "libvpx-vp9"),
    Seed("vp9.mp4", "libvpx-vp9"),
    Seed("mpeg1.mpg", "mpeg1video", rate=25),
    Seed("mpeg2.vob", "mpeg2video", rate=25),
    Seed("mpeg2.ts", "mpeg2video", rate=25),
    Seed("mpeg2.mxf", "mpeg2video", rate=25),
    Seed("mpeg4.avi", "mpeg4"),
    Seed("mpeg4.mp4", "mpeg4"),
    Seed("mpeg4.m4v", "mpeg4", format="m4v"),
    Seed("msmpeg4.asf", "msmpeg4"),
    Seed("wmv2.wmv", "wmv2", format="asf"),
    Seed("flv1.flv", "flv"),
    Seed("h263.3gp", "h263", size=_H263),
    Seed("rv20.rm", "rv20", size=_H263),
    Seed("mjpeg.avi", "mjpeg", "yuvj420p"),
    Seed("mjpeg.mov", "mjpeg", "yuvj420p"),
    Seed("ffv1.mkv", "ffv1"),
    Seed("ffv1.nut", "ffv1", format="nut"),
    Seed("huffyuv.avi", "huffyuv", "yuv422p"),
    Seed("prores.mov", "prores_ks", "yuv422p10le"),
    Seed("qtrle.mov", "qtrle", "rgb24"),
    Seed("cinepak.avi", "cinepak", "rgb24"),
    Seed("raw.avi", "rawvideo"),
    Seed("raw.y4m", "rawvideo", format="yuv4mpegpipe"),
    Seed("gif.gif", "gif", "rgb8"),
    Seed("apng.apng", "apng", "rgb24"),
    Seed("h264.wtv", "libx264", format="wtv"),
    Seed("snow.avi", "snow"),
    Seed("zmbv.avi", "zmbv", "bgr0"),
    Seed("utvideo.mkv", "utvideo"),
    Seed("jpeg2000.mov", "jpeg2000"),
    Seed("sound.mp4", "libx264", extra="sound"),
    Seed("sound.mkv", "libx264", extra="sound"),
    Seed("subtitles.mkv", "libx264", extra="subtitles"),
    Seed("animated.webp", "webp"),
    Seed("av1.avif", "libsvtav1"),
    Seed("mpeg1.m1v", "mpeg1video", rate=25),
    Seed("mjpeg.mjpeg", "mjpeg", "yuvj420p"),
    Seed("h263.h263", "h263", size=_H263),
)
"""Those of them that this build of FFmpeg can write are made (`make`)."""

LINES = "".join(
    f"{n}\n00:00:0{n - 1},000 --> 00:00:0{n - 1},900\nline {n}\n\n" for n in range(1, 3)
)


def make(folder: Path) -> list[Path]:
    """The seeds as files, each made once; those that cannot be written here are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for seed in SEEDS:
        path = folder / seed.name
        if not path.exists():
            part = path.with_name(f"part-{path.name}")
            try:
                _webp(part) if seed.codec == "webp" else _encode(part, seed, folder)
            except (av.error.FFmpegError, ValueError) as error:
                print(f"no seed {seed.name}: {error}")
                part.unlink(missing_ok=True)
                continue
            part.rename(path)
        made.append(path)
    return made


def pictures(size: tuple[int, int]) -> list[Image.Image]:
    """A square that moves over noise."""
    draw = np.random.default_rng(1)
    made = []
    for k in range(FRAMES):
        noise = draw.integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
        picture = Image.fromarray(noise).resize(size, Image.Resampling.NEAREST)
        ImageDraw.Draw(picture).rectangle((3 * k, 8, 3 * k + 20, 40), fill="white")
        made.append(picture)
    return made


def _webp(path: Path) -> None:
    first, *others = pictures((96, 64))
    first.save(path, format="WEBP", save_all=True, append_images=others, duration=100)


def _encode(path: Path, seed: Seed, folder: Path) -> None:
    with av.open(f"file:{path}", "w", format=seed.format) as out:
        stream = out.add_stream(seed.codec, rate=seed.rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = seed.size
        stream.pix_fmt, stream.gop_size = seed.pix_fmt, 8
        sound = out.add_stream("aac", rate=16000) if seed.extra == "sound" else None
        if seed.extra == "subtitles":
            _mux_words(out, folder)
        for picture in pictures(seed.size):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), "rgb24")))
        out.mux(stream.encode(None))
        if isinstance(sound, av.AudioStream):
            _mux_sound(out, sound)


def _mux_words(out: av.container.OutputContainer, folder: Path) -> None:
    source = folder / "lines.srt"
    source.write_text(LINES, encoding="utf-8")
    with av.open(str(source)) as words:
        stream = out.add_stream_from_template(words.streams.subtitles[0])
        for packet in words.demux(words.streams.subtitles[0]):
            if packet.pts is not None:
                packet.stream = stream
                out.mux(packet)


def _mux_sound(out: av.container.OutputContainer, stream: av.AudioStream) -> None:
    for k in range(2 * 16000 // 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16000, k * 1024
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
