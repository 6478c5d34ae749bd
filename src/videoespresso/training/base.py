"""The model a run begins with: what can be known of it before it is loaded, and loading it."""

import json
import os
import struct
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from videoespresso.errors import SettingsError
from videoespresso.models.hf_weights import (
    ADAPTER,
    agree,
    check_base,
    moved,
    parts,
    torchvision_fault,
)
from videoespresso.models.pull.hub import local
from videoespresso.models.specs import ModelSpec
from videoespresso.models.weights import content_identity
from videoespresso.training.families import lora_targets, one_tile
from videoespresso.training.recipes import Recipe

NEEDED: Final = ("torch", "torchvision", "transformers", "peft", "trl", "datasets")
_HINT = "Give --base hf:PATH, the folder of an image-text-to-text model, or of an adapter on one."


@dataclass(frozen=True)
class Base:
    """The weights a run begins with. where: the base's folder, or the hub id of one that is in the
    cache: what is taught names it; weights: names its very weights, wherever they lie; adapter: ""
    for none; config: its config.json; parameters: 0 where not known."""

    spec: ModelSpec
    where: str
    weights: str
    adapter: str
    config: dict[str, Any]
    parameters: int


def needed() -> None:
    """Raises SettingsError where a package of the extra is missing, or does not go with torch."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"training needs {', '.join(missing)}", hint="pip install 'videoespresso[train]'"
        )
    if fault := torchvision_fault():
        raise SettingsError(fault, hint="pip install -U torch torchvision")


def find(text: str) -> Base:
    """What `--base` names, without loading it.

    Raises SettingsError for what is no `hf:` spec, for folders and ids that are not there, for an
    adapter's base that is another one than it was, and for a model that takes no pictures.
    """
    spec = ModelSpec.parse(text if text.startswith("hf:") else f"hf:{text}")
    where, adapter = parts(spec.name)
    if adapter and not (Path(adapter).expanduser() / ADAPTER).is_file():
        raise SettingsError(f"{adapter} is no adapter: it has no {ADAPTER}", hint=_HINT)
    folder = Path(where).expanduser()
    if folder.is_dir():
        folder = folder.resolve()
        where = str(folder)
    elif adapter and os.path.isabs(where):
        raise moved(where, adapter)
    else:
        folder = Path(local(where, str(spec)))
    config = _config(folder)
    _check_kind(config, str(where))
    if adapter:
        check_base(str(folder), adapter)
    return Base(spec, where, content_identity(folder), adapter, config, parameters(folder))


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{folder} holds no model: config.json is missing", hint=_HINT
        ) from error
    return config if isinstance(config, dict) else {}


def _check_kind(config: dict[str, Any], where: str) -> None:
    """Raises SettingsError for a model that is no image-text-to-text model of transformers."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as known,
    )

    kind = str(config.get("model_type", ""))
    if kind not in known or "vision_config" not in config:
        raise SettingsError(
            f"{where} is a {kind or 'model of no known type'}: it does not see pictures",
            hint=_HINT,
        )


def parameters(folder: Path) -> int:
    """The number of weights in a folder's safetensors files, from their headers; 0 for none."""
    count = 0
    for file in folder.glob("*.safetensors"):
        if file.name.startswith("adapter"):
            continue
        with file.open("rb") as opened:
            (size,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(size))
        for name, tensor in header.items():
            if name != "__metadata__":
                number = 1
                for length in tensor["shape"]:
                    number *= length
                count += number
    return count


def device_of(base: Base) -> str:
    """ "cuda" where there is one and the spec does not say otherwise; else what it says, or cpu."""
    import torch

    named = base.spec.options.get("device", "auto")
    if named != "auto":
        return named
    return "cuda" if torch.cuda.is_available() else "cpu"


def room(device: str) -> int:
    """Free bytes of the GPU, or of this machine; 0 where it does not say."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines.get("MemAvailable", "0 kB").split()[0]) * 1024


def check_room(base: Base, device: str) -> None:
    """Raises SettingsError where not even the weights fit."""
    free, bytes_each = room(device), 2 if device.startswith("cuda") else 4
    if free and base.parameters * bytes_each > free:
        raise SettingsError(
            f"{base.where} takes {base.parameters * bytes_each / 1e9:.1f} GB on {device}, and "
            f"{free / 1e9:.1f} GB are free",
            hint="Take a smaller base, or another device: --base 'hf:PATH?device=cuda'.",
        )


def processor_of(base: Base, side: int) -> Any:
    """The base's processor, set to one tile a picture. Raises SettingsError."""
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(base.where, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise SettingsError(
            f"{base.where}: its processor cannot be made: {_first(error)}",
            hint="Install what it names.",
        ) from error
    if getattr(processor, "tokenizer", None) is None:
        raise SettingsError(f"{base.where} has no processor for pictures", hint=_HINT)
    one_tile(processor, side)
    processor.tokenizer.padding_side = "left"  # as `hf:` does: replies are made while teaching
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


def model_of(base: Base, recipe: Recipe, processor: Any) -> Any:
    """The model with its adapter to be taught: that of stage 1 goes on, else a new one.

    Raises SettingsError for weights that cannot be loaded, and for a rank other than the adapter's.
    """
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForImageTextToText

    check_room(base, device_of(base))
    half = device_of(base).startswith("cuda") and torch.cuda.is_bf16_supported()
    dtype = base.spec.options.get("dtype", "auto")
    dtype = ("bfloat16" if half else "float32") if dtype == "auto" else dtype
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            base.where, dtype=dtype, local_files_only=True
        )
        agree(processor, model)
        if base.adapter:
            model = PeftModel.from_pretrained(model, base.adapter, is_trainable=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise SettingsError(f"{base.spec} cannot be loaded: {_first(error)}", hint=_HINT) from error
    if not base.adapter:
        torch.manual_seed(recipe.seed)  # of the adapter's first weights
        targets = lora_targets(model, vision=recipe.train_vision)
        lora = LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=recipe.dropout,
            target_modules=targets,
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(model, lora)
    return model


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
