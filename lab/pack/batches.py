"""Lessons as tensors: rows whose branches share a beginning, and one step of the model on them.

A branch looks at the shared beginning and at itself. On a CPU each piece attends by itself; a mask
over whole rows says the same, but half of the work of a step would be attention that it hides. On a
GPU that waste costs less than thousands of small calls, so there the mask is used.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lab.pack.conversation import Lesson
from lab.pack.frames import FrameSet
from videoespresso.training.pack import shape

MULTIPLE = 32
"""Rows are padded to a multiple of this."""


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
    segments: torch.Tensor
    """0 for the shared beginning, k for branch k, -1 for padding."""
    spans: list[Spans]
    images: list[int]


def encode(tokenizer: Any, one: Lesson, prompt: float) -> Row:
    """Each branch continues the positions of the shared beginning; images weigh nothing."""
    image = tokenizer.token_to_id(shape.IMAGE)
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
    """Lessons of similar length together, about `tokens` tokens a batch.

    Few shapes come again and again, which a GPU's libraries prepare for once each."""
    waiting: dict[int, list[Row]] = defaultdict(list)
    for one in lessons:
        row = encode(tokenizer, one, prompt)
        length = -(-len(row.ids) // MULTIPLE) * MULTIPLE
        waiting[length].append(row)
        if len(waiting[length]) >= max(1, tokens // length):
            yield padded(waiting.pop(length), length)


def padded(rows: list[Row], length: int) -> Batch:
    size = (len(rows), length)
    ids, targets, positions = (torch.zeros(size, dtype=torch.long) for _ in range(3))
    weights, segments = torch.zeros(size), torch.full(size, -1, dtype=torch.int16)
    for i, r in enumerate(rows):
        n = len(r.ids)
        ids[i, :n], targets[i, :n] = torch.tensor(r.ids), torch.tensor(r.targets)
        weights[i, :n], positions[i, :n] = torch.tensor(r.weights), torch.tensor(r.positions)
        start, branches = r.spans
        segments[i, :start] = 0
        for k, (a, b) in enumerate(branches, 1):
            segments[i, a:b] = k
    images = [k for r in rows for k in r.images]
    return Batch(ids, targets, weights, positions, segments, [r.spans for r in rows], images)


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


def masked_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    bias: torch.Tensor | None = None,
    scaling: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """The same by one call; bias: (b, 1, n, n), what `_bias` makes of a batch's segments."""
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    seen = nn.functional.scaled_dot_product_attention(query, key, value, bias, scale=scaling)
    return seen.transpose(1, 2), None


def _bias(segments: torch.Tensor) -> torch.Tensor:
    """(b, n) -> (b, 1, n, n): 0 where a token (row) sees another (column), else minus infinity.

    Padding sees the beginning and earlier padding, so that no row of it is empty."""
    n = segments.shape[1]
    causal = torch.ones(n, n, dtype=torch.bool, device=segments.device).tril()
    of, seen = segments.unsqueeze(2), segments.unsqueeze(1)
    allowed = causal & ((seen == 0) | (seen == of))
    kind = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else torch.float32
    bias = torch.zeros(allowed.shape, dtype=kind, device=segments.device)
    return bias.masked_fill(~allowed, float("-inf")).unsqueeze(1)


BRANCHED, MASKED = "branched", "masked"
"""The names of these attentions in a text model's configuration: for a CPU, for a GPU."""
ALL_ATTENTION_FUNCTIONS.register(BRANCHED, branched_attention)
ALL_ATTENTION_FUNCTIONS.register(MASKED, masked_attention)


class Pixels:
    """Rendered frames as the vision tower takes them: (n, 3, size, size) in -1..1, by number.

    A GPU holds them all (110 kB each): copying what a step needs would take longer than the step.
    """

    def __init__(self, frames: FrameSet, device: str) -> None:
        self._stored = frames.pixels
        self._held = torch.from_numpy(np.array(frames.pixels)).cuda() if device == "cuda" else None

    def __call__(self, numbers: "np.ndarray[Any, Any]") -> torch.Tensor:
        if self._held is None:
            return to_pixels(self._stored[numbers])
        picked = self._held[torch.from_numpy(numbers).cuda()]
        return picked.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def forward(
    model: Any, batch: Batch, pixels: Pixels | None, device: str, *, look: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and token accuracy over the replies. look: whether the vision tower learns from it.

    pixels: None where batches have no images."""
    ids = batch.ids.to(device)
    embeds = model.get_input_embeddings()(ids)
    if batch.images and pixels is not None:
        unique, back = np.unique(batch.images, return_inverse=True)
        with torch.set_grad_enabled(look and torch.is_grad_enabled()):
            seen = model.model.vision_model(pixel_values=pixels(unique)).last_hidden_state
        features = model.model.connector(seen)[torch.from_numpy(back).to(device)].flatten(0, 1)
        where = (ids == model.config.image_token_id).unsqueeze(-1).expand_as(embeds)
        embeds = embeds.masked_scatter(where, features.to(embeds.dtype))
    hidden = model.model.text_model(
        inputs_embeds=embeds,
        position_ids=batch.positions.to(device),
        **_attended(model, batch, device),
        use_cache=False,
    ).last_hidden_state
    learn = batch.weights > 0
    targets, weights = batch.targets[learn].to(device), batch.weights[learn].to(device)
    logits = model.lm_head(hidden[learn.to(device)])
    each = nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    reply = weights == 1.0
    right = (logits.argmax(-1) == targets)[reply].float().mean()
    return (each * weights).sum() / weights.sum(), right


def _attended(model: Any, batch: Batch, device: str) -> dict[str, Any]:
    """What the text model's attention is told about a batch."""
    if model.model.text_model.config._attn_implementation == BRANCHED:
        return {"spans": batch.spans}
    return {"bias": _bias(batch.segments.to(device))}
