"""Does a box show what its label says (paper, step 8: CLIP ViT-B/32)?

    colors           by rule, without a model: of several cars the "red car"
    hf:ID_OR_PATH    a CLIP of transformers (extra `local`)
    off              every box is kept

The paper does not say how CLIP's answer was read, nor what became of boxes that failed. Here the
crop is compared with the label and with what stands for "not that" (OTHERS); a box stays when the
label is the likeliest of them. What fails is dropped, so that a label whose boxes all fail keeps an
empty list, as failed items do in the paper's data.

`colors` only compares boxes with each other: light and cameras change what red looks like, but
seldom which of two cars is the redder one. Boxes that it cannot decide about are kept.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import SettingsError, ToolError
from videoespresso.models.weights import weights_identity
from videoespresso.tools.detectors.zero_shot import load_pretrained
from videoespresso.types import Box, KeyItem

if TYPE_CHECKING:
    from PIL.Image import Image


EXAMPLE = "openai/clip-vit-base-patch32"
"""The paper's own."""
PHRASE = "a photo of a {name}"
"""The template of CLIP's own zero-shot examples."""
OTHERS = ("a photo of something else", "a photo of an empty background")
MARGIN = 0.1
"""A crop is wider by this share of the box on each side: surroundings help to name a thing."""
SMALLEST = 8
"""Crops of fewer pixels a side say nothing; their boxes are kept unchecked."""


class LabelCheck(Protocol):
    """Judges boxes. name: the spec it was made from. May be called from several threads."""

    @property
    def name(self) -> str: ...

    def keep(self, image: "Image", boxes: Sequence[Box]) -> list[Box]:
        """Those boxes whose picture agrees with their label, in the same order."""


class Unchecked:
    """Keeps every box."""

    name = "off"

    def keep(self, image: "Image", boxes: Sequence[Box]) -> list[Box]:
        """All of them."""
        return list(boxes)


class ClipCheck:
    """`LabelCheck` by a CLIP model of transformers: an id or a folder.

    Raises SettingsError when the extra is missing, or the model cannot be had or is no CLIP.
    """

    def __init__(self, where: str) -> None:
        self.name, self.identity = f"hf:{where}", weights_identity(where)
        self._model, self._processor = load_pretrained(where, "AutoModel", "CLIP", EXAMPLE)
        if not hasattr(self._model, "get_text_features"):
            raise SettingsError(
                f"{self.name} does not compare pictures with words",
                hint=f"Choose a CLIP, e.g. hf:{EXAMPLE}.",
            )
        self._turn = threading.Lock()

    def keep(self, image: "Image", boxes: Sequence[Box]) -> list[Box]:
        """See `LabelCheck`. Raises ToolError when the model fails on the picture."""
        picture = image.convert("RGB")
        kept = []
        for box in boxes:
            crop = cropped(picture, box)
            if min(crop.size) < SMALLEST or self._agrees(crop, box.label):
                kept.append(box)
        return kept

    def _agrees(self, crop: "Image", label: str) -> bool:
        texts = [PHRASE.format(name=label), *OTHERS]
        with self._turn:
            try:
                scores = self._scores(crop, texts)
            except Exception as error:  # torch and transformers raise anything
                raise ToolError(
                    f"{self.name} failed on a crop: {error}", hint="Try --label-check off."
                ) from error
        return max(range(len(texts)), key=scores.__getitem__) == 0

    def _scores(self, crop: "Image", texts: list[str]) -> list[float]:
        import torch  # noqa: PLC0415 - the extra `local`

        inputs = self._processor(
            images=crop, text=texts, return_tensors="pt", padding=True, truncation=True
        ).to(self._model.device)
        with torch.inference_mode():
            outputs: Any = self._model(**inputs)
        scores: list[float] = outputs.logits_per_image[0].tolist()
        return scores


def agreed(check: LabelCheck, image: "Image", item: KeyItem) -> KeyItem:
    """The item with those of its boxes that show what its name says: "red car" and not only "car".
    Raises ToolError as the check does."""
    named = [box.model_copy(update={"label": item.name}) for box in item.boxes]
    kept = {box.xyxy for box in check.keep(image, named)}
    return KeyItem(name=item.name, boxes=tuple(box for box in item.boxes if box.xyxy in kept))


def cropped(image: "Image", box: Box) -> "Image":
    """The box's part of a picture, with MARGIN around it, clipped to the picture."""
    width, height = image.size
    x0, y0, x1, y1 = box.xyxy
    wide, high = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    edges = (x0 - wide, y0 - high, x1 + wide, y1 + high)
    left, top, right, bottom = (min(1.0, max(0.0, v)) for v in edges)
    return image.crop(
        (round(left * width), round(top * height), round(right * width), round(bottom * height))
    )


def label_check(spec: str) -> LabelCheck:
    """The check a spec names: `colors` (the default), `hf:ID_OR_PATH`, or `off`. Raises
    SettingsError."""
    if spec == "off":
        return Unchecked()
    if spec in ("", ColorCheck.name):
        return ColorCheck()
    kind, _, where = spec.partition(":")
    if kind == "hf" and where:
        return ClipCheck(where)
    raise SettingsError(
        f"{spec!r} names no label check",
        hint=f"Write colors, hf:{EXAMPLE} (or a folder), or off.",
    )


LEAST = 0.04
"""Share of a box's pixels from which its colour counts as seen; a shirt is a tenth of a person's
box and more."""
NEAR = 0.5
"""A box stays that has at least this share of the colour that the best one has."""
EDGE = 0.1
"""Left out on each side of a box: mostly background."""
_SIDE = 64
"""Pixels a side of the reduced box; a colour needs no more."""

Channel = NDArray[np.int16]
Mask = NDArray[np.bool_]


def _hue(low: int, high: int) -> Callable[[Channel, Channel, Channel], Mask]:
    """Colourful pixels between two hues, in 256ths of the circle from red by way of green."""

    def mask(h: Channel, s: Channel, v: Channel) -> Mask:
        between = (h >= low) & (h < high) if low < high else (h >= low) | (h < high)
        return between & (s >= 90) & (v >= 60)

    return mask


def _brown(h: Channel, s: Channel, v: Channel) -> Mask:
    return (h >= 6) & (h < 30) & (s >= 60) & (v >= 30) & (v < 160)


_MASKS: Mapping[str, Callable[[Channel, Channel, Channel], Mask]] = {
    "red": _hue(246, 11),
    "orange": _hue(11, 27),
    "yellow": _hue(27, 48),
    "green": _hue(48, 120),
    "blue": _hue(120, 182),
    "purple": _hue(182, 218),
    "pink": _hue(218, 246),
    "brown": _brown,
    "white": lambda _h, s, v: (s < 35) & (v >= 210),
    "black": lambda _h, _s, v: v < 55,
    "grey": lambda _h, s, v: (s < 35) & (v >= 55) & (v < 210),
}
"""Which pixels have a colour: hue, saturation and value from 0 to 255 (PIL's HSV)."""
_WORDS = {word: word for word in _MASKS} | {"gray": "grey", "violet": "purple", "golden": "yellow"}


class ColorCheck:
    """`LabelCheck` by colour words. Boxes whose name has none, or several, are all kept; so is the
    only box of a name, and every box of a name whose colour none of them shows."""

    name = "colors"

    def keep(self, image: "Image", boxes: Sequence[Box]) -> list[Box]:
        """See `LabelCheck`."""
        return [
            box
            for box, share, best in zip(boxes, *_shares(image, boxes), strict=True)
            if best < LEAST or share >= NEAR * best
        ]


def color_of(name: str) -> str | None:
    """The one colour that a name says, None for none or for several."""
    colors = {_WORDS[word] for word in re.findall(r"[a-z]+", name.casefold()) if word in _WORDS}
    return colors.pop() if len(colors) == 1 else None


def share_of(image: "Image", box: Box, color: str) -> float:
    """The share of a box's pixels that have a colour, 0 to 1."""
    x0, y0, x1, y1 = box.xyxy
    left, right = _inside(x0, x1, image.width)
    top, bottom = _inside(y0, y1, image.height)
    crop = image.crop((left, top, right, bottom))
    crop.thumbnail((_SIDE, _SIDE))
    pixels = np.asarray(crop.convert("RGB").convert("HSV"), dtype=np.int16)
    mask = _MASKS[color](pixels[..., 0], pixels[..., 1], pixels[..., 2])
    return float(mask.mean())


def _inside(low: float, high: float, side: int) -> tuple[int, int]:
    """Pixels from a box's one side to the other without its edges; at least one, on the picture."""
    edge = EDGE * (high - low)
    first = min(round((low + edge) * side), side - 1)
    return first, max(round((high - edge) * side), first + 1)


def _shares(image: "Image", boxes: Sequence[Box]) -> tuple[list[float], list[float]]:
    """Each box's share of its name's colour, and the largest of that name; 0 where it has none."""
    shares, best = [], dict[str, float]()
    for box in boxes:
        color = color_of(box.label)
        shares.append(share_of(image, box, color) if color else 0.0)
        best[box.label] = max(best.get(box.label, 0.0), shares[-1])
    return shares, [best[box.label] for box in boxes]
