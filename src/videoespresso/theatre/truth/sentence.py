"""Is a sentence so at an instant of a story, and if not, what is wrong with it? And do sentences
say what a proof needs?"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from videoespresso.theatre.builder import MOODS, PAINTS, ROLES, SETTINGS, SHIRTS, WEATHERS
from videoespresso.theatre.scene import ANIMALS
from videoespresso.theatre.stories import Story
from videoespresso.theatre.truth.language import Statement, is_called, read
from videoespresso.theatre.truth.pair import Pair, does, drawn_at

Entailment = Literal["true", "elsewhere", "contradicted", "undecidable"]
"""elsewhere: so at another instant of the same story, and not at the one that is cited."""
Fault = Literal["", "actor", "act", "mood", "place"]

_SEEN = re.compile(r"\b(?:can be seen|(?:is|are) (?:there|here|visible))\b")
"""Somebody is there, whatever they do."""
_SIDE = re.compile(r"\*(?: is)?(?: furthest)? (?:on|to) the (left|right)\b")
"""Of the people on stage the one furthest to a side, as the theatre's questions mean it."""
_NEUTRAL = frozenset(
    {"a", "an", "the", "in", "at", "to", "it", "that", "there", "is", "are", "be"}
    | {"and", "when", "while", "as", "now", "also"}
)
"""Words that state nothing. Any other one that is not understood makes a sentence undecidable."""


class SentenceTruth(NamedTuple):
    """wrong: what a contradicted sentence has wrong, at the instant that it cites."""

    verdict: Entailment
    wrong: Fault = ""


class _Part(NamedTuple):
    """One thing that a sentence says, and the phases in which it is so. statement: None for a
    side, a place or a weather."""

    statement: Statement | None
    phases: frozenset[int]


def sentence_truth(story: Story, sentence: str, time_s: float) -> SentenceTruth:
    """All that a sentence says, held against the phase at `time_s` seconds."""
    parts = _parts(story, sentence)
    if not parts:
        return SentenceTruth("undecidable")
    at = story.phase_at(drawn_at(story, time_s))
    failed = [part for part in parts if at not in part.phases]
    if not failed:
        return SentenceTruth("true")
    if frozenset.intersection(*(part.phases for part in parts)):
        return SentenceTruth("elsewhere")
    return SentenceTruth("contradicted", _wrong(story, failed[0], at))


def _parts(story: Story, sentence: str) -> list[_Part]:
    """What a sentence says; nothing where it is not understood, or says nothing."""
    statements, left = read(sentence)
    left, present = _SEEN.subn(" ", " ".join(left.split()))
    sides = _sides(story, statements, left)
    left = _SIDE.sub(" ", left)
    words = re.findall(r"[a-z']+", left)
    pair = Pair(story, "", (), tuple(statements), "", "")
    parts = [
        _Part(s, frozenset(k for a, b in pair.runs(s) for k in range(a, b + 1)))
        for s in statements
    ] + sides  # fmt: skip
    for word in words:
        if word in (*SETTINGS, *WEATHERS):
            parts.append(_Part(None, _where(story, word)))
        elif word not in _NEUTRAL:
            return []
    stated = present or sides or any(s.act for s in statements)
    return parts if stated or (parts and not statements) else []


def _where(story: Story, word: str) -> frozenset[int]:
    """The phases in a place, or with a weather."""
    return frozenset(k for k, p in enumerate(story.phases) if word in (p.setting, p.weather))


def _sides(story: Story, statements: Sequence[Statement], left: str) -> list[_Part]:
    """Who is said to be on which side. left: the sentence, each statement a star in it."""
    sides = []
    for match in _SIDE.finditer(left):
        who = statements[left.count("*", 0, match.start())].who
        end = min if match[1] == "left" else max
        phases = frozenset(
            k
            for k, phase in enumerate(story.phases)
            if (people := [a for a in phase.actors if a.kind == "person"])
            and is_called(end(people, key=lambda a: a.x0).phrase, who)
        )
        sides.append(_Part(None, phases))
    return sides


def _wrong(story: Story, part: _Part, at: int) -> Fault:
    """Somebody else does it, or nobody is called so: the actor; else the mood or the act."""
    if part.statement is None:
        return "place"
    who, act, *_ = part.statement
    if not act or any(does(a, act) for a in story.phases[at].actors):
        return "actor"
    if not any(is_called(a.phrase, who) for p in story.phases for a in p.actors):
        return "actor"
    return "mood" if act.removeprefix("is ") in MOODS else "act"


def carried(proof: str, sentences: Sequence[str]) -> bool:
    """Whether all that a sentence of a proof says stands in these sentences, of somebody who is
    named at least as closely."""
    wanted, left = read(proof)
    given, words = [], set[str]()
    for sentence in sentences:
        parsed, rest = read(sentence)
        given += parsed
        words.update(re.findall(r"[a-z']+", rest))
    needed = set(re.findall(r"[a-z']+", _SEEN.sub(" ", left))) - _NEUTRAL
    return needed <= words and all(
        any((not w.act or s.act == w.act) and is_called(s.who, w.who) for s in given)
        for w in wanted
    )


_KINDS = (MOODS, (*SHIRTS, *PAINTS), ROLES, ANIMALS)
"""Words of a kind, which stand for one another in a sentence."""


def contrary(story: Story, sentence: str, time_s: float) -> str | None:
    """The sentence with one word changed, a mood before an actor, so that it contradicts what is
    seen at `time_s` seconds and at any other; None where no such change does."""
    for kind in _KINDS:
        for word in re.findall(rf"\b(?:{'|'.join(kind)})\b", sentence):
            for other in kind:
                changed = re.sub(rf"\b{word}\b", other, sentence, count=1)
                if sentence_truth(story, changed, time_s).verdict == "contradicted":
                    return changed
    return None
