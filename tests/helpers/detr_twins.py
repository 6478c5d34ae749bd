"""Tiny detectors of the DETR family with random weights, from transformers' real configurations,
exported under the names of the published files.

`build(kind, folder)` writes the export and the files beside it and returns what torch finds on a
picture, by transformers' own processor and post-processing.
"""

import inspect
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from videoespresso.tools.detectors.base import CONFIDENCE, Raw

NAMES = {0: "person", 1: "aeroplane", 2: "dog"}
QUERIES = 12
Torch = Callable[[Image.Image], list[Raw]]


class Twin(NamedTuple):
    """spec: of the export. torch: what transformers finds on a picture."""

    spec: str
    torch: Torch


def _hgnet(hf: Any) -> Any:
    return hf.HGNetV2Config(
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 16, 16, 32],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[16, 16, 32, 32],
        stage_num_blocks=[1, 1, 1, 1],
        stage_downsample=[False, True, True, True],
        stage_light_block=[False, False, True, True],
        stage_kernel_size=[3, 3, 5, 5],
        stage_numb_of_layers=[1, 1, 1, 1],
        embedding_size=8,
        hidden_sizes=[16, 16, 32, 32],
        depths=[1, 1, 1, 1],
        out_features=["stage2", "stage3", "stage4"],
    )


def _resnet(config: Any, *stages: str) -> Any:
    return config(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=list(stages),
    )


_HYBRID = {
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "d_model": 32,
    "num_queries": QUERIES,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 32,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "num_denoising": 0,
    "id2label": NAMES,
}
_PLAIN = {
    "use_timm_backbone": False,
    "backbone": None,
    "d_model": 32,
    **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
    **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
    **{f"{part}_ffn_dim": 32 for part in ("encoder", "decoder")},
    "num_queries": QUERIES,
    "id2label": NAMES,
}


def _d_fine(hf: Any) -> Any:
    config = hf.DFineConfig(
        **_HYBRID,
        backbone_config=_hgnet(hf),
        encoder_in_channels=[16, 32, 32],
        decoder_n_points=[2, 2, 2],
        max_num_bins=8,
        depth_mult=0.34,
    )
    return hf.DFineForObjectDetection(config)


def _rt_detr(hf: Any) -> Any:
    config = hf.RTDetrConfig(
        **_HYBRID,
        backbone_config=_resnet(hf.RTDetrResNetConfig, "stage2", "stage3", "stage4"),
        encoder_in_channels=[16, 16, 32],
        decoder_n_points=2,
    )
    return hf.RTDetrForObjectDetection(config)


def _detr(hf: Any) -> Any:
    backbone = _resnet(hf.ResNetConfig, "stage4")
    return hf.DetrForObjectDetection(hf.DetrConfig(**_PLAIN, backbone_config=backbone))


def _conditional(hf: Any) -> Any:
    config = hf.ConditionalDetrConfig(**_PLAIN, backbone_config=_resnet(hf.ResNetConfig, "stage4"))
    return hf.ConditionalDetrForObjectDetection(config)


def _yolos(hf: Any) -> Any:
    config = hf.YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=[64, 96],
        patch_size=16,
        num_detection_tokens=QUERIES,
        id2label=NAMES,
    )
    return hf.YolosForObjectDetection(config)


def _rf_detr(hf: Any) -> Any:
    """Fine-tuned: the last class is the background, so that its logits have four columns as boxes
    have. Position embeddings are fixed: the exporter has no antialiased interpolation."""
    backbone = hf.RfDetrDinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        mlp_ratio=2,
        num_windows=2,
        out_features=["stage2", "stage3"],
    )
    config = hf.RfDetrConfig(
        backbone_config=backbone,
        d_model=32,
        num_queries=QUERIES,
        decoder_layers=1,
        decoder_ffn_dim=32,
        decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2,
        decoder_n_points=2,
        group_detr=1,
        id2label={**NAMES, 3: "background"},
    )
    model = hf.RfDetrForObjectDetection(config)
    for part in model.modules():
        if hasattr(part, "interpolate_pos_encoding"):
            part.interpolate_pos_encoding = lambda *_, part=part: part.position_embeddings
    return model


class Kind(NamedTuple):
    """make: the model. inputs, outputs: names of the export. processor: transformers' class and its
    settings. written: whether its preprocessor_config.json is published beside the export."""

    make: Callable[[Any], Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    processor: tuple[str, dict[str, Any]]
    written: bool = True
    free: bool = False


_WIDE = {"height": 64, "width": 96}
_LOGITS = (("pixel_values",), ("logits", "pred_boxes"))
_EDGES = {"shortest_edge": 64, "longest_edge": 96}
KINDS = {
    "d-fine": Kind(_d_fine, *_LOGITS, ("RTDetrImageProcessorPil", {"size": _WIDE})),
    "rt-detr, its authors'": Kind(
        _rt_detr,
        ("images", "orig_target_sizes"),
        ("labels", "boxes", "scores"),
        ("RTDetrImageProcessorPil", {"size": _WIDE}),
        written=False,
    ),
    "rf-detr, its authors'": Kind(
        _rf_detr,
        ("input",),
        ("dets", "labels"),
        ("RTDetrImageProcessorPil", {"size": {"height": 64, "width": 64}, "do_normalize": True}),
        written=False,
    ),
    "detr": Kind(
        _detr,
        ("pixel_values", "pixel_mask"),
        ("logits", "pred_boxes"),
        ("DetrImageProcessorPil", {"size": _EDGES}),
        free=True,
    ),
    "conditional detr": Kind(
        _conditional, *_LOGITS, ("ConditionalDetrImageProcessorPil", {"size": _WIDE})
    ),
    "yolos": Kind(_yolos, *_LOGITS, ("YolosImageProcessorPil", {"size": _WIDE})),
}


def build(kind: str, folder: Path) -> Twin:
    """The twin in `folder/onnx/model.onnx`, with config.json beside."""
    torch, hf = pytest.importorskip("torch"), pytest.importorskip("transformers")
    made = KINDS[kind]
    torch.manual_seed(0)
    with warnings.catch_warnings():  # others' deprecations while their models are built
        warnings.simplefilter("ignore")
        model = _awake(torch, made.make(hf).eval())
        name, settings = made.processor
        processor = getattr(hf, name)(**settings)
        _export(torch, model, made, processor, folder)
    config = {"model_type": model.config.model_type, "id2label": model.config.id2label}
    (folder / "config.json").write_text(json.dumps(config))
    if made.written:
        processor.save_pretrained(folder)
    return Twin(f"onnx:{folder}", lambda image: _found(torch, model, processor, image))


def _awake(torch: Any, model: Any) -> Any:
    """Weights large enough that what is seen reaches the heads: fresh ones give every query the
    same score, and which are the best is then rounding."""
    for part in model.modules():
        if isinstance(part, torch.nn.Linear | torch.nn.Conv2d):
            spread = 2.0 / part.weight[0].numel() ** 0.5
            torch.nn.init.normal_(part.weight, std=spread)
            if part.bias is not None:
                torch.nn.init.normal_(part.bias, std=0.2)
    for name, weight in model.named_parameters():
        if "token" in name or "position_emb" in name:
            torch.nn.init.normal_(weight)
        elif "class_embed" in name and name.endswith("bias"):
            torch.nn.init.constant_(weight, 0.5)  # something is found
    return model


def _export(torch: Any, model: Any, kind: Kind, processor: Any, folder: Path) -> None:
    class Published(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: Any, other: Any = None) -> Any:
            mask = {"pixel_mask": other} if "pixel_mask" in kind.inputs else {}
            found = self.model(pixel_values=pixels, **mask)
            by_name = {"logits": found.logits, "labels": found.logits}
            by_name |= {"pred_boxes": found.pred_boxes, "dets": found.pred_boxes}
            if "scores" in kind.outputs:
                by_name = _finished(torch, found, other)
            return tuple(by_name[name] for name in kind.outputs)

    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    pixels = processor(images=picture(), return_tensors="pt")["pixel_values"]
    others = {
        "pixel_mask": torch.ones(pixels.shape[0], *pixels.shape[2:], dtype=torch.int64),
        "orig_target_sizes": torch.tensor([[96, 64]]),
    }
    free = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        Published().eval(),
        (pixels, *(others[name] for name in kind.inputs[1:])),
        folder / "onnx/model.onnx",
        input_names=kind.inputs,
        output_names=kind.outputs,
        dynamic_axes={kind.inputs[0]: free, "pixel_mask": {0: "batch", 1: "height", 2: "width"}}
        if kind.free
        else {},
        opset_version=17,
        dynamo=False,
    )


def _finished(torch: Any, found: Any, sizes: Any) -> dict[str, Any]:
    """What the authors of D-FINE and RT-DETR export behind the network."""
    scores, index = torch.topk(found.logits.sigmoid().flatten(1), QUERIES)
    classes = found.logits.shape[2]
    x, y, w, h = found.pred_boxes.unbind(-1)
    boxes = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
    boxes = boxes * sizes.repeat(1, 2).unsqueeze(1)
    which = (index // classes).unsqueeze(-1).repeat(1, 1, 4)
    return {"labels": index % classes, "boxes": boxes.gather(1, which), "scores": scores}


def _found(torch: Any, model: Any, processor: Any, image: Image.Image) -> list[Raw]:
    inputs = processor(images=image, return_tensors="pt")
    known = {name: inputs[name] for name in ("pixel_values", "pixel_mask") if name in inputs}
    if "pixel_mask" not in inspect.signature(model.forward).parameters:
        known.pop("pixel_mask", None)
    with torch.inference_mode():
        found = model(**known)
    read = processor.post_process_object_detection
    more = {"top_k": QUERIES} if "top_k" in inspect.signature(read).parameters else {}
    [result] = read(found, threshold=CONFIDENCE, target_sizes=[(1, 1)], **more)
    return [
        Raw(model.config.id2label[int(label)], tuple(box.tolist()), float(score))
        for label, box, score in zip(
            result["labels"], result["boxes"], result["scores"], strict=True
        )
    ]


def picture(width: int = 120, height: int = 80, seed: int = 0) -> Image.Image:
    """Coloured noise in blocks, so that resizing it is not all the same."""
    import numpy as np  # noqa: PLC0415 - beside torch, in this helper only

    blocks = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3))
    return Image.fromarray(blocks.astype("uint8")).resize((width, height), Image.Resampling.BICUBIC)
