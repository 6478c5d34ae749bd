"""Conversations that begin alike as one lesson: what is shown once, and a branch for each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from videoespresso.dataset.formats.conversations import (
    Conversation,
    Medium,
    Message,
    Part,
    media_in,
)
from videoespresso.training.pack.shape import END, IMAGE_TEXT, REPLY, ROLES, USER


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


def talk(role: str, *turns: tuple[Sequence[Part], str]) -> Conversation:
    """A conversation that no record stands for: (what the user shows, what to reply) pairs."""
    made = [Message("system", (f"You are the {role}.",))]
    for parts, reply in turns:
        made += [Message("user", tuple(parts)), Message("assistant", (reply,))]
    return tuple(made)


def lesson(conversations: Sequence[Conversation], with_images: bool) -> Lesson:
    """A lesson from conversations of one role that show the same frames, by number. Each reply of
    the assistant's is learned."""
    first = conversations[0]
    line = str(first[0].parts[0]).partition("\n")[0]
    role = next(role for role in ROLES if role in line)
    asked = [_text(one[1], with_images) for one in conversations]
    alike = os.path.commonprefix(asked)  # noqa: RUF071 - of any text
    ends = (alike.rfind(mark) + len(mark) for mark in ("\n", IMAGE_TEXT) if mark in alike)
    end = max(ends, default=0)
    branches = []
    for one, text in zip(conversations, asked, strict=True):
        pieces = [(text[end:] + REPLY, False)]
        for message in one[2:]:
            said = _text(message, with_images)
            learned = message.role == "assistant"
            pieces.append((said + END, True) if learned else (USER + said + REPLY, False))
        branches.append(tuple(pieces))
    images = (int(medium.path) for medium in media_in(first)) if with_images else ()
    return Lesson(f"<|{role}|>{USER}{alike[:end]}", tuple(branches), tuple(images))


def _text(message: Message, with_images: bool) -> str:
    picture = IMAGE_TEXT if with_images else ""
    return "".join(picture if isinstance(part, Medium) else part for part in message.parts)
