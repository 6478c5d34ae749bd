"""Does a picture look like those that the pack was trained on? For others it gives a warning.

Two measures, either is enough: the share of flat pixels (the theatre is drawn in flat colours,
cameras are not), and the Mahalanobis distance of the mean image feature to those of training frames
(domain.npz, written with the weights). Flat drawings by others may pass.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from videoespresso.models.embedded.chat import runtime

FLAT = 0.58
"""Least share of flat pixels, on pixels as the model gets them. Measured: theatre frames 0.63 to
0.92 (n = 320, a quarter in the held-out style); medians of real clips 0.08 (bigbuckbunny), 0.25
(bikes), 0.36 and 0.41 (carphone), 8 frames each."""
STEP = 4.0
"""A pixel is flat when it differs by less than this from its two neighbours together (of 255)."""

WARNING = (
    "This video does not look like the synthetic theatre, which is all that the embedded models "
    "know ({strange} of {n} frames are unlike it). Configure models that know the real world: "
    "--profile openai with OPENAI_API_KEY, --profile local, or hf:NAME for captioner and reasoner."
)


def flatness(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> float:
    """Share of flat pixels of one picture, (3, h, w) in 0-255."""
    across = np.abs(np.diff(pixels, axis=2)).max(0)[:-1]
    down = np.abs(np.diff(pixels, axis=1)).max(0)[:, :-1]
    return float((across + down < STEP).mean())


def strange_frames(images: Sequence[Image.Image]) -> list[bool]:
    """For each picture, whether it lies outside what the pack was trained on."""
    pack = runtime()
    fitted = np.load(pack.folder / "domain.npz")
    pooled = pack.features(images).mean(1) - fitted["mean"]
    distance = np.sqrt(np.einsum("nd,de,ne->n", pooled, fitted["precision"], pooled))
    drawn = [flatness((p + 1.0) * 127.5) >= FLAT for p in pack.pixels(images)]
    return [not d or bool(x > fitted["threshold"]) for d, x in zip(drawn, distance, strict=True)]
