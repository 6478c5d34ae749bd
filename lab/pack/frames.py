"""Rendered training frames on disk, with their truth: made once, read by every stage."""

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
    both memory-mapped; `truth[i]` belongs to `pixels[i]`."""

    pixels: NDArray[np.uint8]
    patches: NDArray[np.uint8]
    truth: list[FrameTruth]
    by_phase: dict[tuple[int, int], list[int]]
    seeds: list[int]

    @classmethod
    def load(cls, folder: Path) -> "FrameSet":
        truth: list[FrameTruth] = pickle.loads((folder / "truth.pkl").read_bytes())
        by_phase: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, t in enumerate(truth):
            by_phase[t.seed, t.phase].append(i)
        pixels, patches = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS)
        return cls(pixels, patches, truth, dict(by_phase), sorted({t.seed for t in truth}))


def as_camera(image: Image.Image, rng: random.Random) -> NDArray[np.uint8]:
    """What a lossy codec and a resize leave of a frame, as the model gets it."""
    if rng.random() < 0.6:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(45, 92))
        image = Image.open(buffer)
    return np.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


_ARRAYS = {"frames": (IMAGE_SIZE, IMAGE_SIZE, 3), "patches": (GRID, GRID, len(HEADS))}


def _phases(seed: int) -> int:
    return len(make_story(seed).phases)


def _render_story(folder: Path, seed: int, at: int) -> list[FrameTruth]:
    """Draws a story's phases into the arrays, from row `at` on."""
    rng = random.Random(f"frames{seed}")
    story: Story = make_story(seed)
    pixels, patches = (np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _ARRAYS)
    told_of: list[FrameTruth] = []
    for k, phase in enumerate(story.phases):
        t = rng.uniform(phase.t0, phase.t1)
        image, objects = story.scene(t).draw(rng.choice((320, 320, 480)))
        pixels[at + k] = as_camera(image, rng)
        patches[at + k] = patch_truth(objects, phase)
        told_of.append(FrameTruth(seed, k, t, tuple(objects), phase.caption))
    return told_of


def build(folder: Path, seeds: Sequence[int], workers: int) -> None:
    """Render one random instant of every phase of every story; skipped when already there."""
    if (folder / "truth.pkl").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool(workers) as pool:
        ends = list(itertools.accumulate(pool.map(_phases, seeds, chunksize=64)))
        for name, shape in _ARRAYS.items():
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (ends[-1], *shape))
        jobs = zip(itertools.repeat(folder), seeds, [0, *ends], strict=False)
        told_of = pool.starmap(_render_story, jobs, chunksize=16)
    truth = [one for story in told_of for one in story]
    (folder / "truth.pkl").write_bytes(pickle.dumps(truth))
