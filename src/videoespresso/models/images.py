"""Images on their way to a model: encoded at the boundary, named by their pixels, gridded."""

import base64
import hashlib
from collections.abc import Sequence
from io import BytesIO
from math import ceil, sqrt

from PIL import Image, ImageDraw, ImageFont

JPEG_QUALITY = 92
"""Hard to tell from the original at a tenth of a PNG's size."""

GRID_SIDE = 2048
"""Longest side of a grid in pixels: what OpenAI's high detail and most vision encoders keep."""

_LABEL_HEIGHT = 22
_GAP = 4


def pixel_sha(image: Image.Image) -> str:
    """sha256 over size, mode and pixels: the same whatever file the image came from."""
    header = f"{image.mode} {image.width}x{image.height} ".encode()
    return hashlib.sha256(header + image.tobytes()).hexdigest()


def data_uri(image: Image.Image) -> str:
    """The image as a JPEG data URI; transparency is laid on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def from_data_uri(uri: str) -> Image.Image:
    """The image in a data URI, RGB. Raises ValueError if it is not one."""
    head, comma, body = uri.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64") and comma):
        raise ValueError("not an image data URI")
    return Image.open(BytesIO(base64.b64decode(body))).convert("RGB")


def grid(images: Sequence[Image.Image]) -> Image.Image:
    """One image with all of them, in reading order, each under its number from 1.

    For models that take one image a request. The grid is at most GRID_SIDE pixels a side; cells
    shrink to fit, never grow.
    """
    columns = ceil(sqrt(len(images)))
    rows = ceil(len(images) / columns)
    width = max(image.width for image in images)
    height = max(image.height for image in images)
    scale = min(
        1.0,
        (GRID_SIDE - _GAP * (columns + 1)) / (columns * width),
        (GRID_SIDE - _GAP - rows * (_GAP + _LABEL_HEIGHT)) / (rows * height),
    )
    cell_w, cell_h = max(1, int(width * scale)), max(1, int(height * scale))
    step_x, step_y = cell_w + _GAP, cell_h + _LABEL_HEIGHT + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LABEL_HEIGHT - 6)
    for i, image in enumerate(images):
        x, y = _GAP + (i % columns) * step_x, _GAP + (i // columns) * step_y
        draw.text((x + 2, y + 1), str(i + 1), fill="black", font=font)
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        sheet.paste(image.convert("RGB").resize(size), (x, y + _LABEL_HEIGHT))
    return sheet
