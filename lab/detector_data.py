"""Frames of the theatre with their boxes, and the arrays that a detector is trained on."""

import io
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videoespresso.theatre import LABELS, SPLITS, Scene, make_story
from videoespresso.theatre.style import Rgb, Style, StyleFamily
from videoespresso.tools.detectors.onnx_yolo import letterbox
from videoespresso.types import Box

BALANCED = 2 / 3
"""Share of the training frames picked for rare labels: drawn at random, half of all boxes are
people, and a pizza is in one frame of three hundred."""

STORIES_A_PICK = 3
"""Stories looked through for one balanced frame."""

JITTERED = 0.5
"""Share of the training frames whose colours, grain and blur are drawn anew, so that the detector
does not learn the palettes. Outlines stay those of the training styles; the held-out style keeps
its own to itself."""


@dataclass(frozen=True)
class Labelled:
    """One frame and the truth about it; `boxes` have score 1."""

    seed: int
    image: Image.Image
    boxes: tuple[Box, ...]


def natural_frame(seed: int, family: StyleFamily = "train") -> Labelled:
    """A frame at an instant drawn evenly from the story, as a viewer would meet it."""
    story = make_story(seed, family=family)
    rng = random.Random(f"instant{seed}")
    return _shot(story.scene(rng.uniform(0.0, story.duration_s)), seed, story.width, rng)


def split_frames(n: int, split: str, family: StyleFamily = "train") -> Iterator[Labelled]:
    """`n` natural frames, one a story, from the first seeds of a split ("validation", "test")."""
    first, end = SPLITS[split]
    for seed in range(first, min(first + n, end)):
        yield natural_frame(seed, family)


def training_frames(n: int) -> Iterator[Labelled]:
    """`n` frames from training seeds: natural ones, ones picked for rare labels, some jittered."""
    seeds = iter(range(*SPLITS["train"]))
    seen: Counter[str] = Counter()
    for _ in range(n):
        seed = next(seeds)
        rng = random.Random(f"yolo{seed}")
        if rng.random() < BALANCED:
            picked = [(seed, make_story(seed))]
            picked += [(s, make_story(s)) for s in (next(seeds) for _ in range(STORIES_A_PICK - 1))]
            options = [
                (s, story.width, story.scene(rng.uniform(phase.t0, phase.t1)))
                for s, story in picked
                for phase in story.phases
            ]
            seed, width, scene = max(options, key=lambda option: _rarity(option[2], seen))
        else:
            story = make_story(seed)
            width, scene = story.width, story.scene(rng.uniform(0.0, story.duration_s))
        if rng.random() < JITTERED:
            scene = replace(scene, style=jittered(scene.style, rng))
        frame = _shot(scene, seed, width, rng)
        seen.update(box.label for box in frame.boxes)
        yield frame


def jittered(style: Style, rng: random.Random) -> Style:
    """A style with other grounds, tint, grain and blur; named colours and outlines stay."""

    def moved(color: Rgb) -> Rgb:
        r, g, b = (max(0, min(255, c + rng.randint(-60, 60))) for c in color)
        return r, g, b

    return replace(
        style,
        far=moved(style.far),
        near=moved(style.near),
        grain=rng.uniform(0.0, 2.0),
        blur=rng.uniform(0.0, 0.8),
        tint=(rng.uniform(0.88, 1.0), rng.uniform(0.88, 1.0), rng.uniform(0.88, 1.0)),
    )


class Table(NamedTuple):
    """Training frames as the network sees them.

    pixels: (n, 3, height, width) uint8, letterboxed. boxes: (n, most, 5) float32, the label's place
    in `LABELS` and the corners xyxy in the network's pixels; the label is -1 where there is none.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]


def frame_table(folder: Path, n: int, height: int, width: int) -> Table:
    """`n` training frames, kept in `folder` and drawn only where they are not there yet.

    8,000 frames of 320 x 192 take 1.5 GB of disk. Raises `OSError` when it is full.
    """
    recipe = {"frames": n, "height": height, "width": width, "labels": list(LABELS)}
    done = folder / "complete.json"
    if not done.is_file() or json.loads(done.read_text()) != recipe:
        done.unlink(missing_ok=True)
        _draw_table(folder, n, height, width)
        done.write_text(json.dumps(recipe))
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    return Table(pixels, np.load(folder / "boxes.npy"))


def _draw_table(folder: Path, n: int, height: int, width: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.lib.format.open_memmap(
        folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(n, 3, height, width)
    )
    rows = []
    for k, frame in enumerate(training_frames(n)):
        boxed = letterbox(frame.image, height, width)
        pixels[k] = np.rint(boxed.pixels[0] * 255)
        size = np.array(frame.image.size * 2) * boxed.scale
        shift = np.array([boxed.left, boxed.top] * 2)
        rows.append([(LABELS.index(b.label), *(b.xyxy * size + shift)) for b in frame.boxes])
    pixels.flush()
    boxes = np.full((n, max(map(len, rows)), 5), -1, np.float32)
    for k, row in enumerate(rows):
        boxes[k, : len(row)] = np.reshape(row, (-1, 5))
    np.save(folder / "boxes.npy", boxes)


def _rarity(scene: Scene, seen: Counter[str]) -> float:
    labels: Sequence[str] = sorted({thing.label for thing in scene.objects})
    return sum(1.0 / (1 + seen[label]) for label in labels)


def _shot(scene: Scene, seed: int, width: int, rng: random.Random) -> Labelled:
    """The frame as it comes out of a video: drawn, then through lossy compression."""
    image, things = scene.draw(width)
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=rng.randint(60, 95))
    boxes = tuple(Box(label=thing.label, xyxy=thing.xyxy, score=1.0) for thing in things)
    return Labelled(seed, Image.open(packed).convert("RGB"), boxes)
