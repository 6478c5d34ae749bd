"""CLIP's word on a box: the real loading and reading, on weights made here."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from videoespresso.errors import SettingsError
from videoespresso.tools.detectors.label_check import (
    OTHERS,
    PHRASE,
    Unchecked,
    cropped,
    label_check,
)
from videoespresso.types import Box

LEFT = Box(label="dog", xyxy=(0.0, 0.0, 0.5, 1.0), score=0.9)
RIGHT = Box(label="cat", xyxy=(0.5, 0.0, 1.0, 1.0), score=0.8)


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of a few thousand weights, with its processor and a tokenizer of single letters."""
    torch, hf = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    letters = [*map(chr, range(97, 123))]
    tokens = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: number for number, token in enumerate(tokens)}
    tokenizer = hf.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=64)
    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    ends = {"bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    config = hf.CLIPConfig(
        text_config={**small, **ends, "vocab_size": 54, "max_position_embeddings": 64},
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    images = hf.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    folder = tmp_path_factory.mktemp("clip")
    hf.CLIPModel(config).save_pretrained(folder)
    hf.CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def two_colours() -> Image.Image:
    image = Image.new("RGB", (200, 100), (250, 20, 20))
    image.paste((20, 20, 250), (100, 0, 200, 100))
    return image


@pytest.mark.extras
def test_real_weights_judge_every_box_and_the_same_way_twice(tiny_clip: Path) -> None:
    check = label_check(f"hf:{tiny_clip}")
    first = check.keep(two_colours(), [LEFT, RIGHT])
    assert first == check.keep(two_colours(), [LEFT, RIGHT])
    assert set(first) <= {LEFT, RIGHT}


@pytest.mark.extras
def test_a_box_stays_only_where_its_label_is_the_likeliest(
    tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check: Any = label_check(f"hf:{tiny_clip}")
    asked = []

    def scores(crop: Image.Image, texts: list[str]) -> list[float]:
        asked.append((crop.size, texts))
        return [1.0, 0.5, 0.5] if "dog" in texts[0] else [0.5, 1.0, 0.5]

    monkeypatch.setattr(check, "_scores", scores)
    assert check.keep(two_colours(), [LEFT, RIGHT]) == [LEFT]
    assert asked[0] == ((110, 100), [PHRASE.format(name="dog"), *OTHERS])


@pytest.mark.extras
def test_a_crop_of_a_few_pixels_is_not_judged(tiny_clip: Path) -> None:
    check = label_check(f"hf:{tiny_clip}")
    speck = Box(label="dog", xyxy=(0.5, 0.5, 0.51, 0.52), score=0.9)
    assert check.keep(two_colours(), [speck]) == [speck]


@pytest.mark.extras
def test_a_model_that_compares_nothing_is_refused(tmp_path: Path) -> None:
    hf = pytest.importorskip("transformers")
    hf.ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match="no CLIP could be loaded"):
        label_check(f"hf:{tmp_path}")


def test_a_crop_has_some_of_what_is_around_it_and_stays_on_the_picture() -> None:
    image = two_colours()
    assert cropped(image, Box(label="x", xyxy=(0.4, 0.4, 0.6, 0.6), score=1)).size == (48, 24)
    assert cropped(image, Box(label="x", xyxy=(0.9, 0.9, 1, 1), score=1)).size == (22, 11)


def test_without_a_check_every_box_stays() -> None:
    assert isinstance(label_check("off"), Unchecked)
    assert label_check("").keep(two_colours(), [RIGHT, LEFT]) == [RIGHT, LEFT]


def test_what_is_no_check_is_refused_with_an_example() -> None:
    with pytest.raises(SettingsError) as caught:
        label_check("openai:gpt-4o")
    assert "clip-vit-base-patch32" in caught.value.hint
