"""Rendered training frames on disk, with their truth: made once, read by every stage."""

import functools
import io
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

from videoespresso.synthetic import SceneObject, Story, make_story
from videoespresso.training.pack.shape import IMAGE_SIZE

told = functools.lru_cache(maxsize=20_000)(make_story)
"""`make_story`, remembered: every lesson on a story needs it again."""


@dataclass(frozen=True)
class FrameTruth:
    """One rendered frame: which story and phase it shows, when, and what is on it."""

    seed: int
    phase: int
    time_s: float
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class FrameSet:
    """`pixels`: (n, size, size, 3) uint8, memory-mapped; `truth[i]` belongs to `pixels[i]`."""

    pixels: NDArray[np.uint8]
    truth: list[FrameTruth]
    by_phase: dict[tuple[int, int], list[int]]
    seeds: list[int]

    @classmethod
    def load(cls, folder: Path) -> "FrameSet":
        truth: list[FrameTruth] = pickle.loads((folder / "truth.pkl").read_bytes())
        by_phase: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, t in enumerate(truth):
            by_phase[t.seed, t.phase].append(i)
        pixels = np.load(folder / "frames.npy", mmap_mode="r")
        return cls(pixels, truth, dict(by_phase), sorted({t.seed for t in truth}))


def as_camera(image: Image.Image, rng: random.Random) -> NDArray[np.uint8]:
    """What a lossy codec and a resize leave of a frame, as the model gets it."""
    if rng.random() < 0.6:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(45, 92))
        image = Image.open(buffer)
    return np.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


def _render_story(seed: int) -> tuple[list[FrameTruth], list[NDArray[np.uint8]]]:
    rng = random.Random(f"frames{seed}")
    story: Story = make_story(seed)
    truth, pixels = [], []
    for k, phase in enumerate(story.phases):
        t = rng.uniform(phase.t0, phase.t1)
        image, objects = story.scene(t).draw(rng.choice((320, 320, 480)))
        truth.append(FrameTruth(seed, k, t, tuple(objects)))
        pixels.append(as_camera(image, rng))
    return truth, pixels


def build(folder: Path, seeds: Sequence[int], workers: int) -> None:
    """Render one random instant of every phase of every story; skipped when already there."""
    if (folder / "truth.pkl").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(len(make_story(s).phases) for s in seeds)
    shape = (total, IMAGE_SIZE, IMAGE_SIZE, 3)
    out = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, shape)
    all_truth: list[FrameTruth] = []
    with multiprocessing.Pool(workers) as pool:
        for truth, pixels in pool.imap(_render_story, seeds, chunksize=16):
            out[len(all_truth) : len(all_truth) + len(truth)] = pixels
            all_truth += truth
    out.flush()
    (folder / "truth.pkl").write_bytes(pickle.dumps(all_truth))
