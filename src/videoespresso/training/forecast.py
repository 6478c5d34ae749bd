"""`train plan`: what a run will take, from the real processor and a trial of the real model.

Nothing is trained: a trial runs forward and backward and keeps no weights.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from videoespresso.errors import ModelError, ModelOutputError
from videoespresso.settings import Settings
from videoespresso.training import recipes, rl
from videoespresso.training.base import (
    Base,
    device_of,
    find,
    model_of,
    needed,
    processor_of,
    room,
)
from videoespresso.training.data import Row
from videoespresso.training.families import Chat, ends_of
from videoespresso.training.outcome import sources_of
from videoespresso.training.pairs import rows_of
from videoespresso.training.recipes import Line, Recipe, Stage
from videoespresso.training.rows import IGNORED, Collator, Length
from videoespresso.training.run import cache_folder, count
from videoespresso.training.trainer import PARTS, quiet, steps_of
from videoespresso.training.validation import Examiner
from videoespresso.types import Record

SHOWN: Final = 5
TIMED: Final = 3
"""Batches a trial times, after one that warms up."""


class Long(Record):
    """A row by its id, and how long it is."""

    id: str
    tokens: int
    image_tokens: int


class Plan(Record):
    """What a run would be. tokens: of all training rows; learned: of them those that carry loss;
    image_tokens: of a picture, the mean. memory: bytes at the most; seconds: of learning, and of
    the validations, for which a reply was timed; None without a trial. sources: of pairs, how many
    of each, those of the model's own replies not among them."""

    stage: Stage
    rows: int
    validation: int
    left_out: dict[str, int]
    leaked: tuple[str, ...]
    split: str
    too_long: int
    tokens: int
    learned: int
    image_tokens: float
    longest: tuple[Long, ...]
    steps: int
    parameters: int
    taught: int | None
    device: str
    memory: int | None
    free: int
    learn_s: float | None
    validate_s: float | None
    lines: tuple[Line, ...]
    sources: dict[str, int]


def plan(
    stage: Stage,
    source: str | Path,
    *,
    base: str,
    config: str | Path | None = None,
    allow_leak: bool = False,
    threads: int = 1,
    trial: bool = True,
    settings: Settings | Mapping[str, Any] | None = None,
    **recipe: Any,
) -> Plan:
    """What `train` would do with the same arguments. Raises as it does, but for rows that are too
    long: these are counted. trial: whether the model is loaded to time and weigh a few batches; for
    `rl` it is not, its replies are most of the time and nobody knows how long they get."""
    chosen, given = recipes.recipe_of(stage, recipe, config)
    data = rows_of(source, stage, allow_leak=allow_leak)
    if stage == "rl":
        chosen = rl.chosen_rewards(chosen, data.train)
    needed()
    start = find(base)
    processor = processor_of(start, chosen.side)
    counted = count(start, chosen, processor, data.train, cache_folder(settings))
    fit = [k for k, n in enumerate(counted) if n.tokens <= chosen.max_tokens]
    steps, _ = steps_of(chosen, len(fit))
    pictures = sum(n.images for n in counted)
    order = sorted(range(len(counted)), key=lambda k: -counted[k].tokens)
    examined = min(chosen.validation, len(data.validation))
    device = device_of(start)
    measured = (
        _Trial(chosen, start, processor, device, threads)
        if trial and fit and stage != "rl"
        else None
    )
    if measured is not None:
        measured.run([data.train[k] for k in fit], [counted[k] for k in fit], steps)
        measured.reply(data.validation[:1] or data.train[:1], examined, steps)
    return Plan(
        stage=stage,
        rows=len(data.train),
        validation=examined,
        left_out=data.left_out,
        leaked=data.leaked,
        split=data.split,
        too_long=len(counted) - len(fit),
        tokens=sum(n.tokens for n in counted),
        learned=sum(n.learned for n in counted),
        image_tokens=sum(n.image_tokens for n in counted) / max(1, pictures),
        longest=tuple(
            Long(
                id=data.train[k].id, tokens=counted[k].tokens, image_tokens=counted[k].image_tokens
            )
            for k in order[:SHOWN]
        ),
        steps=steps,
        parameters=start.parameters,
        taught=measured.taught if measured else None,
        device=device,
        memory=measured.memory if measured else None,
        free=room(device),
        learn_s=measured.learn_s if measured else None,
        validate_s=measured.validate_s if measured else None,
        lines=tuple(recipes.table(chosen, given, start.parameters)),
        sources=sources_of(data.train),
    )


class _Trial:
    """Forward and backward over a few batches: the longest for the memory, others for the time."""

    def __init__(
        self, recipe: Recipe, base: Base, processor: Any, device: str, threads: int
    ) -> None:
        import torch

        if not device.startswith("cuda"):
            torch.set_num_threads(threads)
        self._recipe, self._processor, self._device = recipe, processor, device
        with quiet():
            self._model = model_of(base, recipe, processor).to(device)
        if device.startswith("cuda"):
            self._model.gradient_checkpointing_enable({"use_reentrant": False})
            self._model.enable_input_require_grads()
        self._chat = Chat(processor, ends_of(self._model, processor.tokenizer))
        self.taught = sum(p.numel() for p in self._model.parameters() if p.requires_grad)
        self.memory, self.learn_s, self.validate_s = 0, 0.0, 0.0

    def run(self, rows: Sequence[Row], counted: Sequence[Length], steps: int) -> None:
        """Sets memory and learn_s."""
        size = self._recipe.rows
        order = sorted(range(len(rows)), key=lambda k: counted[k].tokens)
        self._pass([rows[k] for k in order[-size:]])
        self.memory = self._peak() + 8 * self.taught  # Adam's two means a weight
        spread = [order[round(k * (len(order) - 1) / (TIMED * size))] for k in range(TIMED * size)]
        began, tokens = time.monotonic(), 0
        for first in range(0, len(spread), size):
            some = spread[first : first + size]
            self._pass([rows[k] for k in some])
            tokens += sum(counted[k].tokens for k in some)
        each = (time.monotonic() - began) / max(1, tokens)
        mean = sum(n.tokens for n in counted) / len(counted)
        self.learn_s = each * mean * self._recipe.batch * steps

    def reply(self, rows: Sequence[Row], examined: int, steps: int) -> None:
        """Sets validate_s, from one row that is answered."""
        row = next((row for row in rows if row.item is not None), None)
        if row is None or not examined:
            return
        self._model.eval()
        examiner = Examiner("trial", self._processor, self._model, self._recipe.stage,
                            self._recipe.side)  # fmt: skip
        began = time.monotonic()
        try:
            examiner.scores([row])
        except (ModelError, ModelOutputError):
            return
        every = self._recipe.eval_steps or max(1, steps // PARTS)
        self.validate_s = (time.monotonic() - began) * examined * max(1, -(-steps // every))

    def _pass(self, rows: Sequence[Row]) -> None:
        import torch

        self._model.train()
        batch = Collator(self._chat, rows, self._recipe.side).batch(rows)
        del batch["row_ids"]
        if "completion_mask" in batch:  # of pairs: both replies, and what they are compared with
            outside = batch.pop("completion_mask") == 0
            batch["labels"] = batch["input_ids"].masked_fill(outside, IGNORED)
        half = self._device.startswith("cuda") and torch.cuda.is_bf16_supported()
        moved = {name: value.to(self._device) for name, value in batch.items()}
        with torch.autocast(self._device.partition(":")[0], torch.bfloat16, enabled=half):
            loss = self._model(**moved, use_cache=False).loss
            if rows[0].rejected:
                with torch.no_grad():
                    self._model(**moved, use_cache=False)
        loss.backward()
        self._model.zero_grad()
        if self._device.startswith("cuda"):
            torch.cuda.synchronize()

    def _peak(self) -> int:
        """Bytes: of the GPU, else of this process."""
        import torch

        if self._device.startswith("cuda"):
            return int(torch.cuda.max_memory_allocated())
        if os.name == "nt":
            return sum(p.numel() * p.element_size() for p in self._model.parameters())
        import resource
        import sys

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
