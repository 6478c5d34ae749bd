"""Whether an image file is a picture."""

from typing import Final

from PIL import Image

FAULTS: Final = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for a file that is no picture, or not a whole one."""


def decode(picture: Image.Image) -> None:
    """Reads an opened picture to its end, a JPEG at an eighth of its size. Raises FAULTS."""
    picture.draft("RGB", (max(1, picture.width // 8), max(1, picture.height // 8)))
    picture.load()
