"""Lessons as tensors: rows whose branches share a beginning, and one step of the model on them.

A branch looks at the shared beginning and at itself. A mask over whole rows would say so too, but
half of the work of a step would then be attention that it hides.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from videoespresso.training.pack import vocabulary
from videoespresso.training.pack.frames import FrameSet
from videoespresso.training.pack.lessons import Lesson


def to_pixels(frames: "np.ndarray[Any, Any]") -> torch.Tensor:
    """(n, h, w, 3) uint8 -> (n, 3, h, w) in -1..1, as the image processor does."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


Spans = tuple[int, tuple[tuple[int, int], ...]]
"""Where a row's shared beginning ends, and where each of its branches begins and ends."""


@dataclass(frozen=True)
class Row:
    """An encoded lesson: ids, the next token and its weight, positions, spans of branches."""

    ids: list[int]
    targets: list[int]
    weights: list[float]
    positions: list[int]
    spans: Spans
    images: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Rows of similar length, right-padded."""

    ids: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    positions: torch.Tensor
    spans: list[Spans]
    images: list[int]


def encode(tokenizer: Any, one: Lesson, prompt: float) -> Row:
    """Each branch continues the positions of the shared beginning; images weigh nothing."""
    image = tokenizer.token_to_id(vocabulary.IMAGE)
    shared = tokenizer.encode(one.shared, add_special_tokens=False).ids
    pieces = [(0, [(shared, False)])]
    for branch in one.branches:
        coded = [(tokenizer.encode(t, add_special_tokens=False).ids, learn) for t, learn in branch]
        pieces.append((len(shared), coded))
    ends = list(itertools.accumulate(sum(len(i) for i, _ in parts) for _, parts in pieces))
    row = Row([], [], [], [], (ends[0], tuple(itertools.pairwise(ends))), one.images)
    for start, parts in pieces:
        ids = [i for part, _ in parts for i in part]
        weights = [
            1.0 if learn else 0.0 if i == image else prompt for part, learn in parts for i in part
        ]
        row.ids.extend(ids)
        row.targets.extend([*ids[1:], 0])
        row.weights.extend([*weights[1:], 0.0])
        row.positions.extend(range(start, start + len(ids)))
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
        yield from (padded(group) for group in groups)


def padded(rows: list[Row]) -> Batch:
    size = (len(rows), max(len(r.ids) for r in rows))
    ids, targets, positions = (torch.zeros(size, dtype=torch.long) for _ in range(3))
    weights = torch.zeros(size)
    for i, r in enumerate(rows):
        n = len(r.ids)
        ids[i, :n], targets[i, :n] = torch.tensor(r.ids), torch.tensor(r.targets)
        weights[i, :n], positions[i, :n] = torch.tensor(r.weights), torch.tensor(r.positions)
    images = [k for r in rows for k in r.images]
    return Batch(ids, targets, weights, positions, [r.spans for r in rows], images)


def branched_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    spans: Sequence[Spans] = (),
    scaling: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention for transformers' attention registry: (b, heads, n, d) -> (b, n, heads, d).

    Padding attends to nothing and yields zeros.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    rows = []
    for i, (start, branches) in enumerate(spans):
        q, k, v = query[i : i + 1], key[i : i + 1], value[i : i + 1]
        out = [_causal(q[:, :, :start], k[:, :, :start], v[:, :, :start], scaling)]
        for a, b in branches:
            keys, values = (torch.cat((t[:, :, :start], t[:, :, a:b]), dim=2) for t in (k, v))
            out.append(_causal(q[:, :, a:b], keys, values, scaling))
        seen = torch.cat(out, dim=2)
        rows.append(nn.functional.pad(seen, (0, 0, 0, query.shape[2] - seen.shape[2])))
    return torch.cat(rows).transpose(1, 2), None


def _causal(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """The queries are the last of the keys; each sees the keys up to its own."""
    n, m = q.shape[2], k.shape[2]
    mask = torch.ones(n, m, dtype=torch.bool, device=q.device).tril(m - n)
    return nn.functional.scaled_dot_product_attention(q, k, v, mask, scale=scaling)


BRANCHED = "branched"
"""The name of that attention in a text model's configuration."""
ALL_ATTENTION_FUNCTIONS.register(BRANCHED, branched_attention)


def forward(
    model: Any, batch: Batch, frames: FrameSet, device: str, *, look: bool = True
) -> tuple[torch.Tensor, float]:
    """Loss and token accuracy over the replies. look: whether the vision tower learns from it."""
    ids = batch.ids.to(device)
    embeds = model.get_input_embeddings()(ids)
    if batch.images:
        unique, back = np.unique(batch.images, return_inverse=True)
        pixels = to_pixels(frames.pixels[unique]).to(device)
        with torch.set_grad_enabled(look and torch.is_grad_enabled()):
            seen = model.model.vision_model(pixel_values=pixels).last_hidden_state
        features = model.model.connector(seen)[torch.from_numpy(back).to(device)].flatten(0, 1)
        where = (ids == model.config.image_token_id).unsqueeze(-1).expand_as(embeds)
        embeds = embeds.masked_scatter(where, features.to(embeds.dtype))
    hidden = model.model.text_model(
        inputs_embeds=embeds,
        position_ids=batch.positions.to(device),
        spans=batch.spans,
        use_cache=False,
    ).last_hidden_state
    learn = batch.weights > 0
    targets, weights = batch.targets[learn].to(device), batch.weights[learn].to(device)
    logits = model.lm_head(hidden[learn.to(device)])
    each = nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    reply = weights == 1.0
    right = float((logits.argmax(-1) == targets)[reply].float().mean())
    return (each * weights).sum() / weights.sum(), right
