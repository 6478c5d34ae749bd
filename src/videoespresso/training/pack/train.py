"""Three stages of learning, each with a time budget, each resumable from its last checkpoint.

vision    the vision tower alone: what covers each patch, from the theatre's truth
language  the language model alone: captions + question -> core frames, evidence, answer
joint     both: captions from pixels, evidence and answers from core frames with their pixels

The learning rate follows the share of the budget that is spent, so one recipe serves two slow cores
and a GPU. `vision` and `language` do not need each other and run side by side.
"""

import itertools
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from videoespresso.synthetic import LABELS, SceneObject
from videoespresso.synthetic.scene import Actor, prop_of
from videoespresso.synthetic.stories import MOODS, SETTINGS, WEATHERS
from videoespresso.training.pack import vocabulary
from videoespresso.training.pack.frames import FrameSet, told
from videoespresso.training.pack.lessons import Lesson, Teacher
from videoespresso.training.pack.shape import IMAGE_SIZE, PATCH, Shape, build_model

STAGES = ("vision", "language", "joint")
LANGUAGE_DIET = {"select": 0.42, "reason": 0.44, "check": 0.08, "blind": 0.06}
JOINT_DIET = {"caption": 0.9, "select": 0.035, "reason": 0.055, "check": 0.005, "blind": 0.005}
"""By count. A caption is short (50 tokens, 900 for a lesson of reasoning) and is what pixels are
learned from; the text tasks were learned in the language stage and are kept warm here."""
TOKENS_A_BATCH = {"language": 3200, "joint": 3200}
PROMPT_WEIGHT = {"language": 0.15, "joint": 0.0}
"""Weight of the prompt's own tokens in the loss: copying is learned sooner where captions repeat
themselves, and the language stage has no other cheap supervision."""
PEAK_RATE = {"vision": 1.2e-3, "language": 2e-3, "joint": 1e-3}
LOG_EVERY = 50


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


def rate(stage: str, done: float) -> float:
    """Warm-up over the first 3 %, then cosine to a twentieth."""
    peak = PEAK_RATE[stage]
    if done < 0.03:
        return peak * max(done, 1e-4) / 0.03
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, (done - 0.03) / 0.97))))


def to_pixels(frames: "np.ndarray[Any, Any]") -> torch.Tensor:
    """(n, h, w, 3) uint8 -> (n, 3, h, w) in -1..1, as the image processor does."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


# --- vision -------------------------------------------------------------------------------------

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


def patch_truth(frames: FrameSet, k: int) -> "np.ndarray[Any, Any]":
    """(GRID, GRID, 8) class numbers: the smallest object over each patch centre, and the scene."""
    truth = frames.truth[k]
    phase = told(truth.seed).phases[truth.phase]
    actors = {a.key: a for a in phase.actors}
    out = np.zeros((GRID, GRID, len(HEADS)), np.int64)
    out[..., 6] = SETTINGS.index(phase.setting)
    out[..., 7] = _index(WEATHERS, phase.weather)
    centres = (np.arange(GRID) + 0.5) / GRID
    big_first = sorted(
        truth.objects, key=lambda o: -(o.xyxy[2] - o.xyxy[0]) * (o.xyxy[3] - o.xyxy[1])
    )
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


# --- batches ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """An encoded lesson: ids, the next token and its weight, positions, branch (0: shared)."""

    ids: list[int]
    targets: list[int]
    weights: list[float]
    positions: list[int]
    branches: list[int]
    images: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Rows of similar length, right-padded; padding is a branch of its own (-1)."""

    ids: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    positions: torch.Tensor
    branches: torch.Tensor
    images: list[int]


def encode(tokenizer: Any, one: Lesson, prompt: float) -> Row:
    """Each branch continues the positions of the shared beginning; images weigh nothing."""
    row = Row([], [], [], [], [], one.images)
    image = tokenizer.token_to_id(vocabulary.IMAGE)
    shared = tokenizer.encode(one.shared, add_special_tokens=False).ids
    pieces = [(0, 0, [(shared, False)])]
    for n, branch in enumerate(one.branches, 1):
        coded = [(tokenizer.encode(t, add_special_tokens=False).ids, learn) for t, learn in branch]
        pieces.append((n, len(shared), coded))
    for n, start, parts in pieces:
        ids = [i for part, _ in parts for i in part]
        weights = [
            1.0 if learn else 0.0 if i == image else prompt for part, learn in parts for i in part
        ]
        row.ids.extend(ids)
        row.targets.extend([*ids[1:], 0])
        row.weights.extend([*weights[1:], 0.0])
        row.positions.extend(range(start, start + len(ids)))
        row.branches.extend([n] * len(ids))
    return row


def batches(
    tokenizer: Any, lessons: Iterator[Lesson], tokens: int, prompt: float
) -> Iterator[Batch]:
    """Lessons of similar length together, about `tokens` tokens a batch."""
    rng = random.Random(0)
    while True:
        some = itertools.islice(lessons, 256)
        pool = sorted((encode(tokenizer, one, prompt) for one in some), key=lambda r: len(r.ids))
        groups: list[list[Row]] = [[]]
        for row in pool:
            if groups[-1] and (len(groups[-1]) + 1) * len(row.ids) > tokens:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        yield from (_padded(group) for group in groups)


def _padded(rows: list[Row]) -> Batch:
    size = (len(rows), max(len(r.ids) for r in rows))
    ids, targets, positions = (torch.zeros(size, dtype=torch.long) for _ in range(3))
    weights, branches = torch.zeros(size), torch.full(size, -1)
    for i, r in enumerate(rows):
        n = len(r.ids)
        ids[i, :n], targets[i, :n] = torch.tensor(r.ids), torch.tensor(r.targets)
        weights[i, :n], positions[i, :n] = torch.tensor(r.weights), torch.tensor(r.positions)
        branches[i, :n] = torch.tensor(r.branches)
    images = [k for r in rows for k in r.images]
    return Batch(ids, targets, weights, positions, branches, images)


def attention(branches: torch.Tensor) -> torch.Tensor:
    """(b, 1, n, n) additive mask: backwards only, within one's branch and the shared beginning."""
    n = branches.shape[1]
    earlier = torch.ones(n, n, dtype=torch.bool, device=branches.device).tril()
    mine = branches.unsqueeze(2) == branches.unsqueeze(1)
    shared = (branches == 0).unsqueeze(1)
    allowed = earlier & (mine | shared)
    return (
        torch.zeros(allowed.shape, device=branches.device).masked_fill(~allowed, -1e9).unsqueeze(1)
    )


def forward(model: Any, batch: Batch, frames: FrameSet, device: str) -> tuple[torch.Tensor, float]:
    """Loss and token accuracy over the replies."""
    ids = batch.ids.to(device)
    embeds = model.get_input_embeddings()(ids)
    if batch.images:
        unique, back = np.unique(batch.images, return_inverse=True)
        pixels = to_pixels(frames.pixels[unique]).to(device)
        seen = model.model.vision_model(pixel_values=pixels).last_hidden_state
        features = model.model.connector(seen)[torch.from_numpy(back).to(device)].flatten(0, 1)
        where = (ids == model.config.image_token_id).unsqueeze(-1).expand_as(embeds)
        embeds = embeds.masked_scatter(where, features.to(embeds.dtype))
    hidden = model.model.text_model(
        inputs_embeds=embeds,
        attention_mask=attention(batch.branches.to(device)),
        position_ids=batch.positions.to(device),
        use_cache=False,
    ).last_hidden_state
    learn = batch.weights > 0
    targets, weights = batch.targets[learn].to(device), batch.weights[learn].to(device)
    logits = model.lm_head(hidden[learn.to(device)])
    each = nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    reply = weights == 1.0
    right = float((logits.argmax(-1) == targets)[reply].float().mean())
    return (each * weights).sum() / weights.sum(), right


# --- the loop -----------------------------------------------------------------------------------


@dataclass
class Run:
    """A folder with frames, tokenizer, checkpoints and a log."""

    out: Path
    shape: Shape
    minutes: dict[str, float]
    seed: int = 0

    @property
    def device(self) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"

    def tokenizer(self, frames: FrameSet) -> Any:
        """The tokenizer, learned from a few thousand lessons the first time."""
        from tokenizers import Tokenizer  # noqa: PLC0415 - beside torch, not before

        path = self.out / "processor" / "tokenizer.json"
        if not path.exists():
            teacher = Teacher(frames, 1, with_images=False)
            diet = {**LANGUAGE_DIET, "caption": 0.2}
            lessons = itertools.islice(teacher.stream(diet), 1500)
            texts = (one.shared + t for one in lessons for b in one.branches for t, _ in b)
            vocabulary.save(vocabulary.learn(texts), path.parent)
        return Tokenizer.from_file(str(path))

    def model(self, tokenizer: Any) -> Any:
        torch.manual_seed(self.seed)
        ids = {
            "pad": tokenizer.token_to_id(vocabulary.PAD),
            "end": tokenizer.token_to_id(vocabulary.END),
            "image": tokenizer.token_to_id(vocabulary.IMAGE),
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
        heads = PatchHeads(self.shape.vision_width).to(self.device)
        if stage == "joint":
            for part in ("vision", "language"):
                saved = torch.load(self.checkpoint(part))["model"]
                own = {k: v for k, v in saved.items() if ("vision_model" in k) == (part == "vision")}
                model.load_state_dict(own, strict=False)
        weights = [*model.parameters(), *(heads.parameters() if stage == "vision" else ())]
        optimizer = torch.optim.AdamW(
            weights, lr=PEAK_RATE[stage], betas=(0.9, 0.98), weight_decay=0.02
        )
        clock, step = Clock(self.minutes[stage] * 60), 0
        if self.checkpoint(stage).exists():
            saved = torch.load(self.checkpoint(stage))
            model.load_state_dict(saved["model"])
            heads.load_state_dict(saved["heads"])
            if "optimizer" in saved:
                optimizer.load_state_dict(saved["optimizer"])
            clock.spent_s, step = saved["spent_s"], saved["step"]
        losses = (
            self._vision(model, heads, frames, step)
            if stage == "vision"
            else self._lessons(stage, model, tokenizer, frames, step)
        )
        done, saved_at = clock.tick(), time.monotonic()
        model.train()
        while done < 1.0:
            for group in optimizer.param_groups:
                group["lr"] = rate(stage, done)
            loss, report = next(losses)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            step, done = step + 1, clock.tick()
            if step % LOG_EVERY == 0:
                self.log(
                    stage,
                    step=step,
                    done=round(done, 3),
                    loss=round(float(loss.detach()), 4),
                    **report,
                )
            if time.monotonic() - saved_at > 120 or done >= 1.0:
                self._save(stage, model, heads, optimizer, clock, step)
                saved_at = time.monotonic()

    def _save(
        self, stage: str, model: Any, heads: nn.Module, optimizer: Any, clock: Clock, step: int
    ) -> None:
        state = {
            "model": model.state_dict(),
            "heads": heads.state_dict(),
            "spent_s": clock.spent_s,
            "step": step,
            "optimizer": optimizer.state_dict(),
        }
        part = self.checkpoint(stage).with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint(stage))

    def _vision(self, model: Any, heads: nn.Module, frames: FrameSet, step: int) -> Iterator[Any]:
        rng = np.random.default_rng(step)
        while True:
            picked = np.sort(rng.choice(len(frames.truth), 48, replace=False))
            truth = np.stack([patch_truth(frames, int(k)) for k in picked]).reshape(
                48, -1, len(HEADS)
            )
            hidden = model.model.vision_model(
                pixel_values=to_pixels(frames.pixels[picked]).to(self.device)
            ).last_hidden_state
            loss, right = heads(hidden, torch.from_numpy(truth).to(self.device))
            yield loss, dict(zip(HEADS, (round(float(r), 3) for r in right), strict=True))

    def _lessons(
        self, stage: str, model: Any, tokenizer: Any, frames: FrameSet, step: int
    ) -> Iterator[Any]:
        joint = stage == "joint"
        teacher = Teacher(frames, 1000 + step, with_images=joint)
        stream = teacher.stream(JOINT_DIET if joint else LANGUAGE_DIET)
        for batch in batches(tokenizer, stream, TOKENS_A_BATCH[stage], PROMPT_WEIGHT[stage]):
            loss, right = forward(model, batch, frames, self.device)
            yield loss, {"accuracy": round(right, 4)}
