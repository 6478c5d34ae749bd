"""The frames of the theatre's records as arrays, with their truth: read once, for every stage."""

import functools
import io
import itertools
import multiprocessing
import pickle
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from videoespresso.dataset import records_io
from videoespresso.dataset_record import DatasetItem, KeyFrame
from videoespresso.theatre import LABELS, SceneObject, Story, make_story
from videoespresso.theatre.scene import Actor, Phase, prop_of
from videoespresso.theatre.stories import MOODS, SETTINGS, WEATHERS
from videoespresso.training.pack.shape import IMAGE_SIZE, PATCH

LOOKS = ("man", "woman", "boy", "girl", "cook", "officer", "builder")
COLORS = ("red", "blue", "green", "yellow", "purple", "white", "black")
POSES = ("stand", "walk", "run", "kick", "wave", "stop", "hold", "up", "phone", "sleep")
DOING = (
    "is red",
    "is green",
    "is on",
    "is off",
    "stands",
    "breaks",
    "blooms",
    "wilts",
    "smokes",
    "rings",
    "drives",
    "stops",
    "drives past",
    "crosses",
    "runs",
    "takes",
    "flies",
    "sits",
    "logs",
    "boxes",
    "fruit",
    "sand",
)
HEADS = {
    "label": len(LABELS) + 1,
    "look": len(LOOKS) + 1,
    "color": len(COLORS) + 1,
    "mood": len(MOODS) + 1,
    "pose": len(POSES) + 1,
    "doing": len(DOING) + 1,
    "setting": len(SETTINGS),
    "weather": len(WEATHERS) + 1,
}
GRID = IMAGE_SIZE // PATCH


def _index(options: tuple[str, ...], value: str) -> int:
    return options.index(value) + 1 if value in options else 0


def _patch_row(o: SceneObject, actor: Actor) -> tuple[int, ...]:
    is_person = o.label == "person"
    doing = actor.act if actor.act in DOING else actor.act.split(" ")[0]
    if actor.cargo and actor.act == "drives":
        doing = actor.cargo
    return (
        _index(LABELS, o.label),
        _index(LOOKS, actor.who) if is_person else 0,
        _index(COLORS, actor.color) if o.label in ("person", "car", "bus", "truck") else 0,
        _index(MOODS, actor.mood) if is_person else 0,
        _index(POSES, prop_of(actor)[0]) if is_person else 0,
        0 if is_person else _index(DOING, doing),
    )


def patch_truth(objects: Sequence[SceneObject], phase: Phase) -> NDArray[np.uint8]:
    """(GRID, GRID, 8) class numbers: the smallest object over each patch centre, and the scene."""
    actors = {a.key: a for a in phase.actors}
    out = np.zeros((GRID, GRID, len(HEADS)), np.uint8)
    out[..., 6] = SETTINGS.index(phase.setting)
    out[..., 7] = _index(WEATHERS, phase.weather)
    centres = (np.arange(GRID) + 0.5) / GRID
    big_first = sorted(objects, key=lambda o: -(o.xyxy[2] - o.xyxy[0]) * (o.xyxy[3] - o.xyxy[1]))
    for o in big_first:
        x0, y0, x1, y1 = o.xyxy
        xs, ys = (centres >= x0) & (centres <= x1), (centres >= y0) & (centres <= y1)
        out[np.ix_(ys, xs)] = [*_patch_row(o, actors[o.key]), out[0, 0, 6], out[0, 0, 7]]
    return out


class PatchHeads(nn.Module):  # type: ignore[misc]  # torch is not part of the core install
    """One linear read-out a kind of truth, thrown away after the stage."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, n) for n in HEADS.values())

    def forward(self, x: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses, right = [], []
        seen = truth[..., 0] > 0
        for i, head in enumerate(self.heads):
            logits = head(x)
            losses.append(
                nn.functional.cross_entropy(logits.flatten(0, 1), truth[..., i].flatten())
            )
            right.append((logits.argmax(-1) == truth[..., i])[seen].float().mean())
        return torch.stack(losses).sum(), torch.stack(right)


story_of = functools.lru_cache(maxsize=50_000)(make_story)
"""`make_story`, remembered: every lesson on a story needs it again."""


@dataclass(frozen=True)
class FrameTruth:
    """One rendered frame: which story and phase it shows, when, what is on it, and its caption."""

    seed: int
    phase: int
    time_s: float
    objects: tuple[SceneObject, ...]
    caption: str


@dataclass(frozen=True)
class FrameSet:
    """`pixels`: (n, size, size, 3) uint8 and `patches`: (n, GRID, GRID, 8), what covers each patch,
    both memory-mapped; `truth[i]` belongs to `pixels[i]`. `items`: the records of each story;
    `numbers`: the frame of each picture of theirs."""

    pixels: NDArray[np.uint8]
    patches: NDArray[np.uint8]
    truth: list[FrameTruth]
    by_phase: dict[tuple[int, int], list[int]]
    items: dict[int, list[DatasetItem]]
    numbers: dict[str, int]

    @classmethod
    def load(cls, folder: Path) -> "FrameSet":
        truth, items, numbers = pickle.loads((folder / "truth.pkl").read_bytes())
        by_phase: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, t in enumerate(truth):
            by_phase[t.seed, t.phase].append(i)
        pixels, patches = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS)
        return cls(pixels, patches, truth, dict(by_phase), items, numbers)


def as_camera(image: Image.Image, rng: random.Random) -> NDArray[np.uint8]:
    """What a lossy codec and a resize leave of a frame, as the model gets it."""
    if rng.random() < 0.6:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(45, 92))
        image = Image.open(buffer)
    return np.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


_ARRAYS = {"frames": (IMAGE_SIZE, IMAGE_SIZE, 3), "patches": (GRID, GRID, len(HEADS))}


def _frames(items: Sequence[DatasetItem]) -> tuple[Story, list[KeyFrame]]:
    """A story with the pictures of its records and, without a picture, an instant of each phase
    that no question needs: a captioner sees these, too."""
    seed = items[0].seed or 0
    story = make_story(seed, items[0].extra["story"].rpartition("-")[0])
    rng = random.Random(f"frames{seed}")
    frames = list({f.image: f for item in items for f in item.core_frames}.values())
    there = {story.phase_at(f.time_s or 0.0) for f in frames}
    for k, phase in enumerate(story.phases):
        if k not in there:
            t = rng.uniform(phase.t0, phase.t1)
            frames.append(KeyFrame(time_s=t, captioned=phase.caption))
    return story, frames


def _read_story(
    folder: Path, source: Path, of: tuple[Story, list[KeyFrame]], at: int
) -> list[FrameTruth]:
    """Puts the frames of a story into the arrays, from row `at` on."""
    story, frames = of
    rng = random.Random(f"pictures{story.seed}")
    pixels, patches = (np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _ARRAYS)
    truth = []
    for row, frame in enumerate(frames, at):
        t = frame.time_s or 0.0
        objects, phase = story.scene(t).objects, story.phase_at(t)
        if frame.image:
            with Image.open(source / frame.image) as picture:
                pixels[row] = as_camera(picture, rng)
        else:
            pixels[row] = as_camera(story.scene(t).render(story.width), rng)
        patches[row] = patch_truth(objects, story.phases[phase])
        truth.append(FrameTruth(story.seed, phase, t, tuple(objects), frame.captioned))
    return truth


def build(folder: Path, source: Path, workers: int) -> None:
    """Reads what `theatre build --records` wrote into `source`; skipped when already done."""
    if (folder / "truth.pkl").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    items: dict[int, list[DatasetItem]] = defaultdict(list)
    for item in records_io.read_items(source):
        items[item.seed or 0].append(item)
    stories = [_frames(mine) for mine in items.values()]
    ends = list(itertools.accumulate(len(frames) for _, frames in stories))
    for name, shape in _ARRAYS.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (ends[-1], *shape))
    jobs = zip(
        itertools.repeat(folder), itertools.repeat(source), stories, [0, *ends], strict=False
    )
    with multiprocessing.Pool(workers) as pool:
        read = pool.starmap(_read_story, jobs, chunksize=16)
    truth = [one for story in read for one in story]
    names = (frame.image for _, frames in stories for frame in frames)
    numbers = {name: row for row, name in enumerate(names) if name}
    (folder / "truth.pkl").write_bytes(pickle.dumps((truth, dict(items), numbers)))
