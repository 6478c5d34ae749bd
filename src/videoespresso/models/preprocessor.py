"""Pictures as a vision graph wants them, by the `preprocessor_config.json` beside it. No torch.

Arithmetic and order are those of transformers' image processors in their Pillow form: resize, crop,
rescale, normalise. What a file does not say keeps transformers' default for that.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import SettingsError

if TYPE_CHECKING:
    from PIL.Image import Image

FILE = "preprocessor_config.json"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BILINEAR = 2
"""Pillow's number of it, as these files write it."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Preprocessor:
    """How a picture becomes numbers.

    height, width: to be stretched to; 0: not said. shortest, longest: the sides' limits where the
    shape is kept; 0: none. crop: height and width cut from the middle, (0, 0) for none. resample:
    Pillow's number of the method. scale: of a byte. mean, std: of each channel, after scaling.
    """

    height: int = 0
    width: int = 0
    shortest: int = 0
    longest: int = 0
    crop: tuple[int, int] = (0, 0)
    resample: int = BILINEAR
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What a folder's file says, None where there is none. Raises SettingsError."""
        try:
            values = json.loads((folder / FILE).read_bytes())
            return cls(**_fields(values))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SettingsError(
                f"{folder / FILE} cannot be used: {type(error).__name__}",
                hint="Take the file of the model's repository.",
            ) from error

    def __call__(self, image: "Image", fixed: tuple[int, int] | None = None) -> Floats:
        """A picture of any size and mode as (1, 3, height, width). fixed: the height and width that
        a graph insists on: then it is stretched to them, whatever else is said."""
        picture = image.convert("RGB")
        if fixed and not self._gives(fixed, picture.size):
            picture = picture.resize(fixed[::-1], self.resample)
        else:
            picture = self._cropped(picture.resize(self._size(*picture.size), self.resample))
        values = np.asarray(picture, dtype=np.float32) * np.float32(self.scale)
        mean, std = (np.array(channels, dtype=np.float32) for channels in (self.mean, self.std))
        values = (values - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None])

    def _gives(self, fixed: tuple[int, int], size: tuple[int, int]) -> bool:
        """Whether the file's own steps end with that height and width."""
        return (self.crop if any(self.crop) else self._size(*size)[::-1]) == fixed

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing."""
        if self.height and self.width:
            return self.width, self.height
        if not self.shortest:
            return width, height
        short, long = sorted((width, height))
        side = float(self.shortest)
        if self.longest and long / short * side > self.longest:
            side = self.longest * short / long
        other = int(side * long / short)
        return (round(side), other) if width <= height else (other, round(side))

    def _cropped(self, picture: "Image") -> "Image":
        high, wide = self.crop
        if not (high and wide):
            return picture
        left, top = (picture.width - wide) // 2, (picture.height - high) // 2
        return picture.crop((left, top, left + wide, top + high))  # beyond the picture it is black


def _fields(values: dict[str, Any]) -> dict[str, Any]:
    """The fields of a Preprocessor from a file's."""
    size = values.get("size", {}) if values.get("do_resize", True) else {}
    if isinstance(size, int):  # as files of before 2023 write it
        size = {"shortest_edge": size, "longest_edge": values.get("max_size", 0)}
    crop = values.get("crop_size", {}) if values.get("do_center_crop") else {}
    if isinstance(crop, int):
        crop = {"height": crop, "width": crop}
    fields = {
        "height": int(size.get("height", 0)),
        "width": int(size.get("width", 0)),
        "shortest": int(size.get("shortest_edge", 0)),
        "longest": int(size.get("longest_edge") or 0),
        "crop": (int(crop.get("height", 0)), int(crop.get("width", 0))),
        "resample": int(values.get("resample", BILINEAR)),
        "scale": float(values.get("rescale_factor", 1 / 255))
        if values.get("do_rescale", True)
        else 1.0,
    }
    if values.get("do_normalize", "image_mean" in values):
        fields |= {
            "mean": _channels(values.get("image_mean", IMAGENET_MEAN)),
            "std": _channels(values.get("image_std", IMAGENET_STD)),
        }
    return fields


def _channels(values: Any) -> tuple[float, ...]:
    given = [float(values)] * 3 if isinstance(values, int | float) else list(map(float, values))
    if len(given) != 3:
        raise ValueError("not three channels")
    return tuple(given)
