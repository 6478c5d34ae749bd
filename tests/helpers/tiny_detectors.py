"""Detectors of the real architectures, tiny and randomly initialised, written to a folder as the
real ones are kept. Each gives its spec."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from videoespresso.theatre import SceneObject, make_story
from videoespresso.tools.detectors.onnx_yolo import letterbox

TEST_SEED = 1_100_000


def blank_picture() -> Image.Image:
    return Image.new("RGB", (96, 64), (128, 128, 128))


def theatre(seed: int = TEST_SEED) -> tuple[Image.Image, list[SceneObject]]:
    """A frame of the test split with several things on it."""
    story = make_story(seed)
    scenes = [story.scene(phase.t0 + 0.5) for phase in story.phases]
    return max(scenes, key=lambda scene: len(scene.objects)).draw(480)


def tiny_owl(folder: Path) -> str:
    """OWLv2 of a few thousand weights, with its processor and a tokenizer of single letters."""
    torch, hf = pytest.importorskip("torch"), pytest.importorskip("transformers")
    if not (find_spec("torchvision") or find_spec("scipy")):
        pytest.skip("OWLv2's image processor needs torchvision or scipy")
    torch.manual_seed(0)
    letters = [*map(chr, range(97, 123))]
    tokens = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: number for number, token in enumerate(tokens)}
    tokenizer = hf.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=16)
    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    ends = {"bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    config = hf.Owlv2Config(
        text_config={**small, **ends, "vocab_size": 54, "max_position_embeddings": 16},
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    images = hf.Owlv2ImageProcessor(size={"height": 64, "width": 64})
    hf.Owlv2ForObjectDetection(config).save_pretrained(folder)
    hf.Owlv2Processor(images, tokenizer).save_pretrained(folder)
    return f"hf:{folder}"


def tiny_dino(folder: Path) -> str:
    """GroundingDINO with one layer of each kind and a dozen words."""
    torch, hf = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    known = "[PAD] [UNK] [CLS] [SEP] [MASK] . red blue car dog man in the dogs"
    words = known.split()
    vocab = folder / "words.txt"
    vocab.write_text("\n".join(words))
    backbone = hf.SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )
    text = hf.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    config = hf.GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=10,
    )
    images = hf.GroundingDinoImageProcessor(size={"shortest_edge": 128, "longest_edge": 256})
    hf.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    hf.GroundingDinoProcessor(images, hf.BertTokenizer(vocab=str(vocab))).save_pretrained(folder)
    return f"hf:{folder}"


def tiny_yolo(folder: Path) -> str:
    """A narrow YOLO11 of random weights, its scores stretched so that it sees nothing on a blank
    picture and something, sure and unsure, on a frame of the theatre."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("ultralytics")
    from ultralytics import YOLO  # noqa: PLC0415 - the extra `yolo`
    from ultralytics.nn.tasks import yaml_model_load  # noqa: PLC0415

    plan = {**yaml_model_load("yolo11n.yaml"), "nc": 3, "scales": {"n": [0.33, 0.0625, 1024]}}
    (folder / "tiny.yaml").write_text(json.dumps(plan))  # JSON is YAML
    torch.manual_seed(0)
    yolo = YOLO(str(folder / "tiny.yaml"), task="detect")
    for layer in yolo.model.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.weight.requires_grad:
            torch.nn.init.kaiming_normal_(layer.weight)  # so that what is seen reaches the head
    yolo.model.names = {0: "person", 1: "dog", 2: "car"}
    finest, *coarser = (branch[-1] for branch in yolo.model.model[-1].cv3)
    for layer in coarser:
        layer.weight.data *= 0
        layer.bias.data[:] = -9
    best: list[Any] = []  # a logit a label
    hook = finest.register_forward_hook(lambda *call: best.append(call[2].amax((0, 2, 3))))
    for image in (blank_picture(), theatre()[0]):
        width, height = 640, -(-640 * image.height // image.width // 32) * 32
        with torch.no_grad():
            yolo.model.eval()(torch.from_numpy(letterbox(image, height, width).pixels))
    hook.remove()
    low, high = best
    slope = 5 / (high - low).clamp(min=1e-3)
    finest.weight.data *= slope[:, None, None, None]
    finest.bias.data = (finest.bias.data - low) * slope - 2
    yolo.save(folder / "tiny.pt")
    return f"yolo:{folder / 'tiny.pt'}"
