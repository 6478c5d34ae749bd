"""Which weights can be pulled by name, and which of a repository's files they need.

Names of repositories and files were read from public listings in November 2026; nothing here has
been downloaded by us (docs/laptop.md has the commands for who has the network).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from videoespresso.errors import SettingsError
from videoespresso.models.weights import Part

SUFFIXES = {
    "fp32": "",
    **{name: f"_{name}" for name in ("fp16", "q4", "q4f16", "int8", "uint8", "quantized", "bnb4")},
}
"""How files are named by the type of their weights (transformers.js writes them so)."""
SIDES = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("chat_template.json", "chat_template.jinja", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "LICENSE", "LICENSE.md", "NOTICE"),
)
"""Files beside the graphs, taken where there are any."""
APACHE = "Apache-2.0"


@dataclass(frozen=True)
class Weights:
    """What can be pulled. graphs: for each graph the type of its weights; main: the one whose type
    `--dtype` changes. The reasons for the types are in docs/laptop.md."""

    name: str
    part: Part
    repo: str
    licence: str
    about: str
    graphs: Mapping[str, str]
    main: tuple[str, ...]


_VLM = {"vision_encoder": "fp32", "embed_tokens": "fp32", "decoder_model_merged": "int8"}
_TOWERS = {"vision_model": "fp16", "text_model": "fp16"}


def _vlm(name: str, size: str) -> Weights:
    repo = f"HuggingFaceTB/SmolVLM2-{size}-Video-Instruct"
    about = f"SmolVLM2-{size}: looks and answers"
    return Weights(name, "vlm", repo, APACHE, about, _VLM, ("decoder_model_merged",))


def _detector(name: str, repo: str, about: str) -> Weights:
    return Weights(name, "detector", repo, APACHE, about, {"model": "fp32"}, ("model",))


def _clip(name: str, repo: str, licence: str, about: str) -> Weights:
    return Weights(name, "clip", repo, licence, about, _TOWERS, tuple(_TOWERS))


WEIGHTS: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        _vlm("vlm", "500M"),
        _vlm("vlm-256m", "256M"),
        _detector("detector", "onnx-community/dfine_n_coco-ONNX", "D-FINE nano: COCO's 80 objects"),
        _detector(
            "rf-detr", "onnx-community/rfdetr_nano-ONNX", "RF-DETR nano: COCO's 80 objects, better"
        ),
        _clip("clip", "Xenova/clip-vit-base-patch32", "MIT", "CLIP ViT-B/32: frames by words"),
        _clip("mobileclip", "Xenova/mobileclip_s0", "Apple's own", "MobileCLIP-S0: the same, less"),
    )
}
BUNDLES: dict[str, tuple[str, ...]] = {"laptop": ("vlm", "detector", "clip")}
"""Names for several."""


def named(names: Sequence[str]) -> list[Weights]:
    """The weights of these names, each part once. Raises SettingsError for a name that there is
    not, and for two that would be in one place."""
    chosen: dict[Part, Weights] = {}
    for name in dict.fromkeys(part for given in names for part in BUNDLES.get(given, (given,))):
        if name not in WEIGHTS:
            raise SettingsError(
                f"there are no weights {name!r} to pull",
                hint=f"Choose of {', '.join((*BUNDLES, *WEIGHTS))}; --repo OWNER/NAME takes "
                "another repository for one of them.",
            )
        weights = WEIGHTS[name]
        other = chosen.setdefault(weights.part, weights)
        if other != weights:
            raise SettingsError(
                f"{other.name} and {name} are for the same: the {weights.part}",
                hint="Pull one of them; the other can take its place later.",
            )
    return list(chosen.values())


def needed(weights: Weights, files: Iterable[str], *, dtype: str = "", where: str) -> list[str]:
    """Those of a repository's files that the weights need, the graphs first.

    files: paths with "/". dtype: of the main graph, "" for the usual one. where: for messages.
    Raises SettingsError where a graph is missing, saying in which types there is one.
    """
    there = sorted(files)
    chosen: list[str] = []
    for graph, usual in weights.graphs.items():
        kind = dtype if dtype and graph in weights.main else usual
        chosen += _graph(graph, kind, there, where)
    return chosen + [name for name in there if name in SIDES]


def _graph(graph: str, kind: str, files: Sequence[str], where: str) -> list[str]:
    """A graph's file and those with its external data (`.onnx_data`, `.onnx_data_1`)."""
    for folder in ("onnx/", ""):
        name = f"{folder}{graph}{SUFFIXES.get(kind, '?')}.onnx"
        if name in files:
            return [name, *(file for file in files if file.startswith((f"{name}_", f"{name}.")))]
    offered = ", ".join(t for t, end in SUFFIXES.items() if _has(f"{graph}{end}.onnx", files))
    hint = f"It has no {graph} at all: is it an ONNX export for transformers.js?"
    if offered:
        hint = f"It has {offered}: choose with --dtype."
    elif any(name.endswith(".safetensors") for name in files):
        hint = f"It is a model for transformers, which is used as it is: -m hf:{where}"
    raise SettingsError(f"{where} has no {graph} in {kind}", hint=hint)


def _has(name: str, files: Sequence[str]) -> bool:
    return any(PurePosixPath(file).name == name for file in files)
