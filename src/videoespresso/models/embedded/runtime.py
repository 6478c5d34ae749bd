"""The pack's vision-language model on ONNX Runtime: tokens and pictures in, tokens out.

Files in a pack folder: vision.onnx (pixels -> image features), decoder.onnx (embeddings + cache ->
logits + cache), embeddings.npy, tokenizer.json, chat_template.jinja, pack.json (sizes, digest).

Multiple choice is guided: the reasoner's prompt lists options as "(A) text" lines under "Options:"
(agents/prompt_parts.py), and from the answer's first word on the reply is that option which the
model finds likeliest as a whole, so that the letter is always the text's letter. Nothing is forced
on a reply that declines to answer. As a whole, because the first word that differs often says
little: going by it, word for word, 225 of 300 questions about validation stories were right (core
frames and their captions given), by the mean log-likelihood of a whole option 239, by its sum 237.
"""

import hashlib
import json
import re
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videoespresso.errors import ModelError
from videoespresso.models.embedded import PACK_LVLM
from videoespresso.models.guidance import Vocabulary

Floats = NDArray[np.float32]

VISION_BATCH = 16
RECENT = 256
"""Pictures whose features are kept: 12 kB each."""


@dataclass(frozen=True)
class Prompted:
    """A templated conversation: its text with one `<image>` a picture, and the pictures."""

    text: str
    images: tuple[Image.Image, ...]


class PackRuntime:
    """Greedy decoding, guided where options are given.

    Thread-safe. A call takes one core: its steps are too small to share, so that threads which wait
    for each other took 1.6 times the CPU seconds of a step; calls run side by side instead.

    Raises ModelError when the folder is not a pack or a prompt does not fit the context.
    """

    def __init__(self, folder: Path = PACK_LVLM) -> None:
        self.folder = folder
        try:
            self.facts: dict[str, Any] = json.loads((folder / "pack.json").read_text())
            self._template_text = (folder / "chat_template.jinja").read_text()
            self._tokenizer_json = (folder / "tokenizer.json").read_text()
        except (OSError, ValueError) as error:
            raise ModelError(
                f"the embedded pack is not in {folder}",
                hint="Reinstall videoespresso, or train it anew with `make pack`.",
            ) from error
        self._recent: OrderedDict[bytes, Floats] = OrderedDict()
        self._lock = threading.Lock()

    # what follows is loaded when it is used: a reply from the cache needs the facts alone

    @cached_property
    def tokenizer(self) -> Any:
        """The pack's, of Hugging Face's tokenizers."""
        from tokenizers import Tokenizer  # noqa: PLC0415 - see above

        try:
            return Tokenizer.from_str(self._tokenizer_json)
        except Exception as error:  # tokenizers raises nothing narrower
            raise ModelError(
                f"{self.folder / 'tokenizer.json'} is no tokenizer", hint="Reinstall videoespresso."
            ) from error

    @cached_property
    def template(self) -> Any:
        """The chat template."""
        import jinja2  # noqa: PLC0415 - see above

        return jinja2.Environment(autoescape=False).from_string(self._template_text)

    @cached_property
    def end(self) -> int:
        """The token that ends a reply."""
        return int(self.tokenizer.token_to_id("<|end|>") or 0)

    @cached_property
    def image_id(self) -> Any:
        """The token in the place of a picture."""
        return self.tokenizer.token_to_id("<image>")

    @cached_property
    def _vision(self) -> Any:
        return self._session("vision.onnx")

    @cached_property
    def _decoder(self) -> Any:
        return self._session("decoder.onnx")

    @cached_property
    def _embeddings(self) -> Floats:
        table: Floats = np.load(self.folder / "embeddings.npy").astype(np.float32)
        return table

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._tokenizer_json, len(self._embeddings), [self.end])

    def _session(self, name: str) -> Any:
        import onnxruntime  # noqa: PLC0415 - see above

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(
            str(self.folder / name), options, providers=["CPUExecutionProvider"]
        )

    def prompt(self, messages: Sequence[dict[str, Any]], images: Sequence[Image.Image]) -> Prompted:
        """Chat messages in the OpenAI shape, through the pack's template."""
        text = self.template.render(messages=messages, add_generation_prompt=True)
        return Prompted(text, tuple(images))

    def pixels(self, images: Sequence[Image.Image]) -> Floats:
        """(n, 3, size, size) in -1..1: squared, as Idefics3's image processor does it."""
        size = self.facts["image_size"]
        out = np.empty((len(images), 3, size, size), np.float32)
        for i, image in enumerate(images):
            small = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
            out[i] = np.asarray(small, np.float32).transpose(2, 0, 1) / 127.5 - 1.0
        return out

    def features(self, images: Sequence[Image.Image]) -> Floats:
        """(n, tokens an image, width): what the language model is given of each picture.

        Those of recent pictures are kept: evidence, answer and check look at the same frames.
        """
        pixels = self.pixels(images)
        names = [hashlib.sha256(p.tobytes()).digest() for p in pixels]
        with self._lock:
            seen = {name: self._recent[name] for name in names if name in self._recent}
        new = [i for i, name in enumerate(names) if name not in seen]
        for start in range(0, len(new), VISION_BATCH):
            part = new[start : start + VISION_BATCH]
            (vectors,) = self._vision.run(None, {"pixels": pixels[part]})
            seen |= {names[i]: f for i, f in zip(part, vectors, strict=True)}
        with self._lock:
            self._recent.update(seen)
            while len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        shape = (len(images), self.facts["image_tokens"], self.facts["width"])
        return np.array([seen[name] for name in names], np.float32).reshape(shape)

    def _embed(self, prompt: Prompted) -> Floats:
        slot = "<fake_token_around_image><global-img>"
        text = prompt.text.replace(
            "<image>", slot + "<image>" * self.facts["image_tokens"] + "<fake_token_around_image>"
        )
        ids = np.array(self.tokenizer.encode(text, add_special_tokens=False).ids)
        if len(ids) > self.facts["max_tokens"]:
            raise ModelError(
                f"the prompt has {len(ids)} tokens, the pack reads {self.facts['max_tokens']}",
                hint="Ask with fewer frames (--select paper), or use a larger model.",
            )
        embeds: Floats = self._embeddings[ids]
        where = ids == self.image_id
        if where.sum() != len(prompt.images) * self.facts["image_tokens"]:
            raise ModelError("the prompt names more or fewer images than it has")
        embeds[where] = self.features(prompt.images).reshape(-1, self.facts["width"])
        return embeds

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def generate(
        self, prompts: Sequence[Prompted], max_tokens: int, schema: dict[str, Any] | None = None
    ) -> list[str]:
        """Replies to several prompts at once. schema: what each of them must fit."""
        rows: list[list[int]] = [[] for _ in prompts]
        for step in self._steps(prompts, max_tokens, schema):
            for row, token in zip(rows, step, strict=True):
                if token is not None:
                    row.append(token)
        return [self.tokenizer.decode(row) for row in rows]

    def stream(
        self, prompt: Prompted, max_tokens: int, schema: dict[str, Any] | None = None
    ) -> Iterator[str]:
        """The reply to one prompt, piece by piece."""
        ids: list[int] = []
        text = ""
        for (token,) in self._steps([prompt], max_tokens, schema):
            if token is not None:
                ids.append(token)
                longer = self.tokenizer.decode(ids)
                yield longer[len(text) :]
                text = longer

    def _steps(
        self, prompts: Sequence[Prompted], max_tokens: int, schema: dict[str, Any] | None
    ) -> Iterator[list[int | None]]:
        """One list of tokens a step, None for rows that have ended; prompts are left-padded."""
        embeds = [self._embed(p) for p in prompts]
        guides = [guide(p.text, self.tokenizer) for p in prompts]
        forms = [self._vocabulary.guidance(schema, max_tokens) for _ in prompts if schema]
        generated: list[list[int]] = [[] for _ in prompts]
        n, longest = len(embeds), max(len(e) for e in embeds)
        width = self.facts["width"]
        step = np.zeros((n, longest, width), np.float32)
        seen = np.zeros((n, longest), np.int64)
        for i, e in enumerate(embeds):
            step[i, longest - len(e) :] = e
            seen[i, longest - len(e) :] = 1
        layers, heads, size = self.facts["layers"], self.facts["kv_heads"], self.facts["head_size"]
        cache = np.zeros((layers, 2, n, heads, 0, size), np.float32)
        positions = np.maximum(np.cumsum(seen, 1) - 1, 0)
        alive = np.ones(n, bool)
        forced: list[deque[int]] = [deque() for _ in prompts]
        for _ in range(max_tokens):
            if any(a and not f for a, f in zip(alive, forced, strict=True)):  # else all is decided
                logits, cache = self._decoder.run(
                    None, {"embeds": step, "positions": positions, "seen": seen, "cache": cache}
                )
                for i, one in enumerate(guides):
                    if one.at_choice(generated[i]):
                        state = logits[i], cache[:, :, [i]], seen[[i]], int(positions[i, -1])
                        forced[i].extend(self._likeliest(one.rests(), *state))
                for row, form in zip(logits, forms, strict=False):  # no forms without a schema
                    row[:] = form.masked(row)
            best = logits.argmax(-1)
            tokens = np.array([f.popleft() if f else b for f, b in zip(forced, best, strict=True)])
            for row, token in zip(generated, tokens, strict=True):
                row.append(int(token))
            for form, token in zip(forms, tokens, strict=False):
                form.consume(int(token))
            alive &= tokens != self.end
            if not alive.any():
                return
            yield [int(t) if a else None for t, a in zip(tokens, alive, strict=True)]
            step = self._embeddings[tokens][:, None]
            positions = positions[:, -1:] + 1
            seen = np.concatenate([seen, np.ones((n, 1), np.int64)], 1)

    def _likeliest(
        self,
        rests: Sequence[tuple[int, ...]],
        logits: Floats,
        cache: Floats,
        seen: NDArray[np.int64],
        position: int,
    ) -> tuple[int, ...]:
        """Which of several continuations has the highest mean log-likelihood a token.

        logits: (vocabulary,), of what comes next; cache, seen: of one row; position: of its last
        token. All continuations are read side by side.
        """
        n = len(rests)
        scores = np.repeat(logits[None], n, 0)
        cache, seen = np.repeat(cache, n, 2), np.repeat(seen, n, 0)
        sums = np.zeros(n)
        for at in range(max(len(rest) for rest in rests)):
            if at:  # of the last token nobody asks what comes next
                tokens = [rest[min(at, len(rest)) - 1] for rest in rests]
                step = self._embeddings[tokens][:, None]
                seen = np.concatenate([seen, np.ones((n, 1), np.int64)], 1)
                positions = np.full((n, 1), position + at)
                scores, cache = self._decoder.run(
                    None, {"embeds": step, "positions": positions, "seen": seen, "cache": cache}
                )
            for i, rest in enumerate(rests):
                if at < len(rest):
                    sums[i] += _log_likelihood(scores[i], rest[at])
        means = sums / [len(rest) for rest in rests]
        return rests[int(means.argmax())]


def _log_likelihood(logits: Floats, token: int) -> float:
    top = float(logits.max())
    return float(logits[token]) - top - float(np.log(np.exp(logits - top).sum()))


_OPENING = '{"answered":true,"answer":"'
_LISTED = re.compile(r"Options:\n((?:\([A-Z]\) [^\n]*\n)+)")
_OPTION = re.compile(r"\(([A-Z])\) ([^\n]*)\n")


@dataclass(frozen=True)
class Guide:
    """The replies that may be given, as token ids, and how many of their first tokens are free."""

    replies: tuple[tuple[int, ...], ...]
    free: int

    def at_choice(self, generated: Sequence[int]) -> bool:
        """Whether the reply has come to the answer's first word, where options are weighed."""
        n = self.free
        return len(generated) == n and any(r[:n] == tuple(generated) for r in self.replies)

    def rests(self) -> list[tuple[int, ...]]:
        """What of each reply comes after the free beginning."""
        return [reply[self.free :] for reply in self.replies]


FREE = Guide((), 0)


def guide(prompt: str, tokenizer: Any) -> Guide:
    """What a prompt's last turn allows; `FREE` where it lists no options.

    prompt: the templated conversation. tokenizer: a `tokenizers.Tokenizer`.
    """
    listed = _LISTED.search(prompt, prompt.rfind("<|user|>"))
    if listed is None:
        return FREE

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False).ids)

    end = tokenizer.token_to_id("<|end|>")
    replies = tuple(
        (*ids(f'{_OPENING}{json.dumps(text)[1:-1]}","choice":"{letter}"}}'), end)
        for letter, text in _OPTION.findall(listed[1])
    )
    return Guide(replies, len(ids(_OPENING)))
