"""The pack: small models that come with the package and need neither network nor torch."""

from pathlib import Path

PACK = Path(__file__).parent / "pack"
PACK_LVLM = PACK / "lvlm"
"""ONNX graphs, tokenizer and chat template; see pack/MODEL_CARD.md."""
PACK_TORCH = PACK / "torch"
"""The same weights as a transformers directory (Idefics3), for `hf:` and `transformers serve`."""
DOMAIN_VERSION = 2
"""Raised when `domain.py` would judge the same frames otherwise: what it said before is then not
reused."""


def pack_folder(name: str) -> Path | None:
    """Where a pack's graphs are: in that folder, or in its `lvlm`; None where in neither."""
    here = Path(name).expanduser()
    return next((f for f in (here / "lvlm", here) if (f / "pack.json").is_file()), None)
