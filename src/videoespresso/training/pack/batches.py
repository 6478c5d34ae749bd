"""Lessons as tensors: rows whose branches share a beginning, and one step of the model on them."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from videoespresso.training.pack import vocabulary
from videoespresso.training.pack.frames import FrameSet
from videoespresso.training.pack.lessons import Lesson


def to_pixels(frames: "np.ndarray[Any, Any]") -> torch.Tensor:
    """(n, h, w, 3) uint8 -> (n, 3, h, w) in -1..1, as the image processor does."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


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
