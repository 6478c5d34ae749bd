"""Which files of an exported vision-language model are there, and which of them to load."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from videoespresso.errors import ModelError, SettingsError

PULL = "`videoespresso models pull laptop` fetches a model that works."
SUFFIXES = {"fp32": "", **{d: f"_{d}" for d in ("fp16", "q4", "q4f16", "int8", "uint8")}}
SUFFIXES |= {"quantized": "_quantized", "bnb4": "_bnb4"}
"""How the published files are named, by their number format."""

EXACT_FIRST = ("fp32", "fp16", "q4", "q4f16", "bnb4", "int8", "uint8", "quantized")
"""For pictures: eight-bit convolutions are slower than float32 on a CPU (a 512-pixel frame of
SmolVLM-256M's shape: 4.2 against 3.7 CPU seconds, docs/log.md)."""
SMALL_FIRST = ("int8", "quantized", "q4", "q4f16", "uint8", "bnb4", "fp32", "fp16")
"""For the decoder: 123 ms a token in int8, 129 in q4, 199 in float32 (same shape)."""

VISION, EMBED = "vision_encoder", "embed_tokens"
DECODER, FIRST, LATER = "decoder_model_merged", "decoder_model", "decoder_with_past_model"
SIDES = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"),
    *("tokenizer_config.json", "chat_template.jinja", "chat_template.json"),
)
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class ExportFiles:
    """The files of one model. later: the decoder of all steps but the first, where there are two
    ("" merged exports have one)."""

    folder: Path
    vision: Path
    embed: Path
    decoder: Path
    later: Path | None = None

    @property
    def identity(self) -> str:
        """Names, sizes and times of what is loaded, as 16 hex digits: replies of other weights are
        not these weights' replies."""
        graphs = [self.vision, self.embed, self.decoder, *filter(None, [self.later])]
        data = [file for graph in graphs for file in graph.parent.glob(f"{graph.name}_data*")]
        sides = [self.folder / name for name in SIDES]
        files = [file for file in (*graphs, *sorted(data), *sides) if file.exists()]
        state = [f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in files]
        return hashlib.sha256("\n".join(state).encode()).hexdigest()[:16]


def export_files(where: str, dtype: str = "") -> ExportFiles:
    """The files of a folder, or of a repository in the Hugging Face cache; nothing is downloaded.

    dtype: the decoder's number format, "" for the one that is fastest on a CPU. The two other
    graphs have the same where it is there, else the most exact. Raises ModelError that names what
    is missing.
    """
    folder = _folder(where)
    roots = [root for root in (folder / "onnx", folder) if root.is_dir()]

    def pick(stem: str, order: Sequence[str], must: bool = True) -> Path | None:
        wanted = (dtype, *order) if dtype else order
        for name in (f"{stem}{SUFFIXES[d]}.onnx" for d in wanted):
            for root in roots:
                if (root / name).is_file():
                    return root / name
        if must:
            raise _missing(where, f"{stem}.onnx")
        return None

    vision, embed = pick(VISION, EXACT_FIRST), pick(EMBED, EXACT_FIRST)
    order = (dtype,) if dtype else SMALL_FIRST
    decoder = pick(DECODER, order, must=False) or pick(FIRST, order, must=False)
    if decoder is None:
        raise _missing(where, f"{DECODER}{SUFFIXES[dtype or 'fp32']}.onnx", _formats(roots))
    later = pick(LATER, order, must=False) if decoder.name.startswith(FIRST) else None
    if decoder.name.startswith(DECODER):
        later = None
    if not (folder / "tokenizer.json").is_file():
        raise _missing(where, "tokenizer.json")
    assert vision is not None
    assert embed is not None
    return ExportFiles(folder, vision, embed, decoder, later)


def _formats(roots: Sequence[Path]) -> list[str]:
    """The number formats in which a decoder is there."""
    names = {file.name for root in roots for file in root.glob("decoder_model*.onnx")}
    stems = (DECODER, FIRST)
    return [d for d, suffix in SUFFIXES.items() if any(f"{s}{suffix}.onnx" in names for s in stems)]


def _missing(where: str, name: str, formats: Sequence[str] = ()) -> ModelError:
    others = f"It is there as ?dtype={', ?dtype='.join(formats)}. " if formats else ""
    return ModelError(
        f"onnx:{where} has no {name}",
        hint=f"{others}{PULL} A folder of yours needs onnx/{VISION}.onnx, onnx/{EMBED}.onnx, "
        f"onnx/{DECODER}.onnx, tokenizer.json, config.json and the chat template.",
    )


def _folder(where: str) -> Path:
    """The folder itself, or the repository's in the Hugging Face cache."""
    path = Path(where).expanduser()
    if path.is_dir():
        return path
    if not _REPO.fullmatch(where):
        raise SettingsError(f"onnx:{where}: there is no such folder", hint=PULL)
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(snapshot_download(where, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise SettingsError(
            f"onnx:{where} is neither a folder nor in the Hugging Face cache",
            hint=f"Nothing is downloaded unasked. {PULL}",
        ) from error
