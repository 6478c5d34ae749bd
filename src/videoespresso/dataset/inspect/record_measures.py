"""Small things that are measured on one record, each in one way everywhere."""

import hashlib
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePath
from typing import Final

from videoespresso.dataset_record import REFUSED, UNUSABLE, DatasetItem

VERIFY: Final = "verify"
AFTER_VERIFY: Final = ("annotate", "ground_time", "ground_space", "distract", "write")
"""Stages that are given nothing but what the verifier accepted."""


def words_in(text: str) -> int:
    """Length in words, split at white space."""
    return len(text.split())


def right_and_wrong(item: DatasetItem) -> tuple[str, tuple[str, ...]]:
    """The right option and the others. The record must have a letter."""
    assert item.letter is not None, "the record has no letter"
    k = ord(item.letter) - ord("A")
    return item.options[k], item.options[:k] + item.options[k + 1 :]


def distances(item: DatasetItem) -> Iterator[float]:
    """Seconds between neighbouring core frames, where both instants are known."""
    for one, other in pairwise(item.core_frames):
        if one.time_s is not None and other.time_s is not None:
            distance = abs(other.time_s - one.time_s)
            if math.isfinite(distance):
                yield distance


def verdict(stage: str, criterion: str) -> bool | None:
    """Whether the verifier accepted what a later stage, or it itself, refused; None for what it
    did not judge."""
    if stage in AFTER_VERIFY:
        return True
    return False if stage == VERIFY and criterion not in (UNUSABLE, REFUSED) else None


def source_of(path: str) -> str:
    """The collection a video seems to come from, by its path; "." for a bare file name."""
    parts = PurePath(path.replace("\\", "/")).parts
    if len(parts) < 2:
        return "."
    return parts[-2] if parts[0] == "/" or parts[0].endswith(":") else parts[0]


def stem_of(path: str) -> str:
    """A video's file name without its ending, in small letters."""
    return PurePath(path.replace("\\", "/")).stem.casefold()


def video_key(item: DatasetItem) -> bytes:
    """Eight bytes for a record's video: of its content where that is known, else of its path."""
    return digest(item.video.id or item.video.path)


def digest(text: str) -> bytes:
    """Eight bytes for a name: two of a million meet with a chance of 3 in 100 million."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
