"""Images and texts in one space, on ONNX Runtime: CLIP, MobileCLIP, SigLIP. No torch.

    model = image_text("onnx:FOLDER_OR_REPO")        # or ?dtype=fp16
    model.images(frames) @ model.texts(["a red car"]).T     # cosine similarities

Layouts (those of transformers.js): `vision_model.onnx` and `text_model.onnx`, or both in one
`model.onnx`, in the folder or in `onnx/`; beside them `preprocessor_config.json`, `tokenizer.json`
and `tokenizer_config.json`. Names, types and fixed sizes are read from the graphs.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import SettingsError
from videoespresso.models.onnx.files import EXACT_FIRST, SUFFIXES
from videoespresso.models.preprocessor import FILE, Preprocessor
from videoespresso.models.pull.hub import in_cache
from videoespresso.models.specs import ModelSpec
from videoespresso.models.weights import weights_identity

if TYPE_CHECKING:
    from PIL.Image import Image

    from videoespresso.models.onnx.graph import Graph

Floats = NDArray[np.float32]
T = TypeVar("T")

BATCH = 8
"""Images at a time: a larger batch gains nothing on a CPU (ViT-B/32, 104-132 CPU-ms an image)."""
LONGEST = 77
"""Tokens of a text where neither file nor graph says it: CLIP's."""
VISION, TEXT, MERGED = "vision_model", "text_model", "model"
PULL = "`videoespresso models pull clip` fetches one."


class ImageText:
    """One model. where: a folder, or a repository in the Hugging Face cache; nothing is downloaded.

    dtype: the weights' type, "" for the most exact that is there. threads: of one operator, 0 for
    all cores. Raises SettingsError where files are missing; calls raise ModelError where a graph
    fails. May be called from several threads; the graphs load when first used.
    """

    def __init__(self, where: str, *, dtype: str = "", threads: int = 0) -> None:
        self.name, self._threads, self._lock = f"onnx:{where}", threads, threading.Lock()
        self._folder = _folder(where, self.name)
        merged = _file(self._folder, MERGED, dtype)
        vision, text = (_file(self._folder, stem, dtype) or merged for stem in (VISION, TEXT))
        if vision is None or text is None:
            raise SettingsError(
                f"{self.name} has no {TEXT if vision else VISION}.onnx"
                + (f" in {dtype}" if dtype else ""),
                hint=PULL,
            )
        self._vision, self._text = vision, text
        pixels = Preprocessor.read(self._folder)
        if pixels is None:
            raise SettingsError(
                f"{self.name} has no {FILE}",
                hint="Take it from the model's repository: it says what the pixels are.",
            )
        self._pixels = pixels
        self.identity = "-".join(dict.fromkeys(map(weights_identity, (vision, text))))

    def images(self, images: "Sequence[Image]") -> Floats:
        """Pictures of any size and mode as unit vectors, (n, d); (0, 0) for none."""
        graph = self._vision_graph
        listed = graph.inputs["pixel_values"].shape
        size = _fixed(listed)
        rows = []
        for some in _batches(images, listed[0] or BATCH):
            pixels = np.concatenate([self._pixels(image, size) for image in some])
            rows.append(self._rows(graph, {"pixel_values": pixels}, len(some), "image_embeds"))
        return _unit(rows)

    def texts(self, texts: Sequence[str]) -> Floats:
        """Texts as unit vectors, (n, d); (0, 0) for none. What is too long loses its end."""
        graph = self._text_graph
        rows = []
        for some in _batches(texts, graph.inputs["input_ids"].shape[0] or BATCH):
            rows.append(self._rows(graph, self._tokens(graph, some), len(some), "text_embeds"))
        return _unit(rows)

    @cached_property
    def _vision_graph(self) -> "Graph":
        return self._text_graph if self._vision == self._text else self._open(self._vision)

    @cached_property
    def _text_graph(self) -> "Graph":
        return self._open(self._text)

    def _open(self, path: Path) -> "Graph":
        from videoespresso.models.onnx.graph import Graph  # noqa: PLC0415 - onnxruntime is slow

        graph = Graph(path, self._threads)
        wanted = {"pixel_values"} if path == self._vision else set[str]()
        wanted |= {"input_ids"} if path == self._text else set()
        if not wanted <= graph.inputs.keys():
            raise self._other(graph, f"takes {', '.join(graph.inputs)}")
        return graph

    def _rows(self, graph: "Graph", feed: dict[str, Any], count: int, name: str) -> Floats:
        """What a graph makes of images or of texts; the other half of a merged one gets a blank."""
        if self._vision == self._text:
            feed = {**self._blank(graph), **feed}
        outputs = dict(zip(graph.outputs, graph.run(feed), strict=True))
        values = outputs.get(name, outputs.get("pooler_output"))
        flat = [value for value in outputs.values() if value.ndim == 2 and len(value) == count]
        if values is None and len(flat) == 1:  # some call it otherwise
            [values] = flat
        if values is None or values.ndim != 2:
            raise self._other(graph, f"gives {', '.join(outputs)} and no {name}")
        return np.asarray(values, dtype=np.float32)

    def _blank(self, graph: "Graph") -> dict[str, Any]:
        """One empty text and one black picture."""
        from PIL import Image as images  # noqa: PLC0415 - Pillow loads only where pictures are

        black = images.new("RGB", (32, 32))
        size = _fixed(graph.inputs["pixel_values"].shape)
        return {**self._tokens(graph, [""]), "pixel_values": self._pixels(black, size)}

    def _tokens(self, graph: "Graph", texts: Sequence[str]) -> dict[str, Any]:
        """Their numbers, filled up to one length. Without a mask among the inputs that is the
        length the model was trained with: what fills up is then seen, as it was in training."""
        length = graph.inputs["input_ids"].shape[1]
        if length is None and "attention_mask" not in graph.inputs:
            length = self._longest
        with self._lock:
            tokenizer = self._tokenizer
            tokenizer.enable_truncation(length or self._longest)
            tokenizer.enable_padding(
                length=length, pad_id=self._pad[0], pad_token=self._pad[1], pad_type_id=0
            )
            encoded = tokenizer.encode_batch(list(texts))
        return {
            "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
            "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
        }

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer  # noqa: PLC0415 - only for texts

        try:
            return Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        except Exception as error:  # its own errors are plain exceptions
            raise SettingsError(
                f"{self.name} has no usable tokenizer.json", hint=f"Fetch it anew: {PULL}"
            ) from error

    @cached_property
    def _pad(self) -> tuple[int, str]:
        """Number and name of what fills texts up: the tokenizer's, else its configuration's."""
        if self._tokenizer.padding:
            return self._tokenizer.padding["pad_id"], self._tokenizer.padding["pad_token"]
        token = self._side("tokenizer_config.json").get("pad_token", "")
        name = str(token.get("content", "") if isinstance(token, dict) else token)
        return self._tokenizer.token_to_id(name) or 0, name

    @cached_property
    def _longest(self) -> int:
        """Tokens that a text may have."""
        longest = self._side("tokenizer_config.json").get("model_max_length", 0)
        text = self._side("config.json").get("text_config", {})
        most = text.get("max_position_embeddings", 0) if isinstance(text, dict) else 0
        return int(min((n for n in (longest, most) if n), default=LONGEST))

    def _side(self, name: str) -> dict[str, Any]:
        """A file beside the graphs, {} where there is none."""
        try:
            value = json.loads((self._folder / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _other(self, graph: "Graph", what: str) -> SettingsError:
        return SettingsError(
            f"{graph.path} {what}: it is no image-text model with projections", hint=PULL
        )


def image_text(spec: str, *, threads: int = 0) -> ImageText:
    """The model a spec names, `onnx:FOLDER_OR_REPO[?dtype=fp16]`. Raises SettingsError."""
    named = ModelSpec.parse(spec)
    if named.provider != "onnx":
        raise SettingsError(f"{spec} names no image-text model", hint="Write onnx:FOLDER_OR_REPO.")
    given = int(named.options.get("threads", threads))
    return ImageText(named.name, dtype=named.options.get("dtype", ""), threads=given)


def _folder(where: str, name: str) -> Path:
    path = Path(where).expanduser()
    if path.is_dir():
        return path
    cached = in_cache(where) if where.count("/") == 1 else None
    if cached is None:
        raise SettingsError(f"{name}: there is no such folder, and it was not fetched", hint=PULL)
    return cached


def _file(folder: Path, stem: str, dtype: str) -> Path | None:
    """A graph's file; the most exact where no type is given."""
    names = [f"{stem}{SUFFIXES[kind]}.onnx" for kind in ([dtype] if dtype else EXACT_FIRST)]
    places = [place / name for name in names for place in (folder / "onnx", folder)]
    return next((place for place in places if place.is_file()), None)


def _fixed(shape: tuple[int | None, ...]) -> tuple[int, int] | None:
    """A graph's own height and width, None where it takes any."""
    height, width = shape[2:4] if len(shape) == 4 else (None, None)
    return (height, width) if height and width else None


def _batches(items: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    """In order; the last may be shorter, unless one at a time is all a graph takes."""
    return (items[start : start + count] for start in range(0, len(items), count))


def _unit(rows: list[Floats]) -> Floats:
    if not rows:
        return np.zeros((0, 0), dtype=np.float32)
    values = np.concatenate(rows)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit: Floats = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    return unit
