"""From a trained checkpoint to the pack: ONNX for the core, a transformers folder for the rest."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from videoespresso.models.hf_weights import RECIPE
from videoespresso.training.pack.shape import IMAGE_SIZE, IMAGE_TOKENS, MAX_TOKENS

CONTEXT = 3072
"""Prompt tokens the pack takes: 16 frames with captions and boxes are about 1,100."""
PROCESSOR = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "processor_config.json",
)
"""A processor's files, those of them that there are."""


class Vision(nn.Module):  # type: ignore[misc]  # torch is not part of the core install
    """pixels (n, 3, size, size) -> features (n, IMAGE_TOKENS, width)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        tower = model.model.vision_model
        self.patch = tower.embeddings.patch_embedding
        self.register_buffer("place", _places(tower))
        self.layers, self.norm = tower.encoder.layers, tower.post_layernorm
        self.heads = tower.config.num_attention_heads
        self.connector = model.model.connector

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.patch(pixels).flatten(2).transpose(1, 2) + self.place
        for layer in self.layers:
            a = layer.self_attn
            h = layer.layer_norm1(x)
            q, k, v = (_split(p(h), self.heads) for p in (a.q_proj, a.k_proj, a.v_proj))
            weights = (q @ k.transpose(-1, -2) * a.scale).softmax(-1)
            x = x + a.out_proj((weights @ v).transpose(1, 2).flatten(2))
            x = x + layer.mlp(layer.layer_norm2(x))
        return self.connector(self.norm(x))


def _split(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _places(tower: Any) -> torch.Tensor:
    """Position embeddings as the tower itself assigns them to a full image."""
    e, size = tower.embeddings, tower.config.image_size
    pixels = torch.zeros(1, 3, size, size)
    side = size // e.patch_size
    with torch.no_grad():
        whole = e(
            pixel_values=pixels, patch_attention_mask=torch.ones(1, side, side, dtype=torch.bool)
        )
        return whole - e.patch_embedding(pixels).flatten(2).transpose(1, 2)


class Decoder(nn.Module):  # type: ignore[misc]  # as above
    """One step with a cache, for prompts and for single tokens.

    embeds (b, n, width), positions (b, n), seen (b, past + n), cache (layers, 2, b, heads, past,
    size) -> logits of the last position (b, vocabulary), cache grown by n.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        text = model.model.text_model
        self.layers, self.norm, self.head = text.layers, text.norm, model.lm_head
        c = text.config
        self.heads, self.kv, self.size = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        self.register_buffer("frequency", text.rotary_emb.inv_freq.float())

    def _turn(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        half = self.size // 2
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

    def forward(
        self, embeds: torch.Tensor, positions: torch.Tensor, seen: torch.Tensor, cache: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x, grown = self.hidden(embeds, positions, seen, cache)
        return self.head(x[:, -1]), grown

    def hidden(
        self, embeds: torch.Tensor, positions: torch.Tensor, seen: torch.Tensor, cache: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the head reads, of every position (b, n, width), and the cache grown by n."""
        angle = positions.unsqueeze(-1).float() * self.frequency
        angle = torch.cat([angle, angle], -1).unsqueeze(1)
        cos, sin = angle.cos(), angle.sin()
        n, total = embeds.shape[1], seen.shape[1]
        rows = torch.arange(total - n, total).unsqueeze(-1)
        causal = torch.arange(total).unsqueeze(0) <= rows
        allowed = causal.unsqueeze(0) & (seen.unsqueeze(1) > 0)
        bias = (~allowed).float().unsqueeze(1) * -1e9
        x, grown = embeds, []
        for i, layer in enumerate(self.layers):
            a, h = layer.self_attn, layer.input_layernorm(x)
            q = self._turn(_split(a.q_proj(h), self.heads), cos, sin)
            k = self._turn(_split(a.k_proj(h), self.kv), cos, sin)
            v = _split(a.v_proj(h), self.kv)
            k, v = torch.cat([cache[i, 0], k], 2), torch.cat([cache[i, 1], v], 2)
            grown.append(torch.stack([k, v]))
            share = self.heads // self.kv
            k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
            weights = (q @ k.transpose(-1, -2) * self.size**-0.5 + bias).softmax(-1)
            x = x + a.o_proj((weights @ v).transpose(1, 2).flatten(2))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.norm(x), torch.stack(grown)


def halved(path: Path) -> None:
    """Store the large weights as float16 and cast them when the graph is loaded: half the size."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type == TensorProto.FLOAT and np.prod(weight.dims) > 512:
            name = weight.name
            small = numpy_helper.from_array(
                numpy_helper.to_array(weight).astype(np.float16), name + "_half"
            )
            weight.CopyFrom(small)
            casts.append(helper.make_node("Cast", [name + "_half"], [name], to=TensorProto.FLOAT))
    for i, node in enumerate(casts):
        model.graph.node.insert(i, node)
    onnx.save(model, str(path))


def write_onnx(model: Any, folder: Path) -> None:
    """vision.onnx, decoder.onnx, embeddings.npy."""
    width = model.config.text_config.hidden_size
    c = model.config.text_config
    cache = torch.zeros(c.num_hidden_layers, 2, 2, c.num_key_value_heads, 3, c.head_dim)
    with torch.no_grad():
        torch.onnx.export(
            Vision(model),
            (torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE),),
            str(folder / "vision.onnx"),
            input_names=["pixels"],
            output_names=["features"],
            opset_version=17,
            dynamo=False,
            dynamic_axes={"pixels": {0: "n"}, "features": {0: "n"}},
        )
        torch.onnx.export(
            Decoder(model),
            (
                torch.zeros(2, 4, width),
                torch.zeros(2, 4, dtype=torch.long),
                torch.ones(2, 7, dtype=torch.long),
                cache,
            ),
            str(folder / "decoder.onnx"),
            opset_version=17,
            dynamo=False,
            input_names=["embeds", "positions", "seen", "cache"],
            output_names=["logits", "grown"],
            dynamic_axes={
                "embeds": {0: "b", 1: "n"},
                "positions": {0: "b", 1: "n"},
                "seen": {0: "b", 1: "t"},
                "cache": {2: "b", 4: "p"},
                "logits": {0: "b"},
                "grown": {2: "b", 4: "t"},
            },
        )
    for name in ("vision.onnx", "decoder.onnx"):
        halved(folder / name)
    table = model.get_input_embeddings().weight.detach().numpy().astype(np.float16)
    np.save(folder / "embeddings.npy", table)


def export(model: Any, processor: Path, out: Path) -> None:
    """Writes `out`/lvlm and `out`/torch. processor: the folder of its files. Raises OSError."""
    lvlm, twin = out / "lvlm", out / "torch"
    for folder in (lvlm, twin):
        folder.mkdir(parents=True, exist_ok=True)
    model = model.cpu().eval().float()
    write_onnx(model, lvlm)
    for name in ("tokenizer.json", "chat_template.jinja"):
        shutil.copy(processor / name, lvlm / name)
    for name in (*PROCESSOR, RECIPE):
        if (processor / name).exists():
            shutil.copy(processor / name, twin / name)
    c = model.config.text_config
    model.generation_config.eos_token_id = c.eos_token_id
    model.generation_config.pad_token_id = c.pad_token_id
    model.half().save_pretrained(twin)
    digest = hashlib.sha256()
    for name in (
        "vision.onnx",
        "decoder.onnx",
        "embeddings.npy",
        "tokenizer.json",
        "chat_template.jinja",
    ):
        digest.update((lvlm / name).read_bytes())
    facts = {
        "image_size": IMAGE_SIZE,
        "image_tokens": IMAGE_TOKENS,
        "width": c.hidden_size,
        "layers": c.num_hidden_layers,
        "kv_heads": c.num_key_value_heads,
        "head_size": c.head_dim,
        "max_tokens": min(CONTEXT, MAX_TOKENS),
        "digest": digest.hexdigest()[:16],
        "parameters": (every := sum(p.numel() for p in model.parameters())),
        "language_parameters": (
            language := sum(p.numel() for p in model.model.text_model.parameters())
        ),
        "vision_parameters": every - language,
        "patches": (IMAGE_SIZE // model.config.vision_config.patch_size) ** 2,
    }
    (lvlm / "pack.json").write_text(json.dumps(facts, indent=2) + "\n")
