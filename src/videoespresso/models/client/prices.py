"""What a call costs: dollars from tokens, and tokens from pixels when the server does not say."""

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from videoespresso.models.specs import ModelSpec, is_local, openai_base_url

_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)")
_MILLION = 1_000_000


class Price(NamedTuple):
    """US dollars for a million tokens, and the date of the price list it was read from."""

    input: float
    output: float
    as_of: str

    def usd(self, input_tokens: int, output_tokens: int) -> float:
        """What that many tokens cost."""
        return (self.input * input_tokens + self.output * output_tokens) / _MILLION

    def in_batch(self, provider: str) -> "Price":
        """The same tokens asked for in a batch. Unknown providers give nothing off."""
        factor = float(_table()["batch"].get(provider, 1.0))
        return Price(factor * self.input, factor * self.output, self.as_of)


FREE = Price(0.0, 0.0, "")


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "prices.toml").read_text(encoding="utf-8"))


def price(spec: ModelSpec) -> Price | None:
    """The price of a model; FREE for what runs on this machine, None when it is not known.

    A base URL that is not this machine has no known price: resellers set their own. The OpenAI
    SDK's own variables for a base URL count as one.
    """
    url = spec.base_url
    if spec.provider == "openai" and not url:
        url = openai_base_url() or ""
    if spec.local or is_local(url):
        return FREE
    if url:
        return None
    table = _table()
    models = table.get(spec.provider)
    if not isinstance(models, dict):
        return None
    row = models.get(spec.name) or models.get(_SNAPSHOT.sub("", spec.name))
    return Price(row["input"], row["output"], row.get("as_of", table["as_of"])) if row else None


def ends(spec: ModelSpec) -> str:
    """The date (YYYY-MM-DD) on which its provider shuts a model down; "" when none is known."""
    models = _table().get(spec.provider, {}) if not spec.base_url else {}
    row = models.get(spec.name) or models.get(_SNAPSHOT.sub("", spec.name)) or {}
    return str(row.get("ends", ""))


def image_tokens(spec: ModelSpec, width: int, height: int) -> int:
    """An estimate of the tokens an image costs, from its size in pixels and the spec's `detail`.

    OpenAI's in tiles or patches by family, as its guide "Images and vision: calculating costs"
    says; Anthropic's w*h/750 (its vision guide); Gemini's by its guides "Understand and count
    tokens" and "Media resolution"; all others a token for 28x28 pixels, as Qwen2-VL and its
    successors do. An estimate: what the server reports wins.
    """
    detail = spec.options.get("detail", "")
    if spec.provider == "anthropic":
        return ceil(width * height / 750)
    if spec.provider == "google_genai":
        return _gemini_tokens(spec.name, detail, width, height)
    if spec.provider == "openai" and not spec.base_url:
        return _openai_tokens(_SNAPSHOT.sub("", spec.name), detail, width, height)
    return ceil(width / 28) * ceil(height / 28)


def image_formula(spec: ModelSpec) -> str:
    """How `image_tokens` counts for this model, in words."""
    if spec.provider == "anthropic":
        return "width*height/750"
    if spec.provider == "google_genai":
        if spec.options.get("detail") or spec.name.startswith("gemini-3"):
            return "fixed by media resolution"
        return "258 a tile"
    if spec.provider == "openai" and not spec.base_url:
        name = _SNAPSHOT.sub("", spec.name)
        if name in _PATCH_FACTOR:
            return f"32x32 patches*{_PATCH_FACTOR[name]:g}"
        base, tile = _TILE_TOKENS.get(name, _TILES)
        return f"{base}" if spec.options.get("detail") == "low" else f"{base}+{tile} a 512 tile"
    return "28x28 patches"


_PATCH_FACTOR = {
    "gpt-4.1-mini": 1.62,
    "gpt-4.1-nano": 2.46,
    "gpt-5-mini": 1.62,
    "gpt-5-nano": 2.46,
    "gpt-5.4": 1.0,
    "gpt-5.4-mini": 1.62,
    "gpt-5.4-nano": 2.46,
    "gpt-5.5": 1.0,
    # not seen in writing: that of the nano line, whose place these have; it is the highest
    "gpt-5.6-luna": 2.46,
    "gpt-6-luna": 2.46,
    "o4-mini": 1.72,
}
_MOST_PATCHES = 1536
_LOW_SIDE = 512
"""Pixels a side that OpenAI's detail=low keeps."""
_TILE_TOKENS = {"gpt-4o-mini": (2833, 5667), "gpt-5": (70, 140)}
"""(base, a tile); every other tiled model takes GPT-4o's."""
_TILES = (85, 170)


def _openai_tokens(name: str, detail: str, width: int, height: int) -> int:
    if name in _PATCH_FACTOR:
        shrunk = min(1.0, _LOW_SIDE / max(width, height)) if detail == "low" else 1.0
        patches = ceil(width * shrunk / 32) * ceil(height * shrunk / 32)
        return ceil(min(_MOST_PATCHES, patches) * _PATCH_FACTOR[name])
    base, tile = _TILE_TOKENS.get(name, _TILES)
    return base if detail == "low" else base + tile * _tiles(width, height)


_GEMINI_2 = {"low": 64, "medium": 256, "high": 256}
_GEMINI_3 = {"low": 280, "medium": 560, "high": 1120, "": 1120}


def _gemini_tokens(name: str, detail: str, width: int, height: int) -> int:
    """Gemini 3 by its media resolution alone; before it, without one, 258 for a small image and for
    each tile of a larger one, whose side is two thirds of the shorter side."""
    if name.startswith("gemini-3"):
        return _GEMINI_3[detail]
    if detail:
        return _GEMINI_2[detail]
    if max(width, height) <= 384:
        return 258
    side = max(1, min(width, height) * 2 // 3)
    return 258 * ceil(width / side) * ceil(height / side)


def _tiles(width: int, height: int) -> int:
    """512-pixel tiles after fitting into 2048x2048 and then the shorter side into 768."""
    scale = min(1.0, 2048 / max(width, height))
    scale *= min(1.0, 768 / (min(width, height) * scale))
    return ceil(width * scale / 512) * ceil(height * scale / 512)


def text_tokens(texts: Iterable[str]) -> int:
    """A rough count for text whose server reports none: four characters a token."""
    return ceil(sum(len(text) for text in texts) / 4)
