"""What stands beside the graphs: tokenizer, chat template, sizes, and how pictures are prepared."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

from videoespresso.errors import ModelError
from videoespresso.models.onnx.files import PULL

AROUND, WHOLE = "<fake_token_around_image>", "<global-img>"
"""What SmolVLM and Idefics3 put around the tokens of a picture that is not cut into tiles."""
END = "<end_of_utterance>"


@dataclass(frozen=True)
class Pixels:
    """How the image processor makes a square of a picture, image splitting off.

    longest: the side to which the longer edge is brought first, 0 for no such step; the exports
    are trained on pictures that were resized twice, and half the difference shows in the logits.
    """

    side: int
    longest: int
    resample: int
    scale: float
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """(3, side, side)."""
        image = image.convert("RGB")
        resample = Image.Resampling(self.resample)
        if self.longest:
            image = image.resize(_stretched(image.size, self.longest), resample)
        image = image.resize((self.side, self.side), resample)
        scaled = np.asarray(image, np.float32) * np.float32(self.scale)
        return ((scaled - self.mean) / self.std).transpose(2, 0, 1)


def _stretched(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(width, height) with the longer edge at `longest`; the other is even, as Idefics3 has it."""
    width, height = size
    other = int(longest * min(size) / max(size))
    other = max(1, other + other % 2)
    return (longest, other) if width >= height else (other, longest)


class Sides:
    """The side files of a model. ends: ids that end a reply; image_id: a picture's token.

    Raises ModelError that names the file which is missing or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = self._json("config.json")
        self.text_config: dict[str, Any] = self.config.get("text_config", self.config)
        self._processor = self._json("preprocessor_config.json", must=False)
        about = self._json("tokenizer_config.json", must=False)
        self.tokenizer_json = self._read("tokenizer.json")
        try:
            self.tokenizer = Tokenizer.from_str(self.tokenizer_json)
        except Exception as error:  # the package raises plain Exception
            raise self._error("tokenizer.json", "is no tokenizer") from error
        self._special = {
            key: value["content"] if isinstance(value, dict) else value
            for key, value in about.items()
            if key.endswith("_token") and value
        }
        self.template = self._template(about)
        self.image_id, self.image_token = self._image_token()
        self.ends = self._ends()
        added = self.tokenizer.get_added_tokens_decoder().values()
        marks = sorted((t.content for t in added if t.special), key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, marks))) if marks else None

    # ---- files

    def _error(self, name: str, what: str) -> ModelError:
        return ModelError(f"{self.folder}: {name} {what}", hint=f"The folder is not whole. {PULL}")

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise self._error(name, "is missing or cannot be read") from error

    def _json(self, name: str, must: bool = True) -> dict[str, Any]:
        if not must and not (self.folder / name).is_file():
            return {}
        try:
            value = json.loads(self._read(name))
        except ValueError as error:
            raise self._error(name, "is not JSON") from error
        if not isinstance(value, dict):
            raise self._error(name, "is no JSON object")
        return value

    def _template(self, about: dict[str, Any]) -> Any:
        """The chat template: a file of its own, one in JSON, or in the tokenizer's settings."""
        if (self.folder / "chat_template.jinja").is_file():
            text: Any = self._read("chat_template.jinja")
        else:
            own = self._json("chat_template.json", must=False).get("chat_template")
            text = own or about.get("chat_template")
        if not isinstance(text, str):
            raise self._error("chat_template.jinja", "is missing")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        try:
            return environment.from_string(text)
        except TemplateError as error:
            raise self._error("the chat template", f"cannot be read: {error}") from error

    def _image_token(self) -> tuple[int, str]:
        given = self.config.get("image_token_id", self.config.get("image_token_index"))
        number = self.tokenizer.token_to_id("<image>") if given is None else given
        token = self.tokenizer.id_to_token(int(number)) if isinstance(number, int) else None
        if token is None or number is None:
            raise self._error("config.json", "names no image_token_id that the tokenizer has")
        return int(number), token

    def _ends(self) -> tuple[int, ...]:
        """What the generation's settings name, else the configuration, and the tokenizer's own end.

        Only special tokens: a configuration class writes its default down, which is another
        tokenizer's end and here perhaps a letter.
        """
        generation = self._json("generation_config.json", must=False)
        named = [c.get("eos_token_id") for c in (generation, self.config, self.text_config)]
        first: Any = next((value for value in named if value is not None), [])
        given = first if isinstance(first, list) else [first]
        own = (self._special.get("eos_token", END), END)
        given = [*given, *(self.tokenizer.token_to_id(token) for token in own)]
        added = self.tokenizer.get_added_tokens_decoder()
        ends = tuple(dict.fromkeys(t for t in given if t in added and added[t].special))
        if not ends:
            raise self._error("generation_config.json", "names no eos_token_id of the tokenizer")
        return ends

    # ---- prompts

    def render(self, messages: Sequence[dict[str, Any]]) -> str:
        """The conversation through the model's template, one image token a picture.

        Text that spells one of the model's own marks is broken up: a sign or a subtitle in a film
        must not end a turn or claim to be a picture.
        """
        shown = [
            {**m, "content": [self._unmarked(part) for part in m["content"]]} for m in messages
        ]
        try:
            return str(
                self.template.render(
                    messages=shown,
                    add_generation_prompt=True,
                    raise_exception=_refuse,
                    **self._special,
                )
            )
        except (TemplateError, TypeError) as error:
            raise self._error("the chat template", f"refuses the conversation: {error}") from error

    def _unmarked(self, part: dict[str, Any]) -> dict[str, Any]:
        if part["type"] != "text" or self._marks is None:
            return part
        text = self._marks.sub(lambda m: f"{m[0][0]} {m[0][1:]}", part["text"])
        return {**part, "text": text}

    def ids(self, text: str, tokens: Sequence[int]) -> list[int]:
        """Token ids of a rendered prompt. tokens: how many each picture takes.

        Raises ModelError when the prompt has more or fewer image tokens than pictures.
        """
        pieces = text.split(self.image_token)
        if len(pieces) - 1 != len(tokens):
            raise self._error(
                "the chat template",
                f"makes {len(pieces) - 1} image tokens of {len(tokens)} pictures",
            )
        before, after = ("", "")
        if self.tokenizer.token_to_id(AROUND) is not None:
            whole = WHOLE if self.tokenizer.token_to_id(WHOLE) is not None else ""
            before, after = AROUND + whole, AROUND
        whole_text = pieces[0]
        for n, piece in zip(tokens, pieces[1:], strict=True):
            whole_text += before + self.image_token * n + after + piece
        return list(self.tokenizer.encode(whole_text, add_special_tokens=False).ids)

    # ---- pictures

    def pixels(self, fixed_side: int | None) -> Pixels:
        """How pictures are prepared. fixed_side: what the vision graph itself fixes, if it does."""
        known = self._processor
        sizes = known.get("max_image_size") or known.get("size") or {}
        vision = self.config.get("vision_config", {})
        side = (
            fixed_side
            or sizes.get("longest_edge")
            or sizes.get("height")
            or vision.get("image_size")
        )
        if not side:
            raise self._error("preprocessor_config.json", "names no size of pictures")
        return Pixels(
            side=int(side),
            longest=int((known.get("size") or {}).get("longest_edge") or 0),
            resample=int(known.get("resample", Image.Resampling.LANCZOS)),
            scale=float(known.get("rescale_factor", 1 / 255)),
            mean=np.asarray(known.get("image_mean", [0.5] * 3), np.float32),
            std=np.asarray(known.get("image_std", [0.5] * 3), np.float32),
        )


def _refuse(message: str) -> None:
    """What templates call when a conversation is not to their taste."""
    raise TemplateError(message)
