"""Tokens of a conversation as LLaMA-Factory counts them, to find what it would cut.

It keeps `cutoff_len` tokens of a row and says nothing of the others, which may be a picture's or
the reply's. Counted are those of the model's own template and processor, with pictures of at most
as many pixels as it shows.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any

from PIL import Image

from videoespresso.dataset.formats.conversations import Conversation, Medium, Part
from videoespresso.errors import SettingsError, UserError
from videoespresso.models.pull.hub import local

PIXELS = 768 * 768
"""LLaMA-Factory's own `image_max_pixels`."""


def counter(base: str) -> Callable[[Conversation], int]:
    """Counts the tokens of a conversation whose pictures are files. base: `hf:` and a folder, or an
    id in the cache.

    Raises SettingsError for a model that is not there, or has no processor for pictures or no chat
    template.
    """
    where = local(base.removeprefix("hf:"), base)
    try:
        from transformers import AutoProcessor  # noqa: PLC0415 - an extra

        processor: Any = AutoProcessor.from_pretrained(where, local_files_only=True)
    except (ImportError, OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise SettingsError(
            f"{base}: its processor cannot be made: {first}",
            hint="pip install 'videoespresso[local]', and what it names.",
        ) from error
    if not hasattr(processor, "image_processor") or not getattr(processor, "chat_template", None):
        raise SettingsError(
            f"{base} has no processor for pictures, or no chat template",
            hint="Give --base hf:PATH, the folder of the model to be trained.",
        )

    def count(conversation: Conversation) -> int:
        messages = [
            {"role": m.role, "content": [_block(part) for part in m.parts]} for m in conversation
        ]
        made = processor.apply_chat_template(messages, tokenize=True, return_dict=True)
        return len(made["input_ids"][0])

    return count


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, Medium):
        return {"type": "image", "image": _picture(part.path)}
    return {"type": "text", "text": part}


def _picture(path: str) -> Image.Image:
    """A picture as it is shown to the processor. Raises UserError for one that cannot be read."""
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(
            f"{path} cannot be read: {error}", hint="`dataset validate` finds all of them."
        ) from error
    factor = sqrt(PIXELS / (picture.width * picture.height))
    if factor >= 1:
        return picture
    return picture.resize((int(picture.width * factor), int(picture.height * factor)))
