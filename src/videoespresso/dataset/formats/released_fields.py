"""The parts of a released record, in every spelling that was seen."""

import re
from collections.abc import Sequence
from typing import Any

from videoespresso.dataset_record import LETTERS

FRAMES = ("core_frames_paths", "keyframe_path", "path", "keyframe_paths", "core_frames_path")
CAPTIONS = ("core_frames_captions", "caption", "captions", "core_frames_caption")
KEY_ITEMS = ("key_items", "key_item")
VIDEO = ("video_path", "video")

_LABEL = re.compile(r"\s*\(?([A-Ja-j])\)?\s*[:.)]\s*(.*)", re.DOTALL)
_LETTER = re.compile(r"\s*\(?\s*([A-Ja-j])\s*\)?\s*(?:[:.)].*)?", re.DOTALL)


def taken(record: dict[str, Any], names: Sequence[str]) -> tuple[str, Any]:
    """(name, value) of the first alias that says something, taken out of the record; ("", None)
    for none. Others stay in the record."""
    for name in names:
        if record.get(name) is not None:
            return name, record.pop(name)
    return "", None


def texts(value: Any) -> list[str] | None:
    """A list of texts, or one text as such; None for anything else."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return value
    return None


def options(value: Any) -> list[str] | None:
    """The options without their labels, in the order of the labels; None where they are none.

    Labels are only taken off where all have one and they are the first letters, each once:
    "A. Lincoln" may be an answer.
    """
    if isinstance(value, dict):
        value = [f"({label}): {text}" for label, text in value.items()]
    if isinstance(value, str):
        value = [line for line in value.splitlines() if line.strip()]
    values = texts(value)
    if values is None or not 2 <= len(values) <= len(LETTERS):
        return None
    labelled = [match for text in values if (match := _LABEL.fullmatch(text))]
    letters = [match[1].upper() for match in labelled]
    if sorted(letters) != list(LETTERS[: len(values)]):
        return [text.strip() for text in values]
    return [match[2].strip() for match in sorted(labelled, key=lambda match: match[1].upper())]


def letter(value: Any, among: Sequence[str]) -> str | None:
    """The right option's letter from "(B)", "B", "(B): text", or the option's own text."""
    if not isinstance(value, str):
        return None
    same = [k for k, option in enumerate(among) if option.strip() == value.strip()]
    if len(same) == 1:
        return LETTERS[same[0]]
    match = _LETTER.fullmatch(value)
    name = match[1].upper() if match else ""
    return name if name and LETTERS.index(name) < len(among) else None


def item_names(value: Any) -> list[str]:
    """The names in a separate list of key items: a text, texts, a dictionary, or dictionaries.

    Boxes beside the names are not read: nobody knows the order of their corners.
    """
    if isinstance(value, str):
        value = re.split(r"[,;\n]", value)
    if isinstance(value, dict):
        inner = [v for v in value.values() if isinstance(v, dict)]
        value = [name for names in (inner or [value]) for name in names]
    if not isinstance(value, list):
        return []
    named = [v.get("name", v.get("label")) if isinstance(v, dict) else v for v in value]
    return list(dict.fromkeys(v.strip() for v in named if isinstance(v, str) and v.strip()))


def frame_index(path: str) -> int | None:
    """The frame that a file's name counts; None where it does not.

    "…/4560.jpg" is frame 4560 of its video. Storystream's "000027_keyframe_1-38-11-958.jpg" is
    something else, and nothing there is read as an index. Only the last dot ends a stem.
    """
    parts = re.split(r"[\\/]", path)
    stem = parts[-1].rpartition(".")[0]
    if any(part.lower() == "storystream" for part in parts):
        return None
    return int(stem) if re.fullmatch(r"[0-9]{1,9}", stem) else None
