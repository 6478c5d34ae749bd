"""Tiny, untrained SmolVLM-shaped models beside their own exports, under the names and in the
layouts that are published: what torch says can be held against what ONNX Runtime says.

A layout says in what an export differs; `twin` makes a folder of one, `LAYOUTS` is the list.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import transformers as hf
from onnx import helper, numpy_helper
from tests.helpers.tiny_models import SMOL, tokenizer
from torch import nn

from videoespresso.training.pack.export import Decoder, Vision

SIDE = 64
TOKENS = 4
"""Pixels a side, and tokens, of a picture."""

BLOCK = 16
"""Weights that share a scale in four bits."""

STRETCH = 3.0
"""Weights times this: as it is made a model says the same whatever it sees."""


@dataclass(frozen=True)
class Layout:
    """One export. kind: whose configuration classes. positions, keep, mask: whether position_ids,
    num_logits_to_keep and pixel_attention_mask ("bool", "int64") are inputs. flat: pictures without
    the axis of a conversation's pictures. merged: one decoder, else one for the first step and one
    for the rest. external: weights in a file of their own. half: float16 in and out. template:
    where the chat template is. quantised: a suffix whose files are made from the float32 ones."""

    kind: str = "smolvlm"
    layers: int = 2
    positions: bool = True
    keep: bool = False
    mask: str = "bool"
    flat: bool = False
    merged: bool = True
    branch: bool = False
    external: bool = False
    half: bool = False
    folder: str = "onnx"
    template: str = "chat_template.jinja"
    quantised: str = ""


LAYOUTS = {
    "smolvlm": Layout(),
    "idefics3, three layers": Layout("idefics3", layers=3, folder=""),
    "no position_ids": Layout(positions=False),
    "num_logits_to_keep": Layout(keep=True, mask=""),
    "integer mask": Layout(mask="int64", template="chat_template.json"),
    "no mask, flat pictures": Layout(mask="", flat=True, template="tokenizer_config.json"),
    "external data": Layout(external=True, layers=1),
    "two decoders": Layout(merged=False),
    "cache branch": Layout(branch=True),
    "float16": Layout(half=True),
    "int8": Layout(quantised="int8"),
    "q4": Layout(quantised="q4"),
}


class _Eyes(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """pixel_values (1, n, 3, side, side), perhaps a mask -> image_features (n, tokens, width)."""

    def __init__(self, model: Any, layout: Layout) -> None:
        super().__init__()
        self.vision, self.half = Vision(model), layout.half

    def forward(self, pixels: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        found = self.vision(pixels.flatten(0, 1) if pixels.dim() == 5 else pixels)
        if mask is not None:  # an input that nothing reads is cut out of the graph
            found = found * mask.float().amax()
        return found


class _Tongue(Decoder):
    """The published decoder: a cache of two tensors a layer, logits of every position."""

    def __init__(self, model: Any, layout: Layout, past: bool = True) -> None:
        super().__init__(model)
        self.layout, self.past, self.count = layout, past, len(self.layers)

    def forward(self, embeds: torch.Tensor, seen: torch.Tensor, *rest: torch.Tensor) -> Any:
        rest_ = list(rest)
        positions = rest_.pop(0) if self.layout.positions else torch.cumsum(seen, 1) - 1
        if not self.layout.positions:
            positions = positions[:, -embeds.shape[1] :]
        keep = rest_.pop(0) if self.layout.keep else None
        if self.layout.branch:
            embeds = embeds + 0.0 * rest_.pop(0).float()
        if self.past:
            cache = torch.stack([torch.stack(rest_[2 * i : 2 * i + 2]) for i in range(self.count)])
        else:
            shape = (self.count, 2, embeds.shape[0], self.kv, 0, self.size)
            cache = torch.zeros(shape, dtype=torch.float32)
        dtype = cache.dtype
        x, grown = self.hidden(embeds.float(), positions, seen, cache.float())
        if keep is not None:
            x = x.index_select(1, torch.arange(keep) + (x.shape[1] - keep))
        parts = [grown[i, j].to(dtype) for i in range(self.count) for j in range(2)]
        return (self.head(x).to(dtype), *parts)


@lru_cache
def model_and_tokenizer(kind: str, layers: int) -> tuple[Any, Any]:
    """The torch model of a layout, in float32, and its tokenizer."""
    torch.manual_seed(0)
    special = ["<|im_start|>", "<end_of_utterance>", "<image>", "<fake_token_around_image>"]
    tok = tokenizer([*special, "<global-img>"], "<|im_start|>", "<end_of_utterance>")
    given = {
        "vision_config": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                          "num_attention_heads": 2, "image_size": SIDE, "patch_size": 16},
        "text_config": {"model_type": "llama", "vocab_size": len(tok) + 7, "hidden_size": 36,
                        "intermediate_size": 48, "num_hidden_layers": layers,
                        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 6,
                        "max_position_embeddings": 4096, "tie_word_embeddings": False},
        "scale_factor": 2,
        "image_token_id": tok.convert_tokens_to_ids("<image>"),
    }  # fmt: skip
    if kind == "idefics3":
        model = hf.Idefics3ForConditionalGeneration(hf.Idefics3Config(**given))
    else:
        model = hf.SmolVLMForConditionalGeneration(hf.SmolVLMConfig(**given))
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.mul_(STRETCH)
    model.generation_config.eos_token_id = tok.eos_token_id
    return model.eval(), tok


def twin(folder: Path, layout: Layout) -> Path:
    """A folder with the exports of a layout, and the side files that go with them."""
    model, tok = model_and_tokenizer(layout.kind, layout.layers)
    graphs = folder / layout.folder
    graphs.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tok.save_pretrained(folder)
    pictures(layout.kind).save_pretrained(folder)
    _template(folder, tok, layout.template)
    _vision(model, layout, graphs / _name("vision_encoder", layout))
    table = nn.Embedding.from_pretrained(model.get_input_embeddings().weight.detach())
    _export(
        table,
        (torch.zeros(1, 3, dtype=torch.long),),
        graphs / _name("embed_tokens", layout),
        ["input_ids"],
        ["inputs_embeds"],
        {"input_ids": {1: "s"}, "inputs_embeds": {1: "s"}},
    )
    if layout.merged:
        _decoder(model, layout, graphs / _name("decoder_model_merged", layout), past=True)
    else:
        _decoder(model, layout, graphs / _name("decoder_model", layout), past=False)
        _decoder(model, layout, graphs / _name("decoder_with_past_model", layout), past=True)
    for file in sorted(graphs.glob("*.onnx")):
        if layout.external:
            whole = onnx.load(str(file))
            onnx.save(whole, str(file), save_as_external_data=True, location=f"{file.name}_data",
                      size_threshold=64)  # fmt: skip
        if layout.quantised and file.name.startswith("decoder"):
            _quantise(file, layout.quantised)
            file.unlink()
    return folder


def pictures(kind: str = "smolvlm") -> Any:
    """The image processor, on Pillow, as it is on a hub; the longer edge is brought to 96 first."""
    kinds = {"smolvlm": hf.SmolVLMImageProcessorPil, "idefics3": hf.Idefics3ImageProcessorPil}
    half = [0.5, 0.5, 0.5]
    return kinds[kind](size={"longest_edge": 96}, max_image_size={"longest_edge": SIDE},
                       image_mean=half, image_std=half, do_image_splitting=True)  # fmt: skip


def _name(stem: str, layout: Layout) -> str:
    return f"{stem}_fp16.onnx" if layout.half else f"{stem}.onnx"


def _template(folder: Path, tok: Any, where: str) -> None:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    if where == "chat_template.jinja":
        (folder / where).write_text(SMOL)
        return
    file = folder / where
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**known, "chat_template": SMOL}))


def _export(module: Any, example: Any, path: Path, inputs: list[str], outputs: list[str],
            axes: dict[str, dict[int, str]]) -> None:  # fmt: skip
    with torch.no_grad():
        torch.onnx.export(module.eval(), example, str(path), input_names=inputs,
                          output_names=outputs, dynamic_axes=axes, opset_version=17,
                          dynamo=False)  # fmt: skip


def _vision(model: Any, layout: Layout, path: Path) -> None:
    shape = (2, 3, SIDE, SIDE) if layout.flat else (1, 2, 3, SIDE, SIDE)
    example = [torch.zeros(shape)]
    names, axes = ["pixel_values"], {"pixel_values": {0: "b"}, "image_features": {0: "n"}}
    if not layout.flat:
        axes["pixel_values"] = {0: "b", 1: "n"}
    if layout.mask:
        names.append("pixel_attention_mask")
        kind = torch.bool if layout.mask == "bool" else torch.int64
        example.append(torch.ones((*shape[:-3], SIDE, SIDE), dtype=kind))
        axes["pixel_attention_mask"] = dict(axes["pixel_values"])
    _export(_Eyes(model, layout), tuple(example), path, names, ["image_features"], axes)


def _decoder(model: Any, layout: Layout, path: Path, past: bool) -> None:
    c = model.config.text_config
    before = 3 if past else 0  # a traced cache of no length would stay one
    dtype = torch.float16 if layout.half else torch.float32
    example = [torch.zeros(2, 4, c.hidden_size), torch.ones(2, before + 4, dtype=torch.long)]
    names = ["inputs_embeds", "attention_mask"]
    axes = {"inputs_embeds": {0: "b", 1: "s"}, "attention_mask": {0: "b", 1: "t"},
            "logits": {0: "b", 1: "k"}}  # fmt: skip
    if layout.positions:
        example.append(torch.arange(before, before + 4)[None].repeat(2, 1))
        names.append("position_ids")
        axes["position_ids"] = {0: "b", 1: "s"}
    if layout.keep:
        example.append(torch.tensor(1))
        names.append("num_logits_to_keep")
    if layout.branch:
        example.append(torch.tensor([True]))
        names.append("use_cache_branch")
    parts = [f"{i}.{which}" for i in range(layout.layers) for which in ("key", "value")]
    for part in parts:
        axes[f"present.{part}"] = {0: "b", 2: "t"}
        if past:
            example.append(torch.zeros(2, c.num_key_value_heads, before, c.head_dim, dtype=dtype))
            names.append(f"past_key_values.{part}")
            axes[f"past_key_values.{part}"] = {0: "b", 2: "p"}
    outputs = ["logits", *(f"present.{part}" for part in parts)]
    _export(_Tongue(model, layout, past), tuple(example), path, names, outputs, axes)


def _quantise(file: Path, suffix: str) -> None:
    """The file's weights in eight or four bits, under the published name."""
    out = str(file.with_name(f"{file.stem}_{suffix}.onnx"))
    if suffix == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

        quantize_dynamic(str(file), out, weight_type=QuantType.QInt8)
        return
    whole = onnx.load(str(file))
    for node in list(whole.graph.node):
        weight = next((w for w in whole.graph.initializer if w.name in node.input[1:]), None)
        if node.op_type == "MatMul" and weight is not None:
            _in_four_bits(whole.graph, node, weight)
    whole.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(whole, out)


def _in_four_bits(graph: Any, node: Any, weight: Any) -> None:
    """The product with blocks of 16 weights, each a number from -8 to 7 times the block's scale."""
    table = numpy_helper.to_array(weight).T  # (n, k)
    n, k = table.shape
    blocks = np.pad(table, ((0, 0), (0, -k % BLOCK))).reshape(n, -1, BLOCK)
    scales = np.abs(blocks).max(-1, keepdims=True) / 7 + 1e-9
    nibbles = (np.clip(np.round(blocks / scales), -8, 7) + 8).astype(np.uint8)
    packed = nibbles[..., ::2] | nibbles[..., 1::2] << 4
    parts = {"_q4": packed, "_scales": scales.astype(np.float32).reshape(-1)}
    for end, part in parts.items():
        graph.initializer.append(numpy_helper.from_array(part, weight.name + end))
    inputs = [node.input[0], *(weight.name + end for end in parts)]
    product = helper.make_node("MatMulNBits", inputs, list(node.output), domain="com.microsoft",
                               K=k, N=n, bits=4, block_size=BLOCK)  # fmt: skip
    position = list(graph.node).index(node)
    graph.node.remove(node)
    graph.node.insert(position, product)
    graph.initializer.remove(weight)
