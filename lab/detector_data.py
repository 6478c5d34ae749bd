"""Frames of the theatre with their boxes, and a YOLO dataset made of them."""

import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from videoespresso.theatre import LABELS, SPLITS, Scene, make_story
from videoespresso.theatre.style import Rgb, Style, StyleFamily
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


def write_dataset(folder: Path, images: int, validation: int) -> Path:
    """A dataset in ultralytics' layout; returns its data.yaml. Kept if it is already complete.

    images/{train,val}/SEED_K.jpg and labels/{train,val}/SEED_K.txt with a line "class x y w h" a
    box, centre and size in 0-1. Raises `OSError` when the disk is full.
    """
    recipe = {"images": images, "validation": validation, "labels": list(LABELS)}
    done = folder / "complete.json"
    if done.is_file() and json.loads(done.read_text()) == recipe:
        return folder / "data.yaml"
    shutil.rmtree(folder, ignore_errors=True)
    _write_split(folder, "train", training_frames(images))
    _write_split(folder, "val", split_frames(validation, "validation"))
    where = json.dumps(str(folder.resolve()))  # JSON is YAML
    (folder / "data.yaml").write_text(
        f"path: {where}\ntrain: images/train\nval: images/val\n"
        f"names: {json.dumps(dict(enumerate(LABELS)))}\n"
    )
    done.write_text(json.dumps(recipe))
    return folder / "data.yaml"


def _write_split(folder: Path, split: str, frames: Iterator[Labelled]) -> None:
    images, labels = folder / "images" / split, folder / "labels" / split
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for k, frame in enumerate(frames):
        name = f"{frame.seed}_{k}"
        frame.image.save(images / f"{name}.jpg", quality=95)
        (labels / f"{name}.txt").write_text("".join(_line(box) for box in frame.boxes))


def _line(box: Box) -> str:
    x0, y0, x1, y1 = box.xyxy
    numbers = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)
    return f"{LABELS.index(box.label)} {' '.join(f'{v:.5f}' for v in numbers)}\n"


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
