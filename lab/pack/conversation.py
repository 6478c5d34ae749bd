"""A training conversation: a role, what it is shown once, and a branch a question.

A branch is a row of pieces; a piece is text and whether it is to be learned.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from videoespresso.training.pack.shape import END, IMAGE_TEXT, REPLY, USER

Part = str | int
"""Text, or the number of a frame."""
Turns = Sequence[tuple[Sequence[Part], str]]
"""(what the user shows, what to reply) pairs."""


@dataclass(frozen=True)
class Lesson:
    """Several conversations that begin alike: what is shown once, and a branch a question.

    A branch sees the shared beginning and itself, not the other branches (batches.py), so
    each is learned as if it stood alone, at a third of the cost. A branch is (text, is it to be
    learned?) pieces. `images`: frame numbers in the order of the beginning's images.
    """

    shared: str
    branches: tuple[tuple[tuple[str, bool], ...], ...]
    images: tuple[int, ...]


def lesson(
    role: str, shown: Sequence[Part], conversations: Sequence[Turns], with_images: bool
) -> Lesson:
    """A lesson from what is shown first and, a branch each, the turns that follow.

    The first turn of a branch goes on with the user's turn that `shown` began.
    """
    shared, images = f"<|{role}|>{USER}", []
    for part in shown:
        if isinstance(part, str):
            shared += part
        elif with_images:
            shared += IMAGE_TEXT
            images.append(part)
    branches = []
    for turns in conversations:
        pieces: list[tuple[str, bool]] = []
        for n, (parts, reply) in enumerate(turns):
            text = "".join(p for p in parts if isinstance(p, str))
            pieces += [((USER if n else "") + text + REPLY, False), (reply + END, True)]
        branches.append(tuple(pieces))
    return Lesson(shared, tuple(branches), tuple(images))


def compact(value: object) -> str:
    """JSON as the pack writes it."""
    return json.dumps(value, separators=(",", ":"))
