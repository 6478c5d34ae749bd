"""Stories of the theatre as `lab.image_text_scorer` learns from them: what the pack's eye sees of a
frame a phase, and which texts are true of which frames."""

import io
import json
import logging
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import Idefics3ForConditionalGeneration

from videoespresso.models import embedded
from videoespresso.models.preprocessor import FILE, Preprocessor
from videoespresso.theatre import SPLITS, make_story
from videoespresso.theatre.questions import questions
from videoespresso.training.pack.export import Vision
from videoespresso.training.pack.shape import IMAGE_SIZE

log = logging.getLogger(__name__)

PACK = Path(embedded.__file__).parent / "pack" / "torch"
SHARD = 50
"""Stories whose frames are kept in one file."""
WIDTH = 320
"""Pixels of the frames that are drawn."""
TEXTS = {"question": 4, "clause": 3, "caption": 1}
"""Of each story in a step, at most."""
IDLE = (" stands", " sits")
"""How clauses end that say nothing happens."""


class Seen(NamedTuple):
    """A story: what is to be seen in each phase, (phases, tokens, width) float16; its captions;
    and its questions with their core phases."""

    features: NDArray[np.float16]
    captions: list[str]
    questions: list[tuple[str, list[int]]]


@cache
def pack() -> Any:
    """The pack's model in torch."""
    return Idefics3ForConditionalGeneration.from_pretrained(PACK).float().eval()


def pixels_of() -> dict[str, Any]:
    """What stands in the file that says how pictures become numbers: as the pack takes them."""
    half = [0.5] * 3
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return {"size": size, "resample": 3, "image_mean": half, "image_std": half,
            "do_resize": True, "do_rescale": True, "do_normalize": True}  # fmt: skip


def stories(folder: Path, split: str, count: int) -> list[Seen]:
    """So many stories of a split, drawn where they are not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    first = SPLITS[split][0]
    made: list[Seen] = []
    for start in range(first, first + count, SHARD):
        shard = folder / f"{start}.npz"
        if not shard.is_file():
            _draw(shard, range(start, start + SHARD))
            log.info("drawn: stories %d to %d", start, start + SHARD)
        with np.load(shard) as kept:
            facts = json.loads(str(kept["facts"]))
            features = np.split(kept["features"], np.cumsum([len(c) for c, _ in facts])[:-1])
        made += [Seen(f, c, a) for f, (c, a) in zip(features, facts, strict=True)]
    return made[:count]


def _draw(shard: Path, seeds: Sequence[int]) -> None:
    (shard.parent / FILE).write_text(json.dumps(pixels_of()))
    preprocess = Preprocessor.read(shard.parent)
    assert preprocess is not None
    vision, facts, rows = Vision(pack()), [], []
    for seed in seeds:
        story = make_story(seed)
        rng = random.Random(f"clip{seed}")
        texts = [(q.text, list(q.core)) for q in questions(story, 2)]
        facts.append(([phase.caption for phase in story.phases], texts))
        for phase in story.phases:
            packed = io.BytesIO()  # as it comes out of a video: through lossy compression
            picture = story.scene(rng.uniform(phase.t0, phase.t1)).render(WIDTH)
            picture.save(packed, "JPEG", quality=rng.randint(60, 95))
            rows.append(preprocess(Image.open(packed)))
    with torch.no_grad():
        parts = torch.from_numpy(np.concatenate(rows)).split(16)
        features = torch.cat([vision(part) for part in parts]).half().numpy()
    part = shard.with_suffix(".part.npz")
    np.savez(part, features=features, facts=json.dumps(facts))
    part.replace(shard)


def clauses(caption: str) -> set[str]:
    """ "street, rain: light is red; bus stops" -> its clauses."""
    return {c.strip() for c in caption.partition(":")[2].split(";") if c.strip()}


class Batch(NamedTuple):
    """features (f, tokens, width). texts: t of them. true, other: (t, f), whether a frame is one
    of the text's, and whether it is not; what is neither says nothing."""

    features: torch.Tensor
    texts: list[str]
    true: torch.Tensor
    other: torch.Tensor


def batch_of(some: Sequence[Seen], rng: random.Random) -> Batch:
    """Texts of those stories against all of their frames."""
    captions = [caption for story in some for caption in story.captions]
    shown = [clauses(caption) for caption in captions]
    rows: list[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]] = []
    first = 0
    for story in some:
        inside = np.zeros(len(captions), bool)
        inside[first : first + len(story.captions)] = True
        for text, core in rng.sample(story.questions, min(TEXTS["question"], len(story.questions))):
            mine = np.zeros(len(captions), bool)
            mine[[first + k for k in core]] = True
            happens = {c for k in core for c in shown[first + k] if not c.endswith(IDLE)}
            alike = np.array([bool(happens & there) for there in shown])
            rows.append((text, mine, ~mine & (inside | ~alike)))
        there = {c for c in set().union(*map(clauses, story.captions)) if not c.endswith(IDLE)}
        for clause in rng.sample(sorted(there), min(TEXTS["clause"], len(there))):
            mine = np.array([clause in clauses_ for clauses_ in shown])
            rows.append((f"the {clause}", mine, ~mine))
        for caption in rng.sample(story.captions, TEXTS["caption"]):
            mine = np.array([caption == other for other in captions])
            rows.append((caption, mine, ~mine))
        first += len(story.captions)
    texts, true, other = zip(*rows, strict=True)
    features = torch.from_numpy(np.concatenate([story.features for story in some])).float()
    masks = (torch.from_numpy(np.stack(m)) for m in (true, other))
    return Batch(features, list(texts), *masks)
