"""How large an `hf:` model is: what TFLOPs are counted by (evaluation/efficiency.py)."""

import re
from math import prod
from typing import Any

_TOWER = re.compile("vision|visual|image|projector|connector|merger|qformer|resampler")
"""In the name of a weight of the vision tower, or of what leads from it to the language model, in
transformers' models."""
_EXPERTS = ".experts."


def parameters(model: Any) -> dict[str, int]:
    """{"language": …, "vision": …}: weights that are active for a token, and for a patch of an
    image; of a mixture of experts, those of as many as a token is sent to."""
    counts = {"language": 0.0, "vision": 0.0}
    text = getattr(model.config, "text_config", model.config)
    every = getattr(text, "num_experts", None) or getattr(text, "num_local_experts", None)
    share = getattr(text, "num_experts_per_tok", None) or every
    for name, weight in model.named_parameters():
        active = share / every if every and _EXPERTS in name else 1.0
        counts["vision" if _TOWER.search(name) else "language"] += active * weight.numel()
    return {side: round(count) for side, count in counts.items()}


def image(model: Any, inputs: Any) -> dict[str, int] | None:
    """{"patches": …, "image_tokens": …} of the one picture in the processor's `inputs`: patches
    that the tower reads, and tokens that the language model does. None where the inputs do not
    say it."""
    config = model.config
    token = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    if token is None or "input_ids" not in inputs or "pixel_values" not in inputs:
        return None
    if "image_grid_thw" in inputs:
        patches = int(inputs["image_grid_thw"].prod())
    else:
        side = getattr(getattr(config, "vision_config", None), "patch_size", None)
        if side is None:
            return None
        rows, columns = (side, side) if isinstance(side, int) else side
        *tiles, _, height, width = inputs["pixel_values"].shape
        patches = prod(tiles) * (height // rows) * (width // columns)
    return {"patches": patches, "image_tokens": int((inputs["input_ids"] == token).sum())}
