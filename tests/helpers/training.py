"""Small datasets and models to teach, made on this machine, and runs that teach them.

The models are tiny and untrained, their configuration classes and processors the real ones.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.records import dataset, item

from videoespresso.agents.prompts import load
from videoespresso.dataset.formats import conversations
from videoespresso.dataset_record import DatasetItem, GroupCaption
from videoespresso.models.client.request import Prompt
from videoespresso.training.data import Row
from videoespresso.training.recipes import Stage

FAMILY = ["smolvlm", "smolvlm2", "qwen2.5-vl", "internvl", "llava-onevision", "llava-interleave"]
PICTURE = {"smolvlm": 4, "smolvlm2": 4, "internvl": 4, "llava-onevision": 17,
           "llava-interleave": 16}  # fmt: skip
"""Tokens of one of several pictures in each tiny family, whatever its size."""
MARKS = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of peft about transformers
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of transformers about numpy
]
Make = Callable[[str], Path]


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """System messages of one line: these models read a byte at a time."""
    monkeypatch.setattr(conversations, "load", short)
    for role in ("reasoner", "selector", "captioner"):
        monkeypatch.setattr(f"videoespresso.agents.{role}.load", short)


def short(role: str) -> Prompt:
    """A role's prompt in one line: the tiny models read a byte at a time."""
    return Prompt(role, f"You are the {role}.", load(role).sha)


def record(seed: int, **changed: Any) -> DatasetItem:
    """A record that every stage can learn from: its core frames are among its captions."""
    made = item(seed, film=changed.pop("film", seed), **changed)
    rows = [GroupCaption(text=f"At {f.time_s} s.", time_s=f.time_s) for f in made.core_frames]
    rows += [GroupCaption(text="A lamp.", time_s=(made.core_frames[-1].time_s or 0) + 0.5)]
    return made.model_copy(update={"captions": tuple(rows)})


def records(folder: Path, count: int, **changed: Any) -> Path:
    """A dataset's folder of so many records, each of a video of its own."""
    return dataset(folder, [record(seed, **changed) for seed in range(count)])


def sharp(model: Path, folder: Path) -> Path:
    """A copy of a tiny model that may say anything, and be sure of it: as they are made their last
    layer is too even for a token to be likely."""
    import torch  # noqa: PLC0415 - an extra
    from transformers import AutoModelForImageTextToText  # noqa: PLC0415 - an extra

    shutil.copytree(model, folder)
    made = AutoModelForImageTextToText.from_pretrained(folder)
    with torch.no_grad():
        made.get_output_embeddings().weight.mul_(4)
    made.generation_config.suppress_tokens = None
    made.save_pretrained(folder)
    return folder


def collated(base: Path, rows: list[Row]) -> tuple[Any, Any, dict[str, Any]]:
    """(processor, model, the batch of these rows)."""
    from transformers import AutoModelForImageTextToText  # noqa: PLC0415 - an extra

    from videoespresso.models.hf_weights import agree  # noqa: PLC0415 - as above
    from videoespresso.training.base import find, processor_of  # noqa: PLC0415 - as above
    from videoespresso.training.families import Chat, ends_of  # noqa: PLC0415 - as above
    from videoespresso.training.rows import Collator  # noqa: PLC0415 - as above

    processor = processor_of(find(f"hf:{base}"), 224)
    network = AutoModelForImageTextToText.from_pretrained(base)
    agree(processor, network)
    chat = Chat(processor, ends_of(network, processor.tokenizer))
    batch = Collator(chat, rows, 224).batch(rows)
    assert batch.pop("row_ids") == [row.id for row in rows]
    return processor, network, batch


def learned(processor: Any, batch: dict[str, Any], row: int) -> str:
    labels = batch["labels"][row]
    return str(processor.tokenizer.decode(labels[labels != -100]))


def taught(stage: Stage, source: Path, base: Path | str, out: Path, **more: Any) -> Any:
    from videoespresso.training.run import train  # noqa: PLC0415 - an extra

    cache = {"cache_dir": str(out.parent / "cache")}
    return train(stage, source, base=f"hf:{base}", out=out, settings=cache, **more)


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]
