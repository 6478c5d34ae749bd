"""Three stages of learning, each with a time budget, each resumable from its last checkpoint.

vision    the vision tower alone: what covers each patch, from the theatre's truth
language  the language model alone: captions + question -> core frames, evidence, answer
joint     both: captions from pixels, evidence and answers from core frames with their pixels

The learning rate follows the share of the budget that is spent, so one recipe serves two slow cores
and a GPU. `vision` and `language` do not need each other and run side by side.
"""

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lab.pack.batches import (
    BRANCHED,
    MASKED,
    Batch,
    Pixels,
    batches,
    forward,
)
from lab.pack.frames import HEADS, FrameSet, PatchHeads
from lab.pack.lessons import Teacher
from videoespresso.training.pack import shape
from videoespresso.training.pack.shape import Shape, build_model

STAGES = ("vision", "language", "joint")
TEXT = {
    "find": 0.02,
    "match": 0.05,
    "select": 0.33,
    "reason": 0.38,
    "check": 0.07,
    "blind": 0.03,
    "pairs": 0.12,
}
"""Lessons without captioning, by share of their number. `find` and `match` are drills, `pairs` are
dataset mode's roles."""
DIETS: dict[str, tuple[tuple[dict[str, float], int], ...]] = {
    "language": ((TEXT, 3200),),
    "joint": (({"caption": 1.0}, 1200), (TEXT, 2400)),
}
"""What a step is made of: lessons, and tokens. A step of the joint stage is a batch of captions,
from which pixels are learned, and one of everything else, which leaves the vision tower alone."""
PROMPT_WEIGHT = {"language": 0.15, "joint": 0.0}
"""Weight of the prompt's own tokens in the loss: copying is learned sooner where captions repeat
themselves, and the language stage has no other cheap supervision."""
PEAK_RATE = {"vision": (1.2e-3,), "language": (1e-3, 0.005), "joint": (1e-3, 0.005)}
"""Learning rates of AdamW and, where the language model learns, of Muon (for its matrices)."""
GPU_BATCH = 16
"""Times as many tokens and frames a step as on a CPU: a small model leaves a GPU idle otherwise."""
GPU_RATE = 2.0
"""Times the learning rates, for steps of that size."""
FRAMES = 48
"""Frames a step of the vision stage."""
LOG_EVERY = 50


class Batches(IterableDataset[Batch]):  # type: ignore[misc]  # torch is not part of the core install
    """An endless row of batches of lessons; in each worker process another one."""

    def __init__(
        self,
        tokenizer: Any,
        frames: FrameSet,
        stage: str,
        course: int,
        seed: int,
        times: int,
    ) -> None:
        self.parts = tokenizer, frames, stage, course, seed, times

    def __iter__(self) -> Iterator[Batch]:
        tokenizer, frames, stage, course, seed, times = self.parts
        worker = get_worker_info()
        seed += 1_000_003 * (worker.id if worker else 0)
        if worker:
            torch.set_num_threads(1)
        teacher = Teacher(frames, seed, with_images=stage == "joint")
        diet, tokens = DIETS[stage][course]
        lessons = teacher.stream(diet)
        return batches(tokenizer, lessons, times * tokens, PROMPT_WEIGHT[stage])


@dataclass
class Clock:
    """Time spent on a stage over all its runs, against its budget."""

    budget_s: float
    spent_s: float = 0.0
    _mark: float = field(default_factory=time.monotonic)

    def tick(self) -> float:
        """Share of the budget spent so far."""
        now = time.monotonic()
        self.spent_s += now - self._mark
        self._mark = now
        return self.spent_s / self.budget_s


def share(done: float) -> float:
    """Of the peak rate: warm-up over the first 2 %, a plateau, and down to a twentieth."""
    return max(0.05, min(1.0, max(done, 1e-4) / 0.02, (1.0 - done) / 0.4))


def _optimizers(model: Any, heads: nn.Module | None) -> list[torch.optim.Optimizer]:
    """AdamW for the vision stage (`heads` are its); for the others also Muon, which teaches the
    language model's matrices to look things up in far fewer steps."""
    adam = {"betas": (0.9, 0.98), "weight_decay": 0.02}
    if heads is not None:
        return [torch.optim.AdamW([*model.parameters(), *heads.parameters()], **adam)]
    layers = [p for p in model.model.text_model.layers.parameters() if p.ndim == 2]
    mine = {id(p) for p in layers}
    rest = [p for p in model.parameters() if id(p) not in mine]
    return [torch.optim.AdamW(rest, **adam), torch.optim.Muon(layers, weight_decay=0.01)]


@dataclass
class Run:
    """A folder with frames, tokenizer, checkpoints and a log."""

    out: Path
    shape: Shape
    minutes: dict[str, float]
    seed: int = 0
    init: Path | None = None
    workers: int = 0
    """Processes that make lessons while a GPU learns from them."""

    @property
    def device(self) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"

    def tokenizer(self, frames: FrameSet) -> Any:
        """The tokenizer, learned from a few thousand lessons the first time."""
        from tokenizers import Tokenizer  # noqa: PLC0415 - beside torch, not before

        path = self.out / "processor" / "tokenizer.json"
        if not path.exists():
            teacher = Teacher(frames, 1, with_images=False)
            diet = {**DIETS["language"][0][0], "caption": 0.2}
            lessons = itertools.islice(teacher.stream(diet), 1500)
            texts = (one.shared + t for one in lessons for b in one.branches for t, _ in b)
            shape.save(shape.learn(texts), path.parent)
        return Tokenizer.from_file(str(path))

    def model(self, tokenizer: Any) -> Any:
        torch.manual_seed(self.seed)
        ids = {
            "pad": tokenizer.token_to_id(shape.PAD),
            "end": tokenizer.token_to_id(shape.END),
            "image": tokenizer.token_to_id(shape.IMAGE),
        }
        return build_model(self.shape, ids).to(self.device)

    def checkpoint(self, stage: str) -> Path:
        return self.out / f"{stage}.pt"

    def log(self, stage: str, **values: object) -> None:
        line = json.dumps({"stage": stage, **values})
        with (self.out / f"{stage}.jsonl").open("a") as f:
            f.write(line + "\n")

    def train(self, stage: str, frames: FrameSet) -> None:
        """Run or resume one stage until its budget is spent."""
        tokenizer = self.tokenizer(frames)
        model = self.model(tokenizer)
        gpu = self.device == "cuda"
        model.model.text_model.config._attn_implementation = MASKED if gpu else BRANCHED
        heads = PatchHeads(self.shape.vision_width).to(self.device)
        if stage == "joint":
            self._begin(model)
        weights = [*model.parameters(), *(heads.parameters() if stage == "vision" else ())]
        optimizers = _optimizers(model, heads if stage == "vision" else None)
        clock, step = Clock(self.minutes[stage] * 60), 0
        if self.checkpoint(stage).exists():
            saved = torch.load(self.checkpoint(stage), map_location=self.device)
            model.load_state_dict(saved["model"])
            heads.load_state_dict(saved["heads"])
            for optimizer, state in zip(optimizers, saved.get("optimizers", ()), strict=False):
                optimizer.load_state_dict(state)
            clock.spent_s, step = saved["spent_s"], saved["step"]
        losses = (
            self._vision(model, heads, frames, step)
            if stage == "vision"
            else self._lessons(stage, model, tokenizer, frames, step)
        )
        done, saved_at = clock.tick(), time.monotonic()
        model.train()
        while done < 1.0:
            with torch.autocast("cuda", torch.bfloat16, enabled=gpu):
                loss, report = next(losses)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            for optimizer, peak in zip(optimizers, PEAK_RATE[stage], strict=False):
                for group in optimizer.param_groups:
                    group["lr"] = peak * share(done) * (GPU_RATE if gpu else 1.0)
                optimizer.step()
                optimizer.zero_grad()
            step, done = step + 1, clock.tick()
            if step % LOG_EVERY == 0:
                self.log(
                    stage,
                    step=step,
                    done=round(done, 3),
                    loss=round(float(loss.detach()), 4),
                    **{name: round(float(value), 4) for name, value in report.items()},
                )
            if time.monotonic() - saved_at > 120 or done >= 1.0:
                self._save(stage, model, heads, optimizers, clock, step)
                saved_at = time.monotonic()

    def _begin(self, model: Any) -> None:
        """Joint starts from the two towers, or from a pack that was trained before (`init`)."""
        if self.init is not None:
            from safetensors.torch import load_file  # noqa: PLC0415 - extra `train`

            model.load_state_dict(load_file(self.init / "model.safetensors"), strict=False)
            model.tie_weights()
            return
        for part in ("vision", "language"):
            saved = torch.load(self.checkpoint(part), map_location=self.device)["model"]
            own = {k: v for k, v in saved.items() if ("vision_model" in k) == (part == "vision")}
            model.load_state_dict(own, strict=False)

    def _save(
        self,
        stage: str,
        model: Any,
        heads: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        clock: Clock,
        step: int,
    ) -> None:
        state = {
            "model": model.state_dict(),
            "heads": heads.state_dict(),
            "spent_s": clock.spent_s,
            "step": step,
            "optimizers": [o.state_dict() for o in optimizers],
        }
        part = self.checkpoint(stage).with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint(stage))

    @property
    def times(self) -> int:
        """How many times a CPU's step one is here."""
        return GPU_BATCH if self.device == "cuda" else 1

    def _vision(self, model: Any, heads: nn.Module, frames: FrameSet, step: int) -> Iterator[Any]:
        rng = np.random.default_rng(step)
        pixels, count = Pixels(frames, self.device), FRAMES * self.times
        count = min(count, len(frames.truth))
        while True:
            picked = np.sort(rng.choice(len(frames.truth), count, replace=False))
            truth = frames.patches[picked].reshape(count, -1, len(HEADS)).astype(np.int64)
            seen = pixels(picked).to(self.device)
            hidden = model.model.vision_model(pixel_values=seen).last_hidden_state
            loss, right = heads(hidden, torch.from_numpy(truth).to(self.device))
            yield loss, dict(zip(HEADS, right, strict=True))

    def _lessons(
        self, stage: str, model: Any, tokenizer: Any, frames: FrameSet, step: int
    ) -> Iterator[Any]:
        pixels = Pixels(frames, self.device) if stage == "joint" else None
        courses = []
        for n in range(len(DIETS[stage])):
            made = Batches(tokenizer, frames, stage, n, 1000 + 7 * step + n, self.times)
            workers = self.workers // len(DIETS[stage])
            courses.append(iter(DataLoader(made, None, num_workers=workers)))
        while True:
            parts = [
                forward(model, next(course), pixels, self.device, look=n == 0)
                for n, course in enumerate(courses)
            ]
            report = {f"accuracy_{n}": right for n, (_, right) in enumerate(parts)}
            yield sum(loss for loss, _ in parts), report
