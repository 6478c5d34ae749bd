"""Greedy decoding of an exported vision-language model: tokens and pictures in, tokens out."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videoespresso.errors import ModelError
from videoespresso.models.guidance import Guidance, Vocabulary
from videoespresso.models.onnx.files import ExportFiles, export_files
from videoespresso.models.onnx.graph import Array, Graph
from videoespresso.models.onnx.sides import Pixels, Sides

RECENT = 64
"""Pictures whose features are kept: 64 tokens of 960 numbers are 245 kB, and the next question
looks at the same frames."""
FEWEST_THREADS, MOST_THREADS = 2, 8
"""More threads than eight make these small models no faster, and starve whatever else runs."""


def default_threads() -> int:
    """OMP_NUM_THREADS where somebody set it, else 2 to 8 by the number of cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return max(FEWEST_THREADS, min(MOST_THREADS, os.cpu_count() or 1))


class OnnxVlm:
    """A model by its folder or repository id; graphs are loaded when first used.

    dtype: the decoder's number format, "" for the fastest that is there. threads: 0 for
    `default_threads`. Not thread-safe in its cache of pictures: one call at a time.

    Raises ModelError when files are missing or wrong, or a prompt does not fit the context.
    """

    def __init__(self, where: str, dtype: str = "", threads: int = 0) -> None:
        self.files: ExportFiles = export_files(where, dtype)
        self.sides = Sides(self.files.folder)
        self.threads = threads or default_threads()
        self._recent: OrderedDict[bytes, Array] = OrderedDict()
        self._vocabularies: dict[int, Vocabulary] = {}

    @cached_property
    def vision(self) -> Graph:
        """pixel_values -> image_features."""
        return Graph(self.files.vision, self.threads)

    @cached_property
    def embed(self) -> Graph:
        """input_ids -> inputs_embeds."""
        return Graph(self.files.embed, self.threads)

    @cached_property
    def decoder(self) -> Graph:
        """inputs_embeds and cache -> logits and cache."""
        return Graph(self.files.decoder, self.threads)

    @cached_property
    def later(self) -> Graph:
        """The decoder of all steps but the first: the same one in merged exports."""
        return Graph(self.files.later, self.threads) if self.files.later else self.decoder

    @property
    def context(self) -> int:
        """Tokens that the decoder can hold, prompt and reply; 0 where config.json does not say."""
        return int(self.sides.text_config.get("max_position_embeddings") or 0)

    # ---- pictures and prompts

    @cached_property
    def _pixels(self) -> Pixels:
        slot = self.vision.inputs.get("pixel_values")
        return self.sides.pixels(slot.shape[-1] if slot else None)

    def features(self, images: Sequence[Image.Image]) -> list[Array]:
        """(tokens, width) of each picture; one a run, since memory grows with their number."""
        vectors = []
        for image in images:
            pixels = self._pixels(image)
            name = hashlib.sha256(pixels.tobytes()).digest()
            if name not in self._recent:
                mask = np.ones((1, 1, *pixels.shape[1:]), bool)
                out = self.vision.run({"pixel_values": pixels[None], "pixel_attention_mask": mask})
                self._recent[name] = out[0].reshape(-1, out[0].shape[-1]).astype(np.float32)
            self._recent.move_to_end(name)
            vectors.append(self._recent[name])
            while len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        return vectors

    def prompt(
        self, messages: Sequence[dict[str, Any]], images: Sequence[Image.Image]
    ) -> tuple[list[int], Array]:
        """Chat messages (parts: text, image) -> token ids and embeddings (1, n, width)."""
        features = self.features(images)
        ids = self.sides.ids(self.sides.render(messages), [len(f) for f in features])
        embeds = self.embeddings(ids)
        if features:
            where = np.asarray(ids) == self.sides.image_id
            embeds[0, where] = np.concatenate(features)
        return ids, embeds

    def embeddings(self, ids: Sequence[int]) -> Array:
        """(1, n, width) of token ids."""
        out = self.embed.run({"input_ids": np.asarray([ids], np.int64)})
        return np.array(out[0], np.float32)

    # ---- decoding

    def vocabulary(self, width: int) -> Vocabulary:
        """What constrains replies, for logits of that width."""
        if width not in self._vocabularies:
            self._vocabularies[width] = Vocabulary(
                self.sides.tokenizer_json, width, self.sides.ends
            )
        return self._vocabularies[width]

    def steps(
        self,
        prompt: tuple[list[int], Array],
        max_tokens: int,
        schema: dict[str, Any] | None = None,
    ) -> Iterator[int]:
        """The tokens of a reply, the one that ends it left out. schema: what it must fit."""
        ids, embeds = prompt
        if self.context and len(ids) + max_tokens > self.context:
            raise ModelError(
                f"the prompt has {len(ids)} tokens, the model holds {self.context} with the reply",
                hint="Ask with fewer frames, or use a larger model.",
            )
        guidance: Guidance | None = None
        cache = Cache(self.decoder)
        for n in range(max_tokens):
            logits = self.logits(embeds, cache)
            if n == 0 and schema is not None:
                guidance = self.vocabulary(len(logits)).guidance(schema, max_tokens)
            token = int((logits if guidance is None else guidance.masked(logits)).argmax())
            if token in self.sides.ends:
                return
            yield token
            if guidance is not None:
                guidance.consume(token)
            embeds = self.embeddings([token])

    def logits(self, embeds: Array, cache: "Cache") -> NDArray[np.float32]:
        """(vocabulary,) of what follows the embeddings (1, n, width), by which the cache grows."""
        graph, n = self.later if cache.tokens else self.decoder, embeds.shape[1]
        total = cache.tokens + n
        out = graph.run(
            {
                "inputs_embeds": embeds,
                "attention_mask": np.ones((1, total), np.int64),
                "position_ids": np.arange(cache.tokens, total)[None],
                "num_logits_to_keep": np.array(1),
                "use_cache_branch": np.array([cache.tokens > 0]),
                **cache.parts,
            }
        )
        named = dict(zip(graph.outputs, out, strict=True))
        cache.grow(named, self.later, n)
        scores = named.get("logits", out[0])
        return np.asarray(scores[0, -1], np.float32)


class Cache:
    """Keys and values of the tokens so far, under the names by which a decoder takes them."""

    def __init__(self, graph: Graph) -> None:
        self.tokens = 0
        self.parts = {name: slot.empty() for name, slot in graph.inputs.items() if _is_cache(name)}

    def grow(self, named: dict[str, Array], graph: Graph, n: int) -> None:
        """Takes a step's outputs, for the next step on `graph`. Outputs that hold the cache and
        inputs that take it are listed in the same order, layer by layer. Raises ModelError when
        there are not as many."""
        slots = [name for name in graph.inputs if _is_cache(name)]
        present = [value for name, value in named.items() if name.startswith("present")]
        if not slots or len(present) != len(slots):
            raise ModelError(
                f"{graph.path.name} takes {len(slots)} parts of a cache and gets {len(present)}",
                hint="An export with a cache is needed: decoder_model_merged, or decoder_model and "
                "decoder_with_past_model.",
            )
        self.parts = dict(zip(slots, present, strict=True))
        self.tokens += n


def _is_cache(name: str) -> bool:
    return name.startswith("past")
