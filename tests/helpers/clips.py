"""Tiny clips whose every second shows another picture, as quick to make as to look at."""

import random
from pathlib import Path

import av
from PIL import Image, ImageDraw


def clip(path: Path, seed: int, seconds: int = 8, fps: int = 2) -> Path:
    """160 x 90, a colour and a patch a second."""
    draw = random.Random(seed)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"crf": "30", "g": str(fps)})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for _ in range(seconds):
            ground, patch = (tuple(draw.randrange(256) for _ in range(3)) for _ in range(2))
            picture = Image.new("RGB", (160, 90), ground)
            left = draw.randrange(80)
            ImageDraw.Draw(picture).rectangle((left, 20, left + 60, 70), fill=patch)
            for _ in range(fps):
                out.mux(stream.encode(av.VideoFrame.from_image(picture)))
        out.mux(stream.encode(None))
    return path


def clips(folder: Path, count: int, seconds: int = 8) -> Path:
    """A folder with so many of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        clip(folder / f"{k:03}.mp4", k, seconds)
    return folder
