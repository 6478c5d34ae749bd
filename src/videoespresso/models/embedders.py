"""Text to vectors: the one contract behind the filter, temporal grounding and the caption index.

Every embedder gives unit-length float32 rows, so a dot product is the cosine similarity. Text
without words has no direction: its row is all zeros, similar to nothing, and never NaN.
"""

import importlib.util
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import ModelError, SettingsError
from videoespresso.memory.captions import Embedder
from videoespresso.models.chat import NO_KEY, openai_key
from videoespresso.models.client.errors import model_errors, redact
from videoespresso.models.client.http import client
from videoespresso.models.plugins import EMBEDDERS, plugin
from videoespresso.models.pull.hub import local
from videoespresso.models.specs import ModelSpec, is_private, openai_base_url, server_name

DEFAULT = "wordllama"
_KNOWN = (
    'Write "wordllama", "openai:text-embedding-3-small", "openai:MODEL@http://host:8000/v1" '
    '"hf:BAAI/bge-m3", or package.module:name.'
)

OPENAI_BATCH = 256
"""Texts a request; OpenAI's own limit is 2,048, smaller servers stop earlier."""

HF_BATCH = 32
HF_MAX_TOKENS = 8192
"""What bge-m3 reads at most; a model with a shorter limit in its tokenizer keeps its own."""


def embedder(spec: str | ModelSpec = DEFAULT) -> Embedder:
    """The embedder a spec names; weights load and servers are called at the first use.

    "wordllama" (the default, offline), "openai:MODEL[@base_url]", "hf:PATH_OR_ID", or another
    package's by its name or package.module:name. Raises SettingsError for a spec that is none of
    these, a missing key, a missing extra, and a plug-in that cannot be imported or made.
    """
    if isinstance(spec, ModelSpec):
        return OpenAIEmbedder(spec) if spec.provider == "openai" else embedder(str(spec))
    if spec.strip() == "wordllama":
        return WordLlamaEmbedder()
    if not spec.startswith(("openai:", "hf:")):
        made = plugin(EMBEDDERS, spec.strip())
        if made is None:
            raise SettingsError(f"not an embedder: {spec!r}", hint=_KNOWN)
        return PluginEmbedder(made, spec.strip())
    parsed = ModelSpec.parse(spec)
    if parsed.provider == "openai":
        return OpenAIEmbedder(parsed)
    if parsed.base_url:
        raise SettingsError(f"{spec} runs in this process; a URL does not fit", hint=_KNOWN)
    return HfEmbedder(parsed)


class _Embedder(ABC):
    """What all embedders share: blank texts, batches, the type, the length."""

    name: str
    batch: int

    @abstractmethod
    def _raw(self, texts: list[str]) -> NDArray[Any]:
        """(n, d) for n >= 1 texts with something in them; any length, any float type."""

    @cached_property
    def dimensions(self) -> int:
        """d, learnt by asking once."""
        return int(self._raw(["."]).shape[1])

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) float32; an empty sequence gives (0, d). Raises ModelError."""
        filled = [i for i, text in enumerate(texts) if text.strip()]
        parts = [
            self._raw([texts[i] for i in filled[start : start + self.batch]])
            for start in range(0, len(filled), self.batch)
        ]
        if not parts:
            return np.zeros((len(texts), self.dimensions), np.float32)
        vectors = self._unit(np.concatenate(parts), len(filled))
        rows = np.zeros((len(texts), vectors.shape[1]), np.float32)
        rows[filled] = vectors
        return rows

    def _unit(self, raw: NDArray[Any], count: int) -> NDArray[np.float32]:
        """(count, d) at unit length, or zeros where there is none. Raises ModelError."""
        vectors = raw.astype(np.float32)
        whole = vectors.ndim == 2 and vectors.shape[0] == count and vectors.shape[1] > 0
        if not whole or not np.isfinite(vectors).all():
            raise ModelError(
                f"{self.name} gave {len(vectors)} vectors for {count} texts, empty ones, or "
                "not-numbers",
                hint="Check that the model is an embedding model.",
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        rows = np.zeros_like(vectors)
        np.divide(vectors, lengths, out=rows, where=lengths > 0)
        return rows


class WordLlamaEmbedder(_Embedder):
    """Static token vectors (256 numbers, from Llama's token table), averaged; no torch.

    The weights (l2_supercat_256, 16 MB, MIT) and the tokenizer are files inside the `wordllama`
    wheel, so nothing is ever downloaded. Being an average of words, it cannot see their order:
    "red car, blue hat" and "blue car, red hat" have cosine 1.0.
    """

    name = "wordllama:l2_supercat_256"
    batch = 1024

    @property
    def _model(self) -> Any:
        return _wordllama()

    def _raw(self, texts: list[str]) -> NDArray[Any]:
        return np.asarray(self._model.embed(texts, norm=False))


@cache
def _wordllama() -> Any:
    """The loaded weights, once a process: the memory and the filter's guard both want them.

    The tokenizer's own cache is turned off. This one does not split texts into words, so the cache
    would keep whole texts, up to 10,000 a thread (30 MB after 4,500 of 20 words were seen), and
    hardly ever meets one again.
    """
    with _root_logger_kept():
        import wordllama  # noqa: PLC0415 - loads requests and a compiled module

    # The package's own look-up of its tokenizer has a typo ("tokenizer" for "tokenizers") and
    # would go on to download it; its folder given as the cache has both files in place.
    inside = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=inside, disable_download=True)
    with suppress(AttributeError):  # the library promises neither: without it only memory grows
        model.tokenizer.model._resize_cache(0)
    return model


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Makes nothing of wordllama's `logging.basicConfig(level=INFO)`, which it calls when imported:
    that leaves a root logger alone which has a handler. Undone afterwards it would be too late for
    what other threads log meanwhile."""
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)
    try:
        yield
    finally:
        root.removeHandler(silent)


class PluginEmbedder(_Embedder):
    """Another package's: a class without arguments whose objects turn a list of n texts into (n, d)
    numbers, or such a function. Give it another name, or a `name` of its own, when its vectors
    change: stored vectors are kept by name."""

    batch = HF_BATCH

    def __init__(self, given: Any, spec: str) -> None:
        try:
            self._embed = given() if isinstance(given, type) else given
        except Exception as error:  # others' code
            raise SettingsError(
                f"the embedder {spec!r} cannot be made: {redact(str(error))}"
            ) from error
        self.name = " ".join((spec, getattr(self._embed, "name", ""))).strip()

    def _raw(self, texts: list[str]) -> NDArray[Any]:
        try:
            return np.asarray(self._embed(texts), dtype=np.float32).reshape(len(texts), -1)
        except Exception as error:  # others' code
            raise ModelError(f"the embedder {self.name!r} failed: {redact(str(error))}") from error


class OpenAIEmbedder(_Embedder):
    """OpenAI's embeddings, or those of any server that speaks its `/v1/embeddings`.

    Every call is one request, made once: limits, retries and a cache are paid_embedder.py's.
    """

    batch = OPENAI_BATCH

    def __init__(self, spec: ModelSpec, *, timeout_s: float = 60.0) -> None:
        self.spec, self._timeout_s = spec, timeout_s
        self._url = spec.base_url or openai_base_url()
        self.name = server_name(spec, self._url)
        url = self._url or ""
        own = openai_key(url, keyless=spec.keyless)
        self._key = own or (NO_KEY if is_private(url) else "")
        if not self._key:
            raise SettingsError(
                f"{spec} needs a key",
                hint='Set OPENAI_API_KEY, or use the offline embedder "wordllama". To a server '
                "that only a settings file names the key is not sent: name it by OPENAI_BASE_URL, "
                "or -m embedder=SPEC.",
            )

    @cached_property
    def _client(self) -> Any:
        from openai import OpenAI  # noqa: PLC0415 - a second or two

        bounded: Any = client(self._timeout_s)  # of httpx; some releases of the SDK name httpx2
        return OpenAI(
            base_url=self._url,
            api_key=self._key,
            timeout=self._timeout_s,
            max_retries=0,
            http_client=bounded,
        )

    def counted(self, texts: list[str]) -> tuple[NDArray[np.float32], int]:
        """(n, d) of up to `batch` texts with something in them, and the tokens that the server says
        it read, 0 if it says nothing."""
        raw, tokens = self._sent(texts)
        return self._unit(raw, len(texts)), tokens

    def _raw(self, texts: list[str]) -> NDArray[Any]:
        return self._sent(texts)[0]

    def _sent(self, texts: list[str]) -> tuple[NDArray[Any], int]:
        """One request; vectors of any length."""
        with model_errors(self.spec), np.errstate(over="ignore"):  # infinite is noticed below
            reply = self._client.embeddings.create(model=self.spec.model, input=texts)
            in_order = sorted(reply.data, key=lambda item: item.index or 0)
            rows = np.asarray([item.embedding for item in in_order], dtype=np.float32)
            tokens = getattr(reply.usage, "prompt_tokens", None)
        return rows, tokens or 0


class HfEmbedder(_Embedder):
    """A transformers encoder in this process (extra `local`), e.g. bge-m3, the paper's encoder.

    Pooling follows the sentence-transformers file `1_Pooling/config.json` beside the weights, as
    all-MiniLM and its like need the mean; without one it is the first token, as for bge-m3.
    """

    batch = HF_BATCH

    def __init__(self, spec: ModelSpec) -> None:
        self.name, self._path = str(spec), spec.model
        if importlib.util.find_spec("transformers") is None:
            raise SettingsError(
                f"{spec} needs torch and transformers", hint='pip install "videoespresso[local]"'
            )

    @cached_property
    def _loaded(self) -> tuple[Any, Any, bool]:
        """Tokenizer, model, and whether to take the mean."""
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415 - the extra `local`

        where = local(self._path, self.name)
        try:
            tokenizer = AutoTokenizer.from_pretrained(where)
            model = AutoModel.from_pretrained(where).eval()
            return tokenizer, model, _mean_pooling(where)
        except (OSError, ValueError) as error:
            first = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"{self.name} cannot be loaded: {first}",
                hint="Check the folder, and that transformers knows its type.",
            ) from error

    def _raw(self, texts: list[str]) -> NDArray[Any]:
        import torch  # noqa: PLC0415 - the extra `local`

        tokenizer, model, mean = self._loaded
        limit = min(tokenizer.model_max_length, HF_MAX_TOKENS)
        inputs = tokenizer(
            texts, padding=True, truncation=True, max_length=limit, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = model(**inputs).last_hidden_state.float()
        if mean:
            weights = inputs["attention_mask"].unsqueeze(-1).float()
            return np.asarray((hidden * weights).sum(1) / weights.sum(1))
        return np.asarray(hidden[:, 0])


def _mean_pooling(path: str) -> bool:
    """Whether the model's sentence-transformers settings ask for the mean of its tokens."""
    settings = Path(path) / "1_Pooling/config.json"
    if not settings.is_file():
        return False
    return bool(json.loads(settings.read_text(encoding="utf-8"))["pooling_mode_mean_tokens"])
