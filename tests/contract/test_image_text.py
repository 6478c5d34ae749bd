"""Image-text models: the same vectors as torch's, in each layout that is published.

The twins are tiny and random, from the real configurations: CLIP as two graphs and as one, and one
shaped like MobileCLIP (convolutions, no normalised pixels, no mask, texts of one length).
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from tests.helpers.detr_twins import picture

from videoespresso.errors import SettingsError
from videoespresso.models.image_text import ImageText, image_text

pytestmark = pytest.mark.extras
SIDE, LENGTH, CLOSE = 32, 16, 1e-3
TEXTS = ("a red car", "two dogs", "", "a very long text which has more letters than may be read")
LETTERS = [*map(chr, range(97, 123))]
TOKENS = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "<|startoftext|>", "<|endoftext|>"]


class Twin(NamedTuple):
    """A folder, and torch's unit vectors of images and of texts."""

    folder: Path
    images: Callable[[list[Image.Image]], Any]
    texts: Callable[[list[str]], Any]


def clip(folder: Path) -> tuple[Any, Any, Any]:
    """Model, tokenizer and image processor of a tiny CLIP; the files beside the graphs."""
    torch, hf = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    vocab = {token: number for number, token in enumerate(TOKENS)}
    tokenizer = hf.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=LENGTH)
    small = {
        **{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2},
        "num_attention_heads": 2,
    }
    ends = {"bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    config = hf.CLIPConfig(
        text_config={**small, **ends, "vocab_size": 54, "max_position_embeddings": LENGTH},
        vision_config={**small, "image_size": SIDE, "patch_size": 8},
        projection_dim=12,
    )
    model = hf.CLIPModel(config).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3)
    images = hf.CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    for part in (tokenizer, images, config):
        part.save_pretrained(folder)
    return model, tokenizer, images


def export(module: Any, given: dict[str, Any], outputs: list[str], path: Path, free: Any) -> None:
    torch = pytest.importorskip("torch")
    path.parent.mkdir(exist_ok=True, parents=True)
    torch.onnx.export(
        module.eval(),
        tuple(given.values()),
        path,
        input_names=list(given),
        output_names=outputs,
        dynamic_axes=free,
        opset_version=17,
        dynamo=False,
    )


def parts(model: Any) -> tuple[Any, Any, Any]:
    """Modules from pixels, from tokens, and from both, to vectors."""
    torch = pytest.importorskip("torch")

    class Vision(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tower, self.projection = model.vision_model, model.visual_projection

        def forward(self, pixels: Any) -> Any:
            return self.projection(self.tower(pixel_values=pixels).pooler_output)

    class Text(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tower, self.projection = model.text_model, model.text_projection

        def forward(self, ids: Any, mask: Any = None) -> Any:
            found = self.tower(input_ids=ids, attention_mask=mask)
            return self.projection(found.pooler_output)

    class Both(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, pixels: Any, mask: Any) -> Any:
            found = self.model(input_ids=ids, pixel_values=pixels, attention_mask=mask)
            return found.logits_per_image, found.text_embeds, found.image_embeds

    return Vision(), Text(), Both()


def of_clip(folder: Path, *, merged: bool) -> Twin:
    torch = pytest.importorskip("torch")
    model, tokenizer, images = clip(folder)
    vision, text, both = parts(model)
    ids = torch.randint(0, 52, (2, 7))
    pixels, mask = torch.rand(3, 3, SIDE, SIDE), torch.ones_like(ids)
    words = {0: "texts", 1: "tokens"}
    free = {"input_ids": words, "attention_mask": words, "pixel_values": {0: "images"}}
    if merged:
        given = {"input_ids": ids, "pixel_values": pixels, "attention_mask": mask}
        names = ["logits_per_image", "text_embeds", "image_embeds"]
        export(both, given, names, folder / "onnx/model.onnx", free)
    else:
        seen = {"pixel_values": pixels}
        export(vision, seen, ["image_embeds"], folder / "onnx/vision_model.onnx", free)
        read = {"input_ids": ids, "attention_mask": mask}
        export(text, read, ["text_embeds"], folder / "onnx/text_model.onnx", free)

    def texts(some: list[str]) -> Any:
        read = tokenizer(some, return_tensors="pt", padding=True, truncation=True)
        return text(read["input_ids"], read["attention_mask"])

    return Twin(
        folder, lambda some: vision(images(images=some, return_tensors="pt")["pixel_values"]), texts
    )


def of_mobileclip(folder: Path) -> Twin:
    """Its own vision tower is timm's; here one of transformers with a projection behind."""
    torch, hf = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model, tokenizer, _ = clip(folder)
    images = hf.CLIPImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        resample=2,
        do_normalize=False,
    )
    images.save_pretrained(folder)
    convolutions = hf.ResNetModel(
        hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    )

    class Tower(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tower, self.projection = convolutions, torch.nn.Linear(16, 12)

        def forward(self, pixels: Any) -> Any:
            return self.projection(self.tower(pixels).pooler_output.flatten(1))

    vision, text = Tower().eval(), parts(model)[1].eval()
    one = {"pixel_values": torch.rand(1, 3, SIDE, SIDE)}
    export(vision, one, ["unnamed"], folder / "vision_model_fp16.onnx", {})
    ids = torch.full((1, LENGTH), 53)
    export(text, {"input_ids": ids}, ["text_embeds"], folder / "text_model.onnx", {})

    def texts(some: list[str]) -> Any:
        read = tokenizer(some, return_tensors="pt", padding="max_length", truncation=True)
        return text(read["input_ids"])

    return Twin(
        folder, lambda some: vision(images(images=some, return_tensors="pt")["pixel_values"]), texts
    )


MAKERS: dict[str, Callable[[Path], Twin]] = {
    "clip, two graphs": lambda folder: of_clip(folder, merged=False),
    "clip, one graph": lambda folder: of_clip(folder, merged=True),
    "like mobileclip": of_mobileclip,
}


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Twin]:
    made: dict[str, Twin] = {}

    def get(kind: str) -> Twin:
        if kind not in made:
            with warnings.catch_warnings():  # the exporter's own
                warnings.simplefilter("ignore")
                made[kind] = MAKERS[kind](tmp_path_factory.mktemp("clip"))
        return made[kind]

    return get


def unit(rows: Any) -> Any:
    values = rows.detach().numpy()
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", MAKERS)
def test_vectors_are_torchs(twin: Callable[[str], Twin], kind: str) -> None:
    made = twin(kind)
    model = image_text(f"onnx:{made.folder}")
    frames = [picture(120, 80, seed) for seed in range(11)] + [picture(40, 96).convert("L")]
    expected = np.concatenate([unit(made.images([frame.convert("RGB")])) for frame in frames])
    found = model.images(frames)
    assert found.shape == (12, 12)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < CLOSE
    assert np.abs(expected - expected[0]).max() > 10 * CLOSE  # pictures are told apart
    alone = np.concatenate([unit(made.texts([text])) for text in TEXTS])
    words = model.texts(TEXTS)
    assert words.shape == (4, 12)
    assert np.abs(words - alone).max() < CLOSE
    assert np.abs(alone - alone[0]).max() > 10 * CLOSE
    assert model.images([]).shape == model.texts([]).shape == (0, 0)
    assert model.texts(["a red car"]) == pytest.approx(words[:1], abs=1e-6)


def test_types_of_weights_and_identity(twin: Callable[[str], Twin]) -> None:
    folder = twin("like mobileclip").folder
    assert image_text(f"onnx:{folder}").identity
    with pytest.raises(SettingsError, match=r"no vision_model.onnx in int8"):
        image_text(f"onnx:{folder}?dtype=int8")


def test_what_is_no_such_model_is_refused(twin: Callable[[str], Twin], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such folder") as refused:
        image_text(f"onnx:{tmp_path / 'nowhere'}")
    assert "models pull clip" in refused.value.hint
    with pytest.raises(SettingsError, match="names no image-text model"):
        image_text("openai:clip")
    source = twin("clip, two graphs").folder
    for name in ("vision_model", "text_model"):  # each in the other's place
        other = {"vision_model": "text_model", "text_model": "vision_model"}[name]
        (tmp_path / f"{name}.onnx").write_bytes((source / f"onnx/{other}.onnx").read_bytes())
    with pytest.raises(SettingsError, match="no preprocessor_config"):
        ImageText(str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": SIDE}))
    model = ImageText(str(tmp_path))
    with pytest.raises(SettingsError, match="takes input_ids, attention_mask"):
        model.images([picture()])
    with pytest.raises(SettingsError, match="takes pixel_values"):
        model.texts(["a"])
    (tmp_path / "text_model.onnx").write_bytes((source / "onnx/text_model.onnx").read_bytes())
    with pytest.raises(SettingsError, match=r"no usable tokenizer.json"):
        ImageText(str(tmp_path)).texts(["a"])
