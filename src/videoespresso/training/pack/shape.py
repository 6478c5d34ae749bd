"""Sizes of the pack's model, and its standard transformers configuration (Idefics3).

And its tokenizer: byte-level BPE over the theatre's words, with a chat template that lets one set
of prompts serve every model: of the system message it reads only the first line, which names the
role, and turns it into one token.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
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


PAD, END, USER, REPLY = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
ROLES = (
    *("captioner", "selector", "reasoner", "checker"),
    *("generator", "verifier", "annotator", "distractor"),
)
"""Who the pack can be: the roles of the ask graph, then those of dataset mode."""
IMAGE, FAKE, GLOBAL = "<image>", "<fake_token_around_image>", "<global-img>"
SPECIAL = [PAD, END, USER, REPLY, *(f"<|{r}|>" for r in ROLES), IMAGE, FAKE, GLOBAL]
IMAGE_TEXT = FAKE + GLOBAL + IMAGE * IMAGE_TOKENS + FAKE
"""What Idefics3's processor writes for an image that is not split."""

CHAT_TEMPLATE = """\
{%- for m in messages -%}
{%- if m['content'] is string -%}{%- set parts = [{'type': 'text', 'text': m['content']}] -%}
{%- else -%}{%- set parts = m['content'] -%}{%- endif -%}
{%- if m['role'] == 'system' -%}
{%- set first = (parts[0]['text'] | trim).split('\\n')[0] -%}
{%- for role in ROLES -%}
{%- if role in first -%}{{ '<|' + role + '|>' }}{%- endif -%}
{%- endfor -%}
{%- else -%}
{{- '<|user|>' if m['role'] == 'user' else '<|assistant|>' -}}
{%- for p in parts -%}
{%- if p['type'] == 'text' -%}{{ p['text'] }}{%- else -%}{{ '<image>' }}{%- endif -%}
{%- endfor -%}
{%- if m['role'] == 'assistant' -%}{{ '<|end|>' }}{%- endif -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}
""".replace("ROLES", str(list(ROLES)))


def learn(texts: Iterable[str]) -> Any:
    """Train the tokenizer; returns a `tokenizers.Tokenizer`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    # words with their leading space, whole numbers, runs of punctuation (JSON's `":"` is one token)
    words = Regex(r" ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]+|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save(tokenizer: Any, folder: Path) -> None:
    """Write a transformers processor folder: tokenizer, template, image processor."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    files: dict[str, dict[str, object]] = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": PAD,
            "eos_token": END,
            "model_max_length": 4096,
            "clean_up_tokenization_spaces": False,
            "additional_special_tokens": SPECIAL[2:],
            "padding_side": "left",
        },
        "preprocessor_config.json": {
            "image_processor_type": "Idefics3ImageProcessor",
            "processor_class": "Idefics3Processor",
            "do_resize": True,
            "size": {"longest_edge": IMAGE_SIZE},
            "do_image_splitting": False,
            "max_image_size": {"longest_edge": IMAGE_SIZE},
            "do_rescale": True,
            "do_normalize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "do_convert_rgb": True,
            "do_pad": True,
            "resample": 3,
        },
        "processor_config.json": {
            "processor_class": "Idefics3Processor",
            "image_seq_len": IMAGE_TOKENS,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
