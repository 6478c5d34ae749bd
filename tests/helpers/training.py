"""Small datasets and models to teach, made on this machine."""

import shutil
from pathlib import Path
from typing import Any

from tests.helpers.records import dataset, item

from videoespresso.agents.prompts import load
from videoespresso.dataset_record import DatasetItem, GroupCaption
from videoespresso.models.client.request import Prompt


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
