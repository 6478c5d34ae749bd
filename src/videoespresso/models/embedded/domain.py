"""Does a picture look like what the pack was trained on? It must know what it does not know.

The measure is the Mahalanobis distance of the mean image feature to those of training frames; the
threshold is a quantile of held-back training frames (domain.npz, written with the weights).
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from videoespresso.models.embedded.chat import runtime

WARNING = (
    "This video does not look like the synthetic theatre, which is all that the embedded models "
    "know ({strange} of {n} frames are unlike it). Configure models that know the real world: "
    "--profile openai with OPENAI_API_KEY, --profile local, or hf:NAME for captioner and reasoner."
)


def strange_frames(images: Sequence[Image.Image]) -> list[bool]:
    """For each picture, whether it lies outside what the pack was trained on."""
    pack = runtime()
    fitted = np.load(pack.folder / "domain.npz")
    pooled = pack.features(images).mean(1) - fitted["mean"]
    distance = np.sqrt(np.einsum("nd,de,ne->n", pooled, fitted["precision"], pooled))
    return [bool(d > fitted["threshold"]) for d in distance]
