"""What differs between architectures: pictures, replies and what a LoRA adapter is put on.

Each model keeps its own chat template. A row is the template's text of the whole conversation, cut
where a reply begins and behind the token that ends it; the pieces are tokenised apart, as they are
at run time, so what carries loss is known by construction: the reply and its end, nothing else.
"""

import re
from collections.abc import Sequence
from typing import Any

from videoespresso.dataset.formats.conversations import Conversation, Message
from videoespresso.errors import ModelError
from videoespresso.models.hf_weights import control_tokens, neutral


def one_tile(processor: Any, side: int) -> None:
    """Sets the processor to one tile a picture, at that many pixels where a family takes any size.

    SmolVLM, Idefics3: no splitting. InternVL: no crops. Qwen2-VL and 2.5: at most side x side
    pixels. LLaVA-OneVision shows a picture that is alone in its row as a whole and in tiles: one
    tile is the least it can do. LLaVA-Interleave has one tile always. What is not known here is
    left as it is.
    """
    images = processor.image_processor
    kind = type(images).__name__.lower()
    if hasattr(images, "do_image_splitting"):
        images.do_image_splitting = False
    if hasattr(images, "crop_to_patches"):
        images.crop_to_patches, images.min_patches, images.max_patches = False, 1, 1
    if hasattr(images, "image_grid_pinpoints") and "onevision" in kind:
        size = dict(images.size)
        height = size.get("height") or size.get("shortest_edge")
        width = size.get("width") or size.get("shortest_edge")
        images.image_grid_pinpoints = [[height, width]]
    if kind.startswith(("qwen2vl", "qwen2_vl")):
        least = min(images.size["shortest_edge"], side * side)
        images.size = {"shortest_edge": least, "longest_edge": side * side}
        for name, value in (("min_pixels", least), ("max_pixels", side * side)):
            if getattr(images, name, None) is not None:
                setattr(images, name, value)


class Chat:
    """A model's own chat template and tokens. ends: ids at which the model stops.

    Raises ModelError for a processor without a template or whose replies do not end.
    """

    def __init__(self, processor: Any, ends: Sequence[int] = ()) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.marks = control_tokens(processor)
        if not getattr(processor, "chat_template", None):
            raise ModelError(
                "the model has no chat template: it cannot be taught to converse",
                hint="Take an image-text-to-text model with one, e.g. SmolVLM or Qwen2.5-VL.",
            )
        self.ends = tuple(ends) or (self.tokenizer.eos_token_id,)

    def pieces(self, conversation: Conversation, learned: Sequence[int]) -> list[tuple[str, bool]]:
        """(text, whether it is learned), in order; together the conversation as the template writes
        it, up to the end of the last reply. Raises ModelError for a template that writes a reply
        otherwise than it asks for one."""
        messages = [self._message(message) for message in conversation]
        pieces: list[tuple[str, bool]] = []
        done = ""
        for k in sorted(learned):
            prompt = self._text(messages[:k], ask=True)
            whole = self._text(messages[: k + 1], ask=False)
            if not (prompt.startswith(done) and whole.startswith(prompt)):
                raise ModelError(
                    "the model's chat template does not write a reply where it asks for one",
                    hint="Give its processor a template that does.",
                )
            reply = self._ended(whole[len(prompt) :], str(messages[k]["content"][0]["text"]))
            pieces += [(prompt[len(done) :], False), (reply, True)]
            done = prompt + reply
        return pieces

    def _ended(self, tail: str, text: str) -> str:
        """A reply with the token that ends it; what the template writes behind that is left out."""
        start = tail.find(text.strip())
        if start < 0:
            raise ModelError(
                "the model's chat template changes what is replied",
                hint="Give its processor a template that does not.",
            )
        behind = start + len(text.strip())
        for token in self.tokenizer.convert_ids_to_tokens(list(self.ends)):
            at = tail.find(str(token), behind)
            if at >= 0 and not tail[behind:at].strip():
                return tail[: at + len(str(token))]
        return tail[:behind] + str(self.tokenizer.convert_ids_to_tokens(self.ends[0]))

    def _text(self, messages: list[dict[str, Any]], *, ask: bool) -> str:
        text = self.processor.apply_chat_template(
            messages, add_generation_prompt=ask, tokenize=False
        )
        return str(text)

    def shown(self, conversation: Conversation, pictures: Sequence[Any]) -> list[dict[str, Any]]:
        """A conversation as messages that hold their pictures, in order."""
        messages, left = [self._message(message) for message in conversation], iter(pictures)
        for part in (part for message in messages for part in message["content"]):
            if part["type"] == "image":
                part["image"] = next(left)
        return messages

    def _message(self, message: Message) -> dict[str, Any]:
        parts: list[dict[str, Any]] = [
            {"type": "text", "text": neutral(part, self.marks)}
            if isinstance(part, str)
            else {"type": "image"}
            for part in message.parts
        ]
        return {"role": message.role, "content": parts}


def ends_of(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """The ids at which a model stops: of its generation's configuration, else the tokenizer's."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    return tuple(ends) if isinstance(ends, list | tuple) else (int(ends),)


def lora_targets(model: Any, *, vision: bool) -> str:
    """The linear layers for an adapter, as peft's regular expression: those of the language model,
    with `vision` all but the head. Raises ModelError where the model does not say which part it
    is."""
    import torch

    head = model.get_output_embeddings()
    decoder = model.get_decoder()
    inside = next((name for name, module in model.named_modules() if module is decoder), None)
    if not inside:
        raise ModelError(
            f"{type(model).__name__} does not say which part of it is the language model",
            hint="Take another base.",
        )
    prefix = "" if vision else rf"{re.escape(inside)}\."
    leaves = sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear)
            and module is not head
            and (vision or name.startswith(f"{inside}."))
        }
    )
    head_name = next((n for n, m in model.named_modules() if m is head), "lm_head")
    return rf"^(?!{re.escape(head_name)}$){prefix}(.*\.)?({'|'.join(map(re.escape, leaves))})$"
