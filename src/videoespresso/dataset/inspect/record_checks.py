"""What can be wrong with one record, and how each fault is mended. Opens no file."""

import math
import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Final, Literal, get_args

from videoespresso.dataset.inspect.record_measures import right_and_wrong, words_in
from videoespresso.dataset_record import DatasetItem, item_id

Check = Literal[
    "unreadable",
    "schema",
    "id",
    "twice",
    "task",
    "text",
    "evidence",
    "frames",
    "instant",
    "image",
    "box",
    "options",
    "answer",
    "lengths",
    "letters",
    "longest",
    "video",
    "embedded",
    "empty",
    "rejects",
]
CHECKS: Final[tuple[Check, ...]] = get_args(Check)

MEND: Final[dict[Check, str]] = {
    "unreadable": "Mend the line after the schema (`videoespresso dataset schema`), or remove it.",
    "schema": "Update videoespresso: pip install --upgrade videoespresso.",
    "id": "Set it to item_id(video, question, answer).",
    "twice": "Remove one of the two records.",
    "task": "Name one of the paper's 14 tasks.",
    "text": "Write it, or remove the record.",
    "evidence": "Annotate the record again, or remove it.",
    "frames": "Place its captions in the video again, or remove the record.",
    "instant": "Sort the core frames by their exact instants, each inside the video.",
    "image": "Put the file back as it was written; --no-images where pictures are elsewhere.",
    "box": "Give the box an area and the core frame it was drawn on.",
    "options": "Write each option once, and name the right one.",
    "answer": "Let the letter name the option that says the answer.",
    "lengths": "Write wrong options of the same form and length as the right one.",
    "letters": "Shuffle the options anew: the letter alone gives the answer away.",
    "longest": "Make wrong options longer: the length alone gives the answer away.",
    "video": "Give the folder that the videos' paths start from, with the files as they were.",
    "embedded": "Build it again with models that know such films, e.g. --profile openai.",
    "empty": "Build or convert something into this folder.",
    "rejects": "Mend the line of rejects.jsonl, or remove it: `stats` and `split` read it.",
}

COMPARABLE: Final = 3.0
"""The longest option has at most this many times the shortest one's words ..."""
FEW_WORDS: Final = 6
"""... unless they differ by fewer words than this: "no" beside "yes, the left one" tells little."""
LATE_S: Final = 0.5
"""How far a last frame may lie behind the duration: containers round it, streams differ."""

_SOUND = re.compile(r"\w+")
Fault = tuple[Check, str]


def plain(text: str) -> str:
    """A text's words in small letters, without what only looks different: case, marks, spaces."""
    return " ".join(_SOUND.findall(text.casefold()))


def faults(item: DatasetItem) -> Iterator[Fault]:
    """What is wrong with a record by itself.

    What a source file did not say is no fault of a converted record; a record which our own stages
    made (`made` says so) has a task, evidence, core frames, instants and boxes on named frames.
    """
    ours = bool(item.made)
    if item.id not in _ids(item):
        yield "id", f"the id is {item.id!r}"
    if ours and item.task is None:
        yield "task", "no task"
    for name, text in (("question", item.question), ("answer", item.answer)):
        if not plain(text):
            yield "text", f"the {name} is empty"
    yield from _evidence(item, ours)
    yield from _options(item)
    yield from _instants(item, ours)
    yield from _boxes(item, ours)


def _ids(item: DatasetItem) -> set[str]:
    """The names it may have: by the video's id, or by its path where that is all."""
    names = {item.video.id, item.video.path} - {""}
    return {item_id(name, item.question, item.answer) for name in names}


def _evidence(item: DatasetItem, ours: bool) -> Iterator[Fault]:
    if ours and not item.evidence:
        yield "evidence", "no evidence"
    for k, step in enumerate(item.evidence, 1):
        if not plain(step.text):
            yield "evidence", f"sentence {k} of the evidence is empty"
    if ours and not item.core_frames:
        yield "frames", "no core frames"


def _options(item: DatasetItem) -> Iterator[Fault]:
    if not item.options:
        return
    for k, option in enumerate(item.options):
        if not plain(option):
            yield "options", f"option {chr(65 + k)} is empty"
    for (i, one), (j, other) in combinations(enumerate(item.options), 2):
        if plain(one) == plain(other):
            yield "options", f"options {chr(65 + i)} and {chr(65 + j)} are the same"
    lengths = [words_in(option) for option in item.options]
    if max(lengths) > COMPARABLE * min(lengths) and max(lengths) - min(lengths) >= FEW_WORDS:
        yield "lengths", f"options of {min(lengths)} to {max(lengths)} words"
    if item.letter is None:
        yield "options", "options, but no right letter"
        return
    right, wrong = right_and_wrong(item)
    if not _says(right, item.answer):
        yield "answer", f"option {item.letter} does not say the answer"
    elif any(plain(option) == plain(item.answer) for option in wrong):
        yield "answer", "a wrong option says the answer"


def _says(option: str, answer: str) -> bool:
    """Whether one of the two holds the other, word for word."""
    one, other = f" {plain(option)} ", f" {plain(answer)} "
    return bool(one.strip() and other.strip()) and (one in other or other in one)


def _instants(item: DatasetItem, ours: bool) -> Iterator[Fault]:
    length = item.video.duration_s
    known = [(k, f.time_s) for k, f in enumerate(item.core_frames, 1) if f.time_s is not None]
    if ours and len(known) < len(item.core_frames):
        yield "instant", f"{len(item.core_frames) - len(known)} core frames without an instant"
    instants = [(f"core frame {k}", t) for k, t in known]
    instants += [
        (f"caption {k}", caption.time_s)
        for k, caption in enumerate(item.captions, 1)
        if caption.time_s is not None
    ]
    for name, time_s in instants:
        if not math.isfinite(time_s) or time_s < 0:
            yield "instant", f"{name} is at {time_s} s"
        elif length is not None and time_s > length + LATE_S:
            yield "instant", f"{name} is at {time_s:g} s of {length:g} s"
    for (i, one), (j, other) in pairwise(known):
        if other <= one:
            yield "instant", f"core frame {j} ({other:g} s) is not after core frame {i} ({one:g} s)"


def _boxes(item: DatasetItem, ours: bool) -> Iterator[Fault]:
    """The schema holds coordinates in 0-1, corners in order and frames among the core frames."""
    for step in item.evidence:
        for thing in step.items:
            for box in thing.boxes:
                x0, y0, x1, y1 = box.xyxy
                if not (x1 > x0 and y1 > y0):
                    yield "box", f"a box of {thing.name!r} has no area"
                if ours and box.frame is None:
                    yield "box", f"a box of {thing.name!r} names no core frame"
