"""Conversations in the formats of the trainers: TRL, LLaMA-Factory, ms-swift.

TRL: {"prompt": […], "completion": […], "images": […]}, contents as lists of blocks, so that only
the completion is learned. LLaMA-Factory and ms-swift: {"messages": […], "images": […]} with
<image> where a picture stands; there the last message alone is learned with `mask_history: true`
and `--loss_scale last_round`.
"""

import re
from typing import Any

from videoespresso.dataset.formats.conversations import (
    Conversation,
    Medium,
    Message,
    Part,
    media_in,
)

_PLACEHOLDER = re.compile(r"<(image|video|audio|bbox|ref-object)>")
"""What LLaMA-Factory and ms-swift replace, wherever it stands."""


def trl(conversation: Conversation) -> dict[str, Any]:
    """A row for TRL's SFTTrainer."""
    row: dict[str, Any] = {
        "prompt": [_blocks(message) for message in conversation[:-1]],
        "completion": [_blocks(conversation[-1])],
    }
    if any(media_in(conversation)):
        row["images"] = [medium.path for medium in media_in(conversation)]
    return row


def _blocks(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": [_block(part) for part in message.parts]}


def _block(part: Part) -> dict[str, Any]:
    """Each block has the same keys: a column has one type, in JSON lines and in Parquet."""
    if isinstance(part, Medium):
        return {"type": part.kind, "text": None}
    return {"type": "text", "text": part}


def tagged(conversation: Conversation) -> dict[str, Any]:
    """A row for LLaMA-Factory (sharegpt with OpenAI's tags) and ms-swift."""
    row: dict[str, Any] = {
        "messages": [
            {"role": t.role, "content": "".join(map(_text, t.parts))} for t in conversation
        ]
    }
    for medium in media_in(conversation):
        row.setdefault(f"{medium.kind}s", []).append(medium.path)
    return row


def _text(part: Part) -> str:
    """A placeholder for a picture; one in somebody's text is none."""
    if isinstance(part, Medium):
        return f"<{part.kind}>"
    return _PLACEHOLDER.sub(r"[\1]", part)


def dataset_info(files: dict[str, str], media: str) -> dict[str, Any]:
    """LLaMA-Factory's dataset_info.json. files: name of the data set -> its file; media: the
    column with what is shown ("images", "videos"), "" for none."""
    columns = {"messages": "messages"} | ({media: media} if media else {})
    tags = {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    }
    return {
        name: {"file_name": file, "formatting": "sharegpt", "columns": columns, "tags": tags}
        for name, file in files.items()
    }
