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
from numpy.typing import NDArray
from PIL import Image

from lab.pack.patches import GRID, HEADS, patch_truth
from videoespresso.theatre import SceneObject, Story, make_story
from videoespresso.training.pack.shape import IMAGE_SIZE

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
