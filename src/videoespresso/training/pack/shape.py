"""Sizes of the pack's model, and its standard transformers configuration (Idefics3)."""

from dataclasses import dataclass
from typing import Any

IMAGE_SIZE = 192
PATCH = 16
SHUFFLE = 3
IMAGE_TOKENS = (IMAGE_SIZE // PATCH // SHUFFLE) ** 2
"""16 tokens an image: 12 x 12 patches, pixel-shuffled 3 x 3."""
VOCABULARY = 1536
MAX_TOKENS = 4096


@dataclass(frozen=True)
class Shape:
    """Width and depth of the two towers."""

    vision_width: int = 128
    vision_layers: int = 4
    vision_heads: int = 4
    width: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    inner: int = 384


SMALL = Shape()
"""2.8 M parameters: what two cores can teach in under two hours."""
LARGE = Shape(
    vision_width=160,
    vision_layers=5,
    vision_heads=5,
    width=256,
    layers=6,
    heads=8,
    kv_heads=4,
    inner=512,
)
"""5.8 M parameters, for a GPU: twice (ONNX and torch) in 16 bits it leaves the pack under 30 MB."""


def build_model(shape: Shape, tokens: dict[str, int]) -> Any:
    """A fresh Idefics3ForConditionalGeneration. `tokens`: ids of pad, end and image."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        LlamaConfig,
    )

    text = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.width // shape.heads,
        max_position_embeddings=MAX_TOKENS,
        tie_word_embeddings=True,
        initializer_range=0.06,  # the usual 0.02 is for ten times the width
        rms_norm_eps=1e-5,
        pad_token_id=tokens["pad"],
        bos_token_id=None,
        eos_token_id=tokens["end"],
    )
    config = Idefics3Config(
        text_config=text,
        vision_config={
            "hidden_size": shape.vision_width,
            "intermediate_size": 4 * shape.vision_width,
            "num_hidden_layers": shape.vision_layers,
            "num_attention_heads": shape.vision_heads,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH,
            "attention_dropout": 0.0,
        },
        scale_factor=SHUFFLE,
        image_token_id=tokens["image"],
        tie_word_embeddings=True,
        pad_token_id=tokens["pad"],
    )
    return Idefics3ForConditionalGeneration(config)
