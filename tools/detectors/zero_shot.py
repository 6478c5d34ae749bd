"""Zero-shot detectors of transformers: GroundingDINO, OWL-ViT, OWLv2. Needs the extra `local`.

The paper grounds its key items with GroundingDINO (appendix, step 8). The thresholds it used are
not published; ours are the models' own published examples.
"""

import importlib.util
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from videoespresso.errors import SettingsError, ToolError
from videoespresso.models.pull.hub import local
from videoespresso.models.weights import weights_identity
from videoespresso.tools.detectors.base import Raw, tidy
from videoespresso.tools.object_names import name_words
from videoespresso.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

BOX_THRESHOLD, TEXT_THRESHOLD = 0.35, 0.25
"""GroundingDINO: the values of the original repository's README."""

OWL_THRESHOLD = 0.2
"""OWL's scores run lower; 0.2 is what OWLv2's authors draw boxes at in their demo."""

NAMES_AT_ONCE = 12
"""Names a pass: GroundingDINO reads 256 tokens, and its labels blur when many are given at once."""

KIND, EXAMPLE = "AutoModelForZeroShotObjectDetection", "IDEA-Research/grounding-dino-tiny"

_DINO = ("grounding-dino", "mm-grounding-dino")
_OWL = ("owlvit", "owlv2")


class ZeroShotDetector:
    """`Detector` with an open vocabulary; a box is labelled with one of the given names.

    `where` is a folder, or a Hugging Face id that was fetched before. Runs on CUDA where
    there is one. Raises `SettingsError` when the extra is missing, when the model cannot be had, or
    when it is of another kind. Pictures take turns: the tokenizer is not thread-safe.
    """

    labels: tuple[str, ...] | None = None

    def __init__(self, where: str) -> None:
        self.name, self.identity = f"hf:{where}", weights_identity(where)
        self._model, self._processor = load_pretrained(where, KIND, "zero-shot detector", EXAMPLE)
        self._kind = self._model.config.model_type
        if self._kind not in (*_DINO, *_OWL):
            raise SettingsError(
                f"{self.name}: detectors of the kind {self._kind} are not supported",
                hint=f"Supported: {', '.join((*_DINO, *_OWL))}.",
            )
        if self._kind == "owlv2" and not (_has("torchvision") or _has("scipy")):
            raise SettingsError(  # its image processor says so only when it gets a picture
                f"{self.name}: OWLv2 needs torchvision or scipy, and neither is installed",
                hint="pip install scipy",
            )
        self._turn = threading.Lock()

    def detect(self, image: "Image", names: Sequence[str] = ()) -> list[Box]:
        """Boxes for each of the names; none without names. See `Detector`."""
        by_phrase = {
            " ".join(name_words(name)): name for name in reversed(names) if name_words(name)
        }
        phrases = sorted(by_phrase)  # the order of the names must not change the boxes
        picture = image.convert("RGB")
        boxes: list[Raw] = []
        for start in range(0, len(phrases), NAMES_AT_ONCE):
            some = phrases[start : start + NAMES_AT_ONCE]
            with self._turn:
                try:
                    result = self._pass(picture, some)
                except Exception as error:  # torch and transformers raise anything
                    raise ToolError(
                        f"{self.name} failed on a picture: {error}", hint="Try --detector off."
                    ) from error
            boxes.extend(Raw(by_phrase[phrase], box, score) for phrase, box, score in result)
        return tidy(boxes)

    def _pass(self, picture: "Image", phrases: list[str]) -> list[Raw]:
        import torch  # noqa: PLC0415 - the extra `local`

        inputs = self._processor(
            images=picture, text=[phrases], return_tensors="pt", truncation=True
        ).to(self._model.device)
        with torch.inference_mode():
            outputs = self._model(**inputs)
        return list(self._read(outputs, inputs, picture.size, phrases))

    def _read(
        self, outputs: Any, inputs: Any, size: tuple[int, int], phrases: list[str]
    ) -> Iterator[Raw]:
        read = self._processor.post_process_grounded_object_detection
        width, height = size
        sizes = [(height, width)]
        if self._kind in _DINO:
            result = read(
                outputs,
                inputs["input_ids"],
                threshold=BOX_THRESHOLD,
                text_threshold=TEXT_THRESHOLD,
                target_sizes=sizes,
            )[0]
        else:
            result = read(
                outputs, threshold=OWL_THRESHOLD, target_sizes=sizes, text_labels=[phrases]
            )[0]
        for label, box, score in zip(
            result["text_labels"], result["boxes"].tolist(), result["scores"].tolist(), strict=True
        ):
            phrase = matched_phrase(label, phrases)
            if phrase is not None:
                x0, y0, x1, y1 = box
                yield Raw(phrase, (x0 / width, y0 / height, x1 / width, y1 / height), score)


def matched_phrase(label: str, phrases: Sequence[str]) -> str | None:
    """Which phrase GroundingDINO meant: it labels a box with the matching words ("car").

    The phrase that shares most of its words wins, the earlier on a tie; None if none is shared.
    """
    if label in phrases:
        return label
    words = set(name_words(label))
    shares = [len(words & set(phrase.split())) / len(phrase.split()) for phrase in phrases]
    best = max(shares, default=0.0)
    return phrases[shares.index(best)] if best > 0 else None


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def load_pretrained(where: str, kind: str, what: str, example: str) -> tuple[Any, Any]:
    """Model (in eval mode, on CUDA where there is one) and processor. kind: the transformers class.

    Raises SettingsError, which says `what` was expected and gives an `example` id.
    """
    if not (_has("torch") and _has("transformers")):
        raise SettingsError(
            f"hf:{where} needs torch and transformers, which are not installed",
            hint="pip install 'videoespresso[local]'",
        )
    import torch  # noqa: PLC0415 - the extra `local`
    import transformers  # noqa: PLC0415 - the extra `local`

    folder = local(where, f"hf:{where}")
    try:
        processor = transformers.AutoProcessor.from_pretrained(folder)
        model = getattr(transformers, kind).from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise SettingsError(
            f"hf:{where}: no {what} could be loaded ({str(error).splitlines()[0]})",
            hint=f"Give a Hugging Face id such as {example}, or the folder of a saved model with "
            "its processor.",
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device).eval(), processor
