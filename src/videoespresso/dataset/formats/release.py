"""Our records as the authors release theirs: train by video, train by images, test.

Paths and unknown keys come back as they were read; tasks by the authors' names; boxes as
[cx, cy, w, h] at one scale. What differs between the two train forms is only the name of the
frames' key as far as anybody has said: the text is the same.
"""

from collections.abc import Sequence
from typing import Any, Literal

from videoespresso.dataset.formats import inline, released_fields
from videoespresso.dataset.formats.conversion_report import Unusable
from videoespresso.dataset.formats.released_boxes import Scale
from videoespresso.dataset_record import LETTERS, DatasetItem, GroundedItem
from videoespresso.tasks import LEADERBOARD

Released = Literal["videoespresso-train", "videoespresso-train-images", "videoespresso-test"]


def released(item: DatasetItem, form: Released, scale: Scale) -> dict[str, Any]:
    """The record in the order of keys that was seen. Raises Unusable for a test without options."""
    record = _test(item) if form == "videoespresso-test" else _train(item, form)
    record["evidence"] = evidence_text(item, inline.released_tag(scale))
    if item.task is not None and "task" not in item.extra:
        record["task"] = LEADERBOARD[item.task]
    known = {name: value for name, value in record.items() if value not in (None, "", [])}
    return {
        name: known.get(name, item.extra.get(name)) for name in record if name in known | item.extra
    } | {name: value for name, value in item.extra.items() if name not in record}


def evidence_text(item: DatasetItem, tag: inline.Tag) -> str:
    """All sentences with their tags. Names that the record lists beside the text stay there."""
    listed = {
        n
        for key in released_fields.KEY_ITEMS
        for n in released_fields.item_names(item.extra.get(key))
    }

    def wanted(named: GroundedItem) -> bool:
        return bool(named.boxes) or named.name not in listed

    return " ".join(inline.write(sentence, tag, wanted) for sentence in item.evidence)


def _train(item: DatasetItem, form: Released) -> dict[str, Any]:
    frames = "path" if form == "videoespresso-train-images" else "keyframe_path"
    return {
        "video_path": item.video.path,
        frames: _ended(frame.image for frame in item.core_frames),
        "caption": _ended(frame.caption for frame in item.core_frames),
        "question": item.question,
        "answer": item.answer,
        "task": None,
        "evidence": "",
    }


def _test(item: DatasetItem) -> dict[str, Any]:
    if not item.options and "options" not in item.extra:
        raise Unusable("no options", "a test record has four options")
    if item.options and item.letter is None and "correct_answer" not in item.extra:
        raise Unusable("no right letter", "a test record says which option is right")
    options = [f"({LETTERS[k]}): {text}" for k, text in enumerate(item.options)]
    listed = any(key in item.extra for key in released_fields.KEY_ITEMS)
    return {
        "core_frames_paths": _ended(frame.image for frame in item.core_frames),
        "core_frames_captions": _ended(frame.caption for frame in item.core_frames),
        "question": item.question,
        "answer": item.answer,
        "key_items": [] if listed else [named.name for named in item.key_items],
        "evidence": "",
        "task": None,
        "correct_answer": f"({item.letter})" if item.letter else "",
        "video_path": item.video.path,
        "options": options,
    }


def _ended(values: "Sequence[str] | Any") -> list[str]:
    """The values without empty ones at the end: a list that was shorter than its neighbour."""
    kept = list(values)
    while kept and not kept[-1]:
        kept.pop()
    return kept
