"""A question in a conversation -> the same question standing alone, and the video it is about.

By a model, or by rule (`resolve`) for the embedded pack, which was not trained to rewrite
questions. The rule knows three things and nothing else: a pronoun stands for the person (`it`: the
thing) named last; "and after that?", "and before?" and "why?" ask about the sentence of evidence
found last; a video is meant by its name or its number. The wordings are those the pack was trained
on. Every other question is taken as it was typed.
"""

import re
from collections.abc import Sequence
from pathlib import PurePath

from pydantic import BaseModel

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Turn
from videoespresso.agents.prompts import load
from videoespresso.models.client.structured_output import numbers
from videoespresso.tools.object_names import KINDS
from videoespresso.types import ChatTurn, EvidenceStep

_PEOPLE = sorted({name for name, kinds in KINDS.items() if "person" in kinds} | {"person"})
_NAMED = re.compile(
    rf"\b(?:the|a|an)\s+((?:[\w-]+\s+)?({'|'.join(_PEOPLE)})"
    r"(?:\s+in\s+(?!(?:the|a|an|his|her|their|front)\b)[\w-]+)?)\b",
    re.IGNORECASE,
)
"""(the name without its article, its noun); "the man in purple", not "the man in the kitchen"."""

_FEMALE = frozenset({"businesswoman", "girl", "lady", "mother", "policewoman", "waitress", "woman"})
_MALE = frozenset(
    {"boy", "businessman", "father", "fireman", "fisherman", "gentleman", "guy", "man"}
    | {"policeman", "waiter"}
)
_NOT = {"she": _MALE, "her": _MALE, "hers": _MALE, "he": _FEMALE, "him": _FEMALE, "his": _FEMALE}
"""Nouns a pronoun cannot stand for; a cook or a courier may be either."""

_PRONOUN = re.compile(r"\b(she|he|him|his|hers?|they|them|their|it|its)\b(?=(\s+\w)?)", re.I)
_EMPTY_IT = re.compile(r"\b(?:is|does|did|was|what time is) it (?:rain|snow|dark|day|night|late)|"
                       r"\bwhat (?:time|day) is it\b", re.I)  # fmt: skip
_THAT = r"(?:\s+(?:that|this|it))?"
_START = r"(?:(?:and|so|but|ok|okay)[,\s]+)*"
_HAPPENS = r"(?:what\s+(?:happens|happened|comes|follows|is)\s+)?(?:right\s+|just\s+)?"
_AFTER = re.compile(
    rf"{_START}{_HAPPENS}(?:next|then|after(?:wards?)?){_THAT}(?:\s+what)?[\s?.!]*", re.I
)
_BEFORE = re.compile(rf"{_START}{_HAPPENS}before(?:hand)?{_THAT}[\s?.!]*", re.I)
_WHY = re.compile(
    rf"{_START}why(?:\s+(?:is|was|does|did)\s+(?:that|this|it)(?:\s+happen)?)?[\s?.!]*", re.I
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def resolve(question: str, turns: Sequence[ChatTurn], videos: Sequence[str]) -> tuple[str, int]:
    """(the question standing alone, position of its video in `videos`)."""
    position = which_video(question, turns, videos)
    question = _without_name(question, videos[position])
    evidence = next((turn.evidence for turn in reversed(turns) if turn.evidence), ())
    steps = sorted(evidence, key=lambda step: step.time_s)
    if steps:
        if _AFTER.fullmatch(question.strip()):
            return f"What happens right after {_clause(steps[-1])}?", position
        if _BEFORE.fullmatch(question.strip()):
            return f"What happens right before {_clause(steps[0])}?", position
        if _WHY.fullmatch(question.strip()):
            return f"What is the reason that {_clause(steps[-1])}?", position
    return _with_names(question, turns), position


def which_video(question: str, turns: Sequence[ChatTurn], videos: Sequence[str]) -> int:
    """The video that is named (file name, "video 2", "the second clip"), else the last one
    asked about, else the first."""
    text = question.casefold()
    for position, video in enumerate(videos):
        if re.search(_name_of(video), text):
            return position
    match = re.search(r"\b(?:video|clip|film)\s+(\d{1,3})\b", text)
    if match and 1 <= int(match[1]) <= len(videos):
        return int(match[1]) - 1
    known = dict(zip(_ORDINALS, range(len(videos)), strict=False)) | {"last": len(videos) - 1}
    match = re.search(rf"\b({'|'.join(known)})\s+(?:video|clip|film)\b", text)
    if match:
        return known[match[1]]
    last = turns[-1].video if turns else ""
    return videos.index(last) if last in videos else 0


def _name_of(video: str) -> str:
    """A pattern for a video's file name; its extension may be left out only with the word before,
    as names like `room` are words of questions too."""
    path = PurePath(video.casefold())
    name, stem = re.escape(path.name), re.escape(path.stem)
    return rf"(?<!\w)(?:{name}|(?:video|clip|film)\s+{stem})(?!\w)"


def _without_name(question: str, video: str) -> str:
    """The question without "in street.mp4", which a small model would look for in the picture."""
    name = rf"(?:^|\s*,?\s*)\b(?:and\s+)?(?:in|of|from|on)\s+(?:the\s+)?{_name_of(video)},?"
    return re.sub(name, "", question, flags=re.IGNORECASE).strip() or question


def _clause(step: EvidenceStep) -> str:
    """A sentence as part of another one: 'the vase breaks'."""
    text = " ".join(step.text.split()).rstrip(".!?")
    first, _, rest = text.partition(" ")
    lower = first.lower() if first in ("The", "A", "An", "Two", "There") else first
    return f"{lower} {rest}".strip()


def _with_names(question: str, turns: Sequence[ChatTurn]) -> str:
    """Pronouns replaced; one whose person is named earlier in the same question stays."""
    if _EMPTY_IT.search(question):
        return question

    def name(match: re.Match[str]) -> str:
        word = match[1].lower()
        if _NAMED.search(question[: match.start()]):
            return match[1]
        named = _thing(turns) if word in ("it", "its") else _person(word, turns)
        if named is None:
            return match[1]
        owns = word in ("his", "their", "its", "hers") or (word == "her" and match[2])
        shown = f"{named}'s" if owns else named
        return shown[0].upper() + shown[1:] if match.start() == 0 else shown

    return _PRONOUN.sub(name, question)


def _person(pronoun: str, turns: Sequence[ChatTurn]) -> str | None:
    """Who was named last: in the newest answer, else in its evidence, else in its question."""
    excluded = _NOT.get(pronoun, frozenset())
    for turn in reversed(turns):
        answer = [turn.answer] if turn.answered else []
        for text in (*answer, *(s.text for s in reversed(turn.evidence)), turn.question):
            fitting = [m[1] for m in _NAMED.finditer(text) if m[2].lower() not in excluded]
            if fitting:
                return f"the {fitting[-1]}"
    return None


def _thing(turns: Sequence[ChatTurn]) -> str | None:
    """The last key item of the newest evidence that is no person."""
    for turn in reversed(turns):
        for step in reversed(turn.evidence):
            for item in reversed(step.items):
                name = re.sub(r"^(?:the|an?)\s+", "", item.name.strip(), flags=re.IGNORECASE)
                if name and not _NAMED.search(f"the {name}"):
                    return f"the {name}"
    return None


RECALLED = 8
"""Turns that are shown: what a follow-up points at came just before, and tokens cost."""


class Standalone(BaseModel):
    """`video`: a number of the list that was shown, from 1."""

    question: str
    video: int = 0


def follow(
    agent: Agent, question: str, turns: Sequence[ChatTurn], videos: Sequence[str]
) -> tuple[str, int]:
    """(the question standing alone, position of its video in `videos`). Raises as the agent does.

    A number that no video has gives way to the rule above (`which_video`).
    """
    lines = [line for turn in turns[-RECALLED:] for line in _lines(turn, videos)]
    parts = prompt_parts.follow_parts(question, lines, [PurePath(v).name for v in videos])
    bounds = {"Standalone.video": numbers(0, len(videos))}
    reply = agent.typed(load("follower"), [Turn("user", parts)], Standalone, bounds).value
    known = 1 <= reply.video <= len(videos)
    position = reply.video - 1 if known else which_video(question, turns, videos)
    return reply.question.strip() or question, position


def _lines(turn: ChatTurn, videos: Sequence[str]) -> list[str]:
    """A turn in lines. Line breaks go: none of them may open a section of the prompt."""
    number = f" (video {videos.index(turn.video) + 1})" if turn.video in videos else ""
    lines = [f"Question{number}: {turn.question}", f"Answer: {turn.answer}"]
    lines += [f"({step.time_s:.1f} s) {step.text}" for step in turn.evidence]
    return [" ".join(line.split()) for line in lines]
