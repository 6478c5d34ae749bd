"""Films that are not the theatre's, drawn from a seed: what the embedded models must refuse.

Slides, screens, flat cartoons, test patterns, plain colours, odd sizes, and altered pictures: real
clips made flat, and the theatre's own frames in a way the embedded models were never shown.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from videoespresso.theatre import make_story

Rgb = tuple[int, int, int]
Pictures = list[Image.Image]

FRAMES = 8
RATE = 2
"""Frames a second: the films last four seconds."""
SIZES = ((640, 360), (480, 270), (640, 480), (854, 480))
_WORDS = ("results", "method", "figure", "slide", "model", "data", "growth", "plan", "error")
_SKY = ((135, 206, 235), (135, 205, 250), (200, 225, 245), (255, 190, 120), (20, 24, 60))
_GRASS = ((34, 139, 34), (86, 176, 64), (140, 200, 105), (120, 180, 130), (200, 180, 120))


class OtherFilm(NamedTuple):
    """A film's kind, a name that is unique, and its pictures, RATE a second."""

    kind: str
    name: str
    pictures: Pictures


def drawn(each: int = 8, clips: Sequence[Path] = ()) -> Iterator[OtherFilm]:
    """`each` films of every kind; those of a kind differ. clips: real footage to alter."""
    for kind, draw in KINDS.items():
        for k in range(each):
            rng = random.Random(f"{kind}{k}")
            yield OtherFilm(kind, f"{kind}-{k}", draw(rng))
    for clip in clips:
        for name, alter in ALTERED.items():
            pictures = [alter(p) for p in _pictures(clip)]
            yield OtherFilm("altered clip", f"{clip.stem}-{name}", pictures)


def write(film: OtherFilm, folder: Path) -> Path:
    """The film as H.264 in mp4. Sizes are cut to even numbers, as the codec needs them."""
    path = folder / f"{film.name.replace(' ', '-')}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.codec_context.thread_count = 1
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = (side // 2 * 2 for side in film.pictures[0].size)
        for number, picture in enumerate(film.pictures):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture.convert("RGB")), format="rgb24")
            frame = frame.reformat(stream.width, stream.height)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _color(rng: random.Random, low: int = 0, high: int = 255) -> Rgb:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def _sheet(size: tuple[int, int], color: Rgb) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, color)
    return image, ImageDraw.Draw(image)


def _slides(rng: random.Random) -> Pictures:
    """A title, bullets that appear, sometimes a chart; light or dark."""
    w, h = size = rng.choice(SIZES)
    paper = rng.choice(((255, 255, 255), (225, 228, 220), (240, 240, 245), (30, 35, 50)))
    ink = (30, 30, 35) if sum(paper) > 380 else (230, 230, 230)
    accent, bars = _color(rng, 30, 220), [rng.uniform(0.1, 0.5) for _ in range(6)]
    lines = [" ".join(rng.choices(_WORDS, k=5)) for _ in range(FRAMES)]
    pictures = []
    for k in range(FRAMES):
        image, pen = _sheet(size, paper)
        pen.rectangle((0, 0, w, h // 8), fill=accent)
        pen.text((w // 20, h // 40), "  ".join(lines[0].split()[:3]), fill=paper, font_size=h // 12)
        for row, line in enumerate(lines[1 : k + 1]):
            pen.text((w // 10, h // 6 + row * h // 11), f"- {line}", fill=ink, font_size=h // 20)
        for x, bar in enumerate(bars if rng.random() < 0.5 else ()):
            left = w // 2 + x * w // 14
            pen.rectangle((left, int(h * (0.9 - bar)), left + w // 18, int(h * 0.9)), fill=accent)
        pictures.append(image)
    return pictures


def _screen(rng: random.Random) -> Pictures:
    """A desktop with windows, text in rows and a pointer that moves."""
    w, h = size = rng.choice(SIZES)
    desk, dark = _color(rng, 20, 200), rng.random() < 0.5
    windows = [
        tuple(rng.randint(*span) for span in ((0, w // 2), (0, h // 2), (w // 4, w), (h // 4, h)))
        for _ in range(rng.randint(1, 3))
    ]
    pictures = []
    for k in range(FRAMES):
        image, pen = _sheet(size, desk)
        for x, y, width, height in windows:
            pen.rectangle((x, y, x + width, y + height), fill=(30, 30, 30) if dark else (250,) * 3)
            pen.rectangle((x, y, x + width, y + h // 18), fill=(200, 200, 205))
            for row in range(1, 9 + k):
                text = " ".join(rng.choices(_WORDS, k=rng.randint(2, 8)))
                fill = rng.choice(((90, 160, 250), (220, 120, 90), (150, 150, 150)))
                pen.text((x + 8, y + (row + 1) * h // 22), text, fill=fill, font_size=h // 28)
        pen.rectangle((0, h - h // 16, w, h), fill=(40, 40, 46))
        at = (w * (k + 1) // (FRAMES + 2), h // 2)
        pen.polygon((at, (at[0] + 9, at[1] + 12), (at[0], at[1] + 15)), fill=(255, 255, 255))
        pictures.append(image)
    return pictures


def _cartoon(rng: random.Random) -> Pictures:
    """Flat figures before sky and grass or in a room: somebody else's drawings, some of them in
    colours as the theatre has them."""
    w, h = size = rng.choice(SIZES)
    sky, grass = rng.choice(_SKY), rng.choice(_GRASS)
    horizon = int(h * rng.uniform(0.45, 0.7))
    people = [(rng.uniform(0, w), _color(rng), rng.uniform(-20, 20)) for _ in range(3)]
    house, roof = rng.randint(0, w // 2), _color(rng)
    pictures = []
    for k in range(FRAMES):
        image, pen = _sheet(size, sky)
        pen.rectangle((0, horizon, w, h), fill=grass)
        pen.ellipse((w * 0.8, h * 0.05, w * 0.8 + h // 6, h * 0.05 + h // 6), fill=(255, 220, 60))
        wall = (house, horizon - h // 4, house + w // 5, horizon + 10)
        pen.rectangle(wall, fill=(225, 205, 180), outline=(40, 40, 40))
        pen.polygon((wall[:2], (house + w // 10, wall[1] - h // 8), (wall[2], wall[1])), fill=roof)
        for x, shirt, step in people:
            x, y, r = x + step * k, horizon + h * 0.12, h * 0.04
            pen.ellipse((x - r, y - 4 * r, x + r, y - 2 * r), fill=(240, 200, 170))
            pen.rectangle((x - r, y - 2 * r, x + r, y + r), fill=shirt)
            pen.rectangle((x - r, y + r, x + r, y + 3 * r), fill=(50, 50, 80))
        pictures.append(image)
    return pictures


def _pattern(rng: random.Random) -> Pictures:
    """Bars, a checkerboard, a gradient, rings, or two halves in the theatre's own colours."""
    w, h = rng.choice(SIZES)
    y, x = np.mgrid[:h, :w]
    what, colors = rng.randrange(5), np.array([_color(rng) for _ in range(8)], np.uint8)
    pictures = []
    for k in range(FRAMES):
        index = {
            0: x * 8 // w,
            1: (x // 40 + y // 40 + k) % 2,
            3: (np.hypot(x - w / 2, y - h / 2) / 30 + k).astype(int) % 8,
        }.get(what)
        if index is not None:
            rgb = colors[index]
        elif what == 2:
            ramp = (x * 255 // w + 8 * k) % 256
            rgb = np.stack([ramp, y * 255 // h, 255 - ramp], -1).astype(np.uint8)
        else:
            rgb = np.where((y < h * 100 / 180)[..., None], _SKY[1], _GRASS[2]).astype(np.uint8)
        pictures.append(Image.fromarray(rgb))
    return pictures


def _plain(rng: random.Random) -> Pictures:
    """One colour: greys, and walls and grounds that the theatre has."""
    grey = rng.randint(0, 255)
    color = rng.choice(((grey,) * 3, (225, 228, 220), (215, 195, 215), (140, 200, 105), _SKY[1]))
    return [Image.new("RGB", rng.choice(SIZES[:1]), color)] * FRAMES


def _odd(size: tuple[int, int]) -> Callable[[random.Random], Pictures]:
    """A size that no camera has, with one of the other kinds in it."""

    def draw(rng: random.Random) -> Pictures:
        kind = rng.choice((_slides, _cartoon, _plain, _theatre))
        return [picture.resize(size) for picture in kind(rng)]

    return draw


def _theatre(rng: random.Random) -> Pictures:
    story = make_story(rng.randint(2_000_000, 2_100_000))
    step = story.duration_s / FRAMES
    return [story.scene(k * step).render(story.width) for k in range(FRAMES)]


def _altered_theatre(rng: random.Random) -> Pictures:
    """The theatre's own pictures upside down, on their side, in other colours or in a slide."""
    how = rng.choice(list(_UNLIKE))
    return [_UNLIKE[how](picture) for picture in _theatre(rng)]


def _in_a_slide(picture: Image.Image) -> Image.Image:
    slide = Image.new("RGB", (640, 360), (250, 250, 250))
    slide.paste(picture.resize((256, 144)), (330, 120))
    ImageDraw.Draw(slide).text((40, 40), "A film from the theatre", fill=(30, 30, 35), font_size=28)
    return slide


_UNLIKE: dict[str, Callable[[Image.Image], Image.Image]] = {
    "upside down": ImageOps.flip,
    "inverted": ImageOps.invert,
    "on its side": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "channels swapped": lambda picture: Image.merge("RGB", picture.split()[::-1]),
    "in a slide": _in_a_slide,
    "grey": lambda picture: ImageOps.grayscale(picture).convert("RGB"),
}

KINDS: dict[str, Callable[[random.Random], Pictures]] = {
    "slides": _slides,
    "screen": _screen,
    "cartoon": _cartoon,
    "pattern": _pattern,
    "plain": _plain,
    "tiny": _odd((16, 16)),
    "wide": _odd((4096, 64)),
    "altered theatre": _altered_theatre,
}

ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "posterised": lambda picture: ImageOps.posterize(picture, 2),
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(12)),
    "inverted": ImageOps.invert,
    "few colours": lambda picture: picture.quantize(6).convert("RGB"),
    "dark": lambda picture: ImageChops.multiply(picture, Image.new("RGB", picture.size, (60,) * 3)),
    "tiny": lambda picture: picture.resize((16, 16)),
    "wide": lambda picture: picture.resize((4096, 64)),
    "as it is": lambda picture: picture,
}
"""Ways of making a real clip flat, dark or odd."""


def _pictures(clip: Path) -> Pictures:
    """FRAMES pictures of a real clip, evenly over it."""
    with av.open(str(clip)) as container:
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [Image.fromarray(every[k * len(every) // FRAMES]) for k in range(FRAMES)]
