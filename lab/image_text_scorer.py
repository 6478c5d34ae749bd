"""Trains an image-text model that knows the theatre, so that `--select clip+...` can be measured.

    python -m lab.image_text_scorer --out runs/image-text
    export VIDEOESPRESSO_MODELS_DIR=runs/image-text/models       # then `clip` is this model

CLIP-shaped: a picture and a text become vectors of one space, trained on contrast. The pictures'
tower is the pack's, frozen, under a head of one block, so it knows what the pack's captioner knows
of the theatre, and nothing of real films: never use it for one. The texts' tower is one block on
the pack's words. Each step takes some stories of the train split, a frame a phase. The frames of a
question are those of its core phases, of a sentence those on which it is true, of a caption those
with that caption; other frames, of its own story and of the others, are what they are told from.

Stopped anywhere, the same command goes on where it was. What comes out is what `models pull clip`
would have fetched, a folder of ONNX graphs. Needs the extra `train`.
"""

import argparse
import json
import logging
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from lab.image_text_data import PACK, Seen, batch_of, pack, pixels_of, stories
from videoespresso.models.preprocessor import FILE
from videoespresso.models.weights import NOTE, Pulled
from videoespresso.training.pack.export import Vision, halved
from videoespresso.training.pack.shape import IMAGE_SIZE, IMAGE_TOKENS

log = logging.getLogger(__name__)

WORDS = 48
"""Tokens of a text at most; the longest question of the theatre has 40-odd."""
WARM = 50
"""Steps in which the learning rate rises."""
HEADS = 8
"""Of attention."""
LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Recipe:
    """What is trained. batch: stories a step; rate: AdamW's at its peak; dim: of the vectors."""

    stories: int = 2400
    steps: int = 1600
    batch: int = 16
    rate: float = 1e-3
    dim: int = 192
    checkpoint: int = 100
    validation: int = 50


class Block(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Attention among tokens (n, t, width) that count, then a network on each. torch's own block
    has the number of rows of its example in its ONNX form."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ask, self.give = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.each = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * width, width)
        )

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        parts = self.ask(self.first(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias).softmax(-1)
        x = x + self.give((weights @ v).transpose(1, 2).flatten(2))
        return x + self.each(self.second(x))


class Tower(nn.Module):  # type: ignore[misc]  # as above
    """Tokens (n, t, width) and which of them count (n, t) -> vectors (n, dim)."""

    def __init__(self, width: int, dim: int, length: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(length, width) * 0.02)
        self.block = Block(width)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, dim)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        bias = (mask[:, None, None, :] == 0).to(x.dtype) * -1e4
        x = self.block(x + self.place[: x.shape[1]], bias)
        weight = mask.unsqueeze(-1).to(x.dtype)
        return self.out((self.norm(x) * weight).sum(1) / weight.sum(1))


class Model(nn.Module):  # type: ignore[misc]  # as above
    """Both towers. features: what the pack's eye gives; ids, mask: tokens of texts."""

    def __init__(self, words: torch.Tensor, dim: int) -> None:
        super().__init__()
        width = words.shape[1]
        self.words = nn.Embedding.from_pretrained(words.clone(), freeze=False)
        self.seen, self.read = Tower(width, dim, IMAGE_TOKENS), Tower(width, dim, WORDS)
        self.sharp = nn.Parameter(torch.tensor(2.6))

    def images(self, features: torch.Tensor) -> torch.Tensor:
        return self.seen(features, torch.ones(features.shape[:2], dtype=torch.long))

    def texts(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.read(self.words(ids), mask)


class Eyes(nn.Module):  # type: ignore[misc]  # as above
    """pixel_values -> image_embeds, for the export."""

    def __init__(self, vision: Vision, model: Model) -> None:
        super().__init__()
        self.vision, self.model = vision, model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.images(self.vision(pixels))


class Reader(nn.Module):  # type: ignore[misc]  # as above
    """input_ids, attention_mask -> text_embeds, for the export."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.model.texts(ids, mask)


@cache
def tokenizer() -> Tokenizer:
    """The pack's, filling up with its own sign."""
    made = Tokenizer.from_file(str(PACK / "tokenizer.json"))
    pad = json.loads((PACK / "tokenizer_config.json").read_text())["pad_token"]
    made.enable_padding(pad_id=made.token_to_id(pad), pad_token=pad)
    made.enable_truncation(WORDS)
    return made


def likeness(model: Model, features: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
    """Cosines (texts, frames)."""
    encoded = tokenizer().encode_batch(list(texts))
    ids = torch.tensor([one.ids for one in encoded])
    mask = torch.tensor([one.attention_mask for one in encoded])
    read = functional.normalize(model.texts(ids, mask), dim=-1)
    return read @ functional.normalize(model.images(features), dim=-1).T


def loss(logits: torch.Tensor, true: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over the frames of each text, shared evenly by those that are its own."""
    known = logits.masked_fill(~(true | other), -1e4).log_softmax(-1)
    count = true.sum(-1)
    each = -(known * true).sum(-1)[count > 0] / count[count > 0]
    return each.mean()


class Run:
    """A training run: everything that changes while it lasts."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(0)
        self.recipe, self.step = recipe, 0
        self.model = Model(pack().get_input_embeddings().weight.detach(), recipe.dim)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), weight_decay=0.05)

    def learn(self, table: Sequence[Seen]) -> float:
        """One step; its stories follow from its number. The loss."""
        torch.manual_seed(self.step)
        rng = random.Random(f"step{self.step}")
        batch = batch_of(rng.sample(table, self.recipe.batch), rng)
        warm, left = (self.step + 1) / WARM, 1 - self.step / self.recipe.steps
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate * min(1.0, warm) * left
        logits = likeness(self.model.train(), batch.features, batch.texts) * self.model.sharp.exp()
        lost = loss(logits, batch.true, batch.other)
        lost = lost + loss(logits.T, batch.true.T, batch.other.T)
        self.optimizer.zero_grad()
        lost.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return float(lost.detach())

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        part = path.with_suffix(".part")
        kept = {"recipe": asdict(self.recipe), "step": self.step}
        states = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(kept | states, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint. Raises ValueError for one of another recipe."""
        kept = torch.load(path, weights_only=True)
        if kept["recipe"] != asdict(self.recipe):
            raise ValueError(f"{path} is of another recipe: {kept['recipe']}")
        self.step = kept["step"]
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])


def first_hits(model: Model, table: Sequence[Seen]) -> Iterator[tuple[bool, float]]:
    """Of each question: whether the best frame of its story is one of its own, and the chance."""
    for story in table:
        with torch.no_grad():
            features = torch.from_numpy(story.features).float()
            near = likeness(model.eval(), features, [text for text, _ in story.questions])
        for best, (_, core) in zip(near.argmax(-1).tolist(), story.questions, strict=True):
            yield best in core, len(core) / len(story.captions)


def train(recipe: Recipe, out: Path) -> Model:
    """Trains, or goes on from the last checkpoint."""
    held = stories(out / "data", "validation", recipe.validation)
    table = stories(out / "data", "train", recipe.stories)
    run, last, lost = Run(recipe), out / "last.pt", []
    if last.is_file():
        run.load(last)
    while run.step < recipe.steps:
        lost.append(run.learn(table))
        if run.step % recipe.checkpoint == 0 or run.step == recipe.steps:
            run.save(last)
            hit, chance = np.mean(list(first_hits(run.model, held)), axis=0)
            facts = run.step, recipe.steps, np.mean(lost), hit, chance
            log.info("step %d of %d, loss %.3f, validation hit %.3f (chance %.3f)", *facts)
            lost.clear()
    run.model.eval()
    return run.model


def export(model: Model, out: Path) -> Path:
    """The folder that a settings' models_dir has for `clip`."""
    folder = out / "models" / "clip"
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    pixels, two = torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE), torch.ones(2, 5, dtype=torch.long)
    eyes, reader = Eyes(Vision(pack()), model), Reader(model)
    _graph(eyes, {"pixel_values": pixels}, folder / "onnx" / "vision_model.onnx")
    ids = {"input_ids": two, "attention_mask": two}
    _graph(reader, ids, folder / "onnx" / "text_model.onnx")
    tokenizer().save(str(folder / "tokenizer.json"))
    shutil.copyfile(PACK / "tokenizer_config.json", folder / "tokenizer_config.json")
    (folder / FILE).write_text(json.dumps(pixels_of(), indent=1))
    sizes = {
        str(file.relative_to(folder)): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != NOTE
    }
    note = Pulled(part="clip", repo="theatre", licence=LICENCE, files=sizes)
    (folder / NOTE).write_text(note.model_dump_json(indent=1))
    return folder


def _graph(module: nn.Module, given: dict[str, torch.Tensor], path: Path) -> None:
    """A tower; any number of pictures, or of texts of any length."""
    output = "image_embeds" if "pixel_values" in given else "text_embeds"
    free = {0: "rows"} if "pixel_values" in given else {0: "rows", 1: "tokens"}
    torch.onnx.export(
        module.eval(),
        tuple(given.values()),
        str(path),
        input_names=list(given),
        output_names=[output],
        dynamic_axes=dict.fromkeys(given, free) | {output: {0: "rows"}},
        opset_version=17,
        dynamo=False,
    )
    halved(path)
    onnx.checker.check_model(path)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0 when the model is trained and exported."""
    how = argparse.RawDescriptionHelpFormatter
    name = "python -m lab.image_text_scorer"
    parser = argparse.ArgumentParser(name, None, __doc__, formatter_class=how)
    parser.add_argument("--out", type=Path, default=Path("runs/image-text"))
    for key, value in asdict(Recipe()).items():
        parser.add_argument(f"--{key}", type=type(value), default=value)
    given = vars(parser.parse_args(argv))
    out = given.pop("out")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    log.info("in %s", export(train(Recipe(**given), out), out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
