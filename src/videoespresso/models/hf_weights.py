"""Weights for `hf:`: a model, a LoRA adapter on a base, and captioners that cannot converse."""

import json
import tomllib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage
from PIL import Image

from videoespresso.errors import ModelError, SettingsError
from videoespresso.models.client.messages import from_data_uri
from videoespresso.models.pull import hub
from videoespresso.models.weights import CONTENT, content_identity, weights_identity

ADAPTER = "adapter_config.json"
"""The file by which peft's adapters are known."""
RECIPE = "recipe.toml"
"""In the folder of a model that was taught here: how (training/recipes.py)."""
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")

_TASKS = {"florence2": "<DETAILED_CAPTION>", "paligemma": "<image>caption en"}
"""What these models want to read when they shall caption a picture (their model cards); others
without a chat template (BLIP, GIT) caption what they are shown without a word."""


def parts(path: str) -> tuple[str, str]:
    """(base, adapter) of `BASE`, `BASE+ADAPTER` or a folder with an adapter, "" for none.

    A folder whose own name has a plus is a folder. Raises ModelError for an adapter without a base.
    """
    folder = Path(path).expanduser()
    if (folder / ADAPTER).is_file():
        try:
            base = json.loads((folder / ADAPTER).read_text()).get("base_model_name_or_path")
        except ValueError:
            base = None
        if not isinstance(base, str) or not base:
            raise ModelError(
                f"hf:{path} is an adapter whose {ADAPTER} names no base",
                hint=f"Name it: hf:BASE+{path}",
            )
        return base, path
    base, plus, adapter = path.rpartition("+")
    return (base, adapter) if plus and base and adapter and not folder.is_dir() else (path, "")


def identity(path: str) -> str:
    """Names the weights for keys: those of the base, and of the adapter if there is one."""
    base, adapter = parts(path)
    return weights_identity(base) + (f"+{weights_identity(adapter)}" if adapter else "")


@dataclass(frozen=True)
class Shown:
    """How a model is asked. side: the longer side of a picture in pixels, None as it comes.
    schema: whether prompts hold the reply's schema; what was taught without it does without."""

    side: int | None = None
    schema: bool = True


def asked_as(path: str) -> Shown:
    """How a model wants to be asked: as it was taught, where its folder says so."""
    folder = Path(parts(path)[1] or path).expanduser()
    try:
        recipe = tomllib.loads((folder / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Shown()
    side, schema = recipe.get("side"), recipe.get("schema_in_prompt", True)
    return Shown(side if isinstance(side, int) and side > 0 else None, schema is not False)


def shown(image: Image.Image, side: int | None) -> Image.Image:
    """The picture with no side longer than that, its shape kept."""
    longest = max(image.size)
    if side is None or longest <= side:
        return image
    width, height = (max(1, round(length * side / longest)) for length in image.size)
    return image.resize((width, height))


def control_tokens(processor: Any) -> tuple[str, ...]:
    """What a model reads as a mark and not as text: special tokens, and those that stand for
    pictures and films; longest first."""
    tokenizer = processor.tokenizer
    added = getattr(tokenizer, "added_tokens_decoder", {})
    names = {str(token) for token in added.values() if getattr(token, "special", False)}
    names |= set(tokenizer.all_special_tokens)
    media = ("image_token", "video_token", "audio_token", "fake_image_token", "global_image_tag",
             "start_image_token", "end_image_token")  # fmt: skip
    names |= {str(getattr(processor, name, "") or "") for name in media}
    return tuple(sorted((n for n in names if len(n) > 1), key=len, reverse=True))


def neutral(text: str, tokens: Sequence[str]) -> str:
    """Somebody's text in which nothing is a mark: a space is put behind each mark's first letter,
    so that it reads as it did."""
    while mark := next((token for token in tokens if token in text), None):
        text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


def located(path: str) -> tuple[str, str]:
    """The folders of base and adapter ("" for none). Raises ModelError for an adapter without a
    base, SettingsError where one is neither a folder nor in the cache of Hugging Face."""
    base, adapter = parts(path)
    spec = f"hf:{path}"
    if not adapter:
        return hub.local(base, spec), ""
    there = hub.local(adapter, spec, ADAPTER)
    if Path(base).is_absolute() and not Path(base).is_dir():
        raise moved(base, there)
    where = hub.local(base, spec)
    check_base(where, there)
    return where, there


def moved(base: str, adapter: str) -> SettingsError:
    """The error for an adapter whose base is not where it was."""
    known = _taught_on(adapter)
    return SettingsError(
        f"the base of {adapter} has moved: {base} is not there",
        hint=f"Name it: hf:BASE+{adapter}" + (f"; its weights are {known}." if known else ""),
    )


def check_base(base: str, adapter: str) -> None:
    """Raises SettingsError for a base whose weights are not those that an adapter was taught on,
    where its folder says which these are."""
    known = _taught_on(adapter)
    if known.startswith(CONTENT) and (now := content_identity(base)) != known:
        raise SettingsError(
            f"{base} is not the base of {adapter}: its weights are {now}, not {known}",
            hint=f"Name the folder that has those: hf:BASE+{adapter}",
        )


def _taught_on(adapter: str) -> str:
    """The weights of an adapter's base, as `train` wrote them beside its path; "" where not."""
    try:
        recipe = tomllib.loads((Path(adapter).expanduser() / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(recipe.get("base_weights", ""))


def load(path: str, dtype: str, device: str) -> tuple[Any, Any]:
    """(processor, model in eval mode). device "auto": cuda, mps or cpu; dtype "auto": as saved,
    float32 on a CPU. An adapter is merged into its base, so that it costs nothing.

    Raises ModelError for a missing package and for weights that are not known, SettingsError for
    weights that are not here: nothing is downloaded.
    """
    try:
        import torch  # noqa: PLC0415 - an optional extra
        from transformers import (  # noqa: PLC0415 - an optional extra
            AutoModelForImageTextToText,
            AutoProcessor,
        )
    except ImportError as error:
        raise ModelError(
            f"hf:{path} needs torch and transformers ({error.name} is missing)",
            hint="pip install 'videoespresso[local]'",
        ) from error
    base, adapter = located(path)
    if device == "auto":
        mps = torch.backends.mps.is_available()
        device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    # half precision is slow or missing on CPUs
    dtype = "float32" if dtype == "auto" and device == "cpu" else dtype
    try:
        own = adapter and any((Path(adapter).expanduser() / p).is_file() for p in _PROCESSORS)
        processor = AutoProcessor.from_pretrained(adapter if own else base)
        model = AutoModelForImageTextToText.from_pretrained(base, dtype=dtype)
        if adapter:
            model = _adapted(model, path, adapter)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"hf:{path} cannot be loaded: {_first(error)}",
            hint="Check the folder or the hub id, and that transformers knows its type.",
        ) from error
    except ImportError as error:  # a processor's own requirement, named in its error
        raise ModelError(
            f"hf:{path} cannot be loaded: {_first(error)}", hint="Install what it names."
        ) from error
    agree(processor, model)
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "left"  # what is generated follows the prompt at once
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processor, model.to(device).eval()


def torchvision_fault() -> str:
    """Why torchvision cannot be used beside this torch; "" where it can, or is not there."""
    if find_spec("torchvision") is None or find_spec("torch") is None:
        return ""
    try:
        import torchvision.ops  # noqa: F401, PLC0415 - an optional extra
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        return f"torchvision was built for another torch: {reason}"
    return ""


def agree(processor: Any, model: Any) -> None:
    """LLaVA-OneVision counts a picture's tiles twice, in its processor and in its configuration:
    where an adapter brings a processor of its own, that one holds."""
    grids = getattr(getattr(processor, "image_processor", None), "image_grid_pinpoints", None)
    if grids and hasattr(model.config, "image_grid_pinpoints"):
        model.config.image_grid_pinpoints = grids


def _adapted(model: Any, path: str, adapter: str) -> Any:
    try:
        from peft import PeftModel  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ModelError(
            f"hf:{path} has an adapter: peft is missing", hint="pip install peft"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of transformers, about peft
            return PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except (RuntimeError, KeyError, TypeError) as error:  # shapes or modules of another base
        raise ModelError(
            f"hf:{path}: the adapter does not fit its base: {_first(error)}",
            hint="Name the base it was trained on: hf:BASE+ADAPTER",
        ) from error


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


# ---- captioners


def converses(processor: Any) -> bool:
    """Whether there is a chat template; without one a model can only caption a picture."""
    return bool(getattr(processor, "chat_template", None))


def caption_inputs(
    path: str, processor: Any, model: Any, conversations: Sequence[Sequence[BaseMessage]]
) -> Any:
    """For a model without a chat template: one picture each, and the words that ask for a caption.

    Raises ModelError for a conversation that is not one picture to caption.
    """
    images = []
    for messages in conversations:
        shown = [
            block["image_url"]["url"]
            for message in messages
            if not isinstance(message.content, str)
            for block in message.content
            if isinstance(block, dict) and block.get("type") == "image_url"
        ]
        if len(shown) != 1 or any(message.type == "ai" for message in messages):
            raise cannot_converse(path)
        images.append(from_data_uri(shown[0]))
    kind = str(getattr(model.config, "model_type", ""))
    text = [_TASKS[kind]] * len(images) if kind in _TASKS else None
    given = {"text": text, "padding": True} if text else {}
    return processor(images=images, return_tensors="pt", **given)


def cannot_converse(path: str) -> ModelError:
    """The error of a model that was asked for more than a caption."""
    return ModelError(
        f"hf:{path} has no chat template: it captions one picture and can do nothing else",
        hint=f"Use it as captioner only, beside another model: -m captioner=hf:{path} "
        "-m reasoner=SPEC",
    )
