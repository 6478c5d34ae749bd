"""`train export-onnx`: a merged model of the pack's shape as a pack, which runs without torch."""

import json
from pathlib import Path
from typing import Any, Final

from videoespresso.errors import UserError
from videoespresso.models.hf_weights import load, parts
from videoespresso.training.base import needed
from videoespresso.training.pack.shape import IMAGE_SIZE, PATCH, SHUFFLE, VOCABULARY
from videoespresso.training.trainer import quiet

SPECIAL: Final = ("<|end|>", "<image>", "<fake_token_around_image>", "<global-img>")
"""Tokens that the pack's runtime writes and looks for."""


def export_onnx(folder: str | Path, out: str | Path) -> Path:
    """Writes `out`/lvlm (ONNX graphs, 16 bits, for `embedded:OUT`) and `out`/torch; returns `out`.

    folder: merged weights, as `train merge` writes them. Raises UserError for a model of another
    shape, an adapter, and an `out` that holds something; SettingsError or ModelError where the
    weights cannot be loaded.
    """
    source, target = Path(str(folder).removeprefix("hf:")), Path(out)
    refuse_others(source)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} holds something", hint="Give --out a new folder.")
    needed()
    from videoespresso.training.pack.export import export

    with quiet():
        _, model = load(str(source), "float32", "cpu")
    try:
        with quiet():
            export(model, source, target)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror or error}",
            hint="Check the folder and the room on the disk.",
        ) from error
    return target


def refuse_others(source: Path) -> None:
    """Raises UserError, by its files alone, for a folder without a model of the pack's shape."""
    if parts(str(source))[1]:
        raise UserError(
            f"{source} is an adapter, not a whole model",
            hint=f"Merge it first: videoespresso train merge {source} --out MERGED",
        )
    config, tokens = _read(source / "config.json"), _read(source / "tokenizer.json")
    if wrong := _other(config, tokens):
        raise UserError(
            f"{source} has not the pack's shape: {wrong}",
            hint="Only models taught from the pack's torch twin become packs; others run as "
            f"-m hf:{source}, or as onnx: after Optimum's export.",
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} cannot be read: {error}", hint="Give the --out of `train merge`."
        ) from error
    return values if isinstance(values, dict) else {}


def _other(config: dict[str, Any], tokens: dict[str, Any]) -> str:
    """In what a model differs from the pack; "" where in nothing that the runtime relies on."""
    text, vision = config.get("text_config") or {}, config.get("vision_config") or {}
    for name, value, wanted in (
        ("model_type", config.get("model_type"), "idefics3"),
        ("text_config.model_type", text.get("model_type"), "llama"),
        ("rope_type", (text.get("rope_parameters") or {}).get("rope_type", "default"), "default"),
        ("vocab_size", text.get("vocab_size"), VOCABULARY),
        ("image_size", vision.get("image_size"), IMAGE_SIZE),
        ("patch_size", vision.get("patch_size"), PATCH),
        ("scale_factor", config.get("scale_factor"), SHUFFLE),
    ):
        if value != wanted:
            return f"{name} is {value}, not {wanted}"
    known = {token.get("content") for token in tokens.get("added_tokens", ())}
    missing = [token for token in SPECIAL if token not in known]
    return f"its tokenizer has no {missing[0]}" if missing else ""
