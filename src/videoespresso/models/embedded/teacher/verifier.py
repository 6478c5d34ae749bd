"""The verifier's and the annotator's rules: is a pair, whoever wrote it, borne out by the captions,
and by which of them?

A pair is read in the theatre's language, as the captions are. The criteria are checked in the
prompt's order, and the first that is violated is named.
"""

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from videoespresso.models.embedded.teacher.captions import (
    IDLE,
    Clause,
    Film,
    Happening,
    kind,
    things,
    words,
)
from videoespresso.models.embedded.teacher.generator import leads_to, sentence
from videoespresso.theatre.builder import MOODS, SETTINGS, WEATHERS
from videoespresso.theatre.truth.language import (
    ASKING_WORDS,
    OBJECTS,
    Statement,
    is_called,
    read,
)

MOST_CORE = 4
"""Core captions of a pair; the paper's training data has four or fewer in 98 of 100 (TaYS)."""
LONGEST = 2000
"""Characters of a question or an answer that are read."""
_TASTE = """beautiful nice best better worst favourite favorite good bad ugly interesting boring
opinion think believe like prefer recommend should might would maybe perhaps probably lovely funny
wonderful amazing great charming pretty cute imagine suppose most help"""
_OPINION = frozenset(_TASTE.split())
"""Words of taste and of what might be."""
_JOIN = "first then and at last because from to in the a yes it he she they is by"
_JOINING = frozenset(_JOIN.split())
"""Words of an answer that state nothing; others that questions have ("uses") do in an answer."""
_OPEN = re.compile(
    r"^(?:do you|would you|should|is it (?:an? )?(?:good|nice)|what (?:if|might|could))\b"
)
_TIE = re.compile(r"\b(?P<near>right |just |immediately |directly )?(?P<tie>before|after|once)\b")
_ORDER = re.compile(r"\border\b|one after the other|follow each other|\bchanges?\b")
_WHY = re.compile(r"^why\b|\breason\b")
_LEADS = re.compile(r"\b(?:leads? to|result)\b")
_THEN = re.compile(r"\bthen\b")
_SEVERAL = re.compile(
    rf"{_TIE.pattern}|{_ORDER.pattern}|{_WHY.pattern}|{_LEADS.pattern}|\bthen\b|\blinks\b|\bboth\b"
)
"""Words of questions that one caption cannot answer."""


class Pair(NamedTuple):
    """A pair, read. question, answer: casefolded; posed, stated: the statements of each, the
    answer's completed from the question; left, rest: the words of each that are in no statement."""

    question: str
    answer: str
    posed: tuple[Statement, ...]
    stated: tuple[Statement, ...]
    left: tuple[str, ...]
    rest: tuple[str, ...]

    @property
    def named(self) -> list[Statement]:
        """The question's whole statements."""
        return [s for s in self.posed if s.who and s.act]

    @property
    def whole(self) -> list[Statement]:
        """The answer's whole statements."""
        return [s for s in self.stated if s.who and s.act]


def read_pair(question: str, answer: str) -> Pair:
    """Reads a pair. A pronoun of the answer is who is named last, or first in the question; a name
    alone does what the question asks of somebody; a mood alone is of whom it asks."""
    question, answer = question[:LONGEST].casefold(), answer[:LONGEST].casefold()
    statements, left = read(question)
    stated, rest = read(answer)
    deed = next((s.act for s in statements if s.act and not s.who), "")
    who = next((s.who for s in statements if s.who), "")
    completed: list[Statement] = []
    for s in stated:
        who = s.who or who
        completed.append(s._replace(who=who, act=s.act or ("" if stated[1:] else deed)))
    if not stated and who and (mood := next((m for m in MOODS if m in words(rest)), "")):
        completed.append(Statement(who, f"is {mood}", 0, 0))
    for name, known in (("place", SETTINGS), ("weather", WEATHERS)):
        if not stated and len(turn := [x for x in words(rest) if x in known]) == 2:
            completed += [Statement(name, f"is {x}", 0, 0) for x in turn]
    return Pair(
        question,
        answer,
        tuple(statements),
        tuple(completed),
        tuple(words(left)),
        tuple(words(rest)),
    )


def held(film: Film, s: Statement) -> list[Happening]:
    """The happenings that a statement is about."""
    every = (*film.happenings, *film.backdrop)
    return [h for h in every if is_called(h.clause.who, s.who) and h.clause.act == s.act]


def verify(film: Film, question: str, answer: str) -> dict[str, object]:
    """The verdict, as the verifier's reply."""
    pair = read_pair(question, answer)
    for criterion, check in CHECKS:
        if reason := check(film, pair):
            return {"reason": reason, "criterion": criterion, "accepted": False}
    return {"reason": "The captions bear it out.", "criterion": "", "accepted": True}


def _hallucination(film: Film, pair: Pair) -> str:
    for s in (*pair.posed, *pair.stated):
        named = [s.who, *(t for t in things(s.act) if kind(t) != "thing")]
        for name in named:
            if not any(is_called(x, name) for x in (*film.subjects, "it", "place", "weather")):
                return f"The captions show no {name}."
        if strange := [x for x in words(s.act) if x not in film.words | ASKING_WORDS]:
            return f"The captions do not speak of {strange[0]!r}."
    for word in (*pair.left, *pair.rest):
        if word not in film.words | ASKING_WORDS | _OPINION and not word.isdigit():
            return f"The captions do not speak of {word!r}."
    return ""


def _accuracy(film: Film, pair: Pair) -> str:
    for s in (*pair.posed, *pair.stated):
        if s.act and not held(film, s):
            return f"No caption says that {s.who or 'anybody'} {s.act}."
    if not pair.answer.strip(" ."):
        return "There is no answer."
    if unclear := [x for x in pair.rest if x in ASKING_WORDS - film.words and x not in _JOINING]:
        return f"No caption says what the answer does with {unclear[0]!r}."
    if _WHY.search(pair.question) and not pair.whole:
        return "The answer names no reason."
    if re.match(r"(?:who|which person)\b", pair.question) and not pair.stated:
        return "The answer names nobody."
    if len(pair.whole) == 1 and pair.whole[0][:2] in [s[:2] for s in pair.named]:
        return "The answer repeats the question."
    return _wrong_order(pair) or _wrong_things(film, pair)


def _wrong_order(pair: Pair) -> str:
    """What is put in order is to be what the question names, or of whom it names."""
    if not _ORDER.search(pair.question) or not pair.whole:
        return ""
    stated, named = {s[:2] for s in pair.whole}, {s[:2] for s in pair.named}
    if len(named) > 1 and named != stated:
        return "The answer does not order just what the question names."
    others = [s.who for s in pair.whole if pair.posed and not is_called(s.who, pair.posed[0].who)]
    if not named and others:
        return f"The question is not about {others[0]}."
    return "" if len(stated) > 1 else "The answer names no order."


def _wrong_things(film: Film, pair: Pair) -> str:
    """Things that are named alone: what links two is in the deeds of both, an ingredient in those
    of the cook, in that order."""
    items = re.findall(rf"\b({OBJECTS})\b", pair.answer)
    people = list(dict.fromkeys(s.who for s in pair.posed if s.who))
    if pair.whole or not items or not people:
        return ""
    if "ingredient" in pair.question:
        people = people[:1]
        items = re.findall(rf"right after the ({OBJECTS})", pair.question) + items
    for who in people:
        deeds = [h for h in film.events if is_called(h.clause.who, who) and things(h.clause.act)]
        done = [things(h.clause.act)[0] for h in deeds]
        if missing := [x for x in items if x not in done]:
            return f"{who} has nothing to do with the {missing[0]}."
        if "right after" in pair.question and tuple(items) not in pairwise(done):
            return f"The {items[-1]} does not come right after the {items[0]}."
    return ""


def _continuity(film: Film, pair: Pair) -> str:
    """Order and course: in the answer, between question and answer, within the question."""
    in_order = _ORDER.search(pair.question) or _THEN.search(pair.answer)
    for a, b in pairwise(pair.stated if in_order else ()):
        if not _before(film, a, b):
            return f"It is not so that first {a.who} {a.act}, then {b.who} {b.act}."
    return _wrong_tie(film, pair) or _wrong_cause(film, pair)


def _wrong_tie(film: Film, pair: Pair) -> str:
    """What comes before or after what the question names behind that word."""
    tie = _TIE.search(pair.question)
    later = [s for s in pair.named if tie and s.start >= tie.end()]
    earlier = [s for s in pair.named if tie and s.start < tie.start()] or pair.whole[:1]
    if not tie or not later or not earlier:
        return ""
    first, second = (earlier[0], later[0]) if tie["tie"] == "before" else (later[0], earlier[0])
    near = bool(tie["near"]) or "next" in words(pair.question)
    if _before(film, first, second, near=near) and not _felt_since(film, first, second):
        return ""
    return f"{second.who} {second.act} does not come after {first.who} {first.act}."


def _felt_since(film: Film, first: Statement, second: Statement) -> bool:
    """Whether somebody whose mood is stated had another one in between."""
    if second.act.removeprefix("is ") not in MOODS:
        return False
    moods = [h.start for h in film.happenings if h.clause.mood and h.clause.who == second.who]
    return not any(
        x.start < y.start and not any(x.start < m < y.start for m in moods)
        for x in held(film, first)
        for y in held(film, second)
    )


def _wrong_cause(film: Film, pair: Pair) -> str:
    """A cause comes right before its effect, or anywhere before where a pattern ties the two."""
    if not pair.named or not pair.whole:
        return ""
    cause, effect = pair.whole[0], pair.named[0]
    if _LEADS.search(pair.question):
        cause, effect = effect, cause
    elif not _WHY.search(pair.question):
        return ""
    both = ((a, b) for a in held(film, cause) for b in held(film, effect))
    known = any(leads_to(a.clause, b.clause) for a, b in both)
    if cause.act in IDLE or not _before(film, cause, effect, near=not known):
        return f"{effect.who} {effect.act} does not follow from it that {cause.who} {cause.act}."
    return ""


def _before(film: Film, a: Statement, b: Statement, *, near: bool = False) -> bool:
    """Whether a run of a starts before a run of b; near: with no other event starting between.
    Names alone are compared by their first sight."""
    starts = {h.start for h in film.events}
    return any(
        x < y and not (near and any(x < s < y for s in starts))
        for x in _starts(film, a)
        for y in _starts(film, b)
    )


def _starts(film: Film, s: Statement) -> list[int]:
    if s.act:
        return [h.start for h in held(film, s)]
    return [h.start for h in film.happenings if is_called(h.clause.who, s.who)][:1]


def _subjective(film: Film, pair: Pair) -> str:
    if opinions := [x for x in (*pair.left, *pair.rest) if x in _OPINION]:
        return f"{opinions[0]!r} is a matter of opinion."
    return "It asks for an opinion." if _OPEN.match(pair.question) else ""


def _single(film: Film, pair: Pair) -> str:
    if len({s.text for s in film.shots}) < 2:
        return "There is one caption only."
    if not _SEVERAL.search(pair.question):
        return "It asks for what one caption shows."
    return ""


CHECKS: tuple[tuple[str, Callable[[Film, Pair], str]], ...] = (
    ("hallucination", _hallucination),
    ("accuracy", _accuracy),
    ("continuity", _continuity),
    ("subjective", _subjective),
    ("single frame", _single),
)

Place = tuple[int, Clause | None]
"""A caption, by its position from 0, and the clause of it that counts."""


def annotate(film: Film, question: str, answer: str) -> dict[str, object]:
    """Core captions in time order and evidence on them; the answer's own sentence comes last."""
    pair = read_pair(question, answer)
    stated = _placed(film, pair.whole)
    places = [*(p for p in _placed(film, pair.named) if p not in stated), *stated]
    if len({at for at, _ in places}) < 2:
        nearest = _nearest(film, words(f"{question} {answer}"))
        places += [(at, None) for at in nearest if at not in {a for a, _ in places}]
    core: list[int] = []
    for at, _ in (*stated, *places):
        core += [] if at in core or len(core) == MOST_CORE else [at]
    kept = [p for p in places if p[0] in core]
    last = [p for p in kept if p in stated] or kept[-1:]
    ordered = sorted(p for p in kept if p not in last) + sorted(last)
    core.sort()
    return {
        "core": [film.shots[at].text for at in core],
        "evidence": [
            {
                "text": sentence(c.text if c else film.shots[at].text.rstrip(" .")),
                "core": core.index(at) + 1,
                "items": _items(film, at, c),
            }
            for at, c in ordered
        ],
    }


def _placed(film: Film, statements: Sequence[Statement]) -> list[Place]:
    """Where each statement starts to hold, with the caption's own clause."""
    places = [(h.start, h.clause) for s in statements for h in held(film, s)[:1]]
    return list(dict.fromkeys(places))


def _nearest(film: Film, wanted: Sequence[str]) -> list[int]:
    """The two captions that share the rarest words with the pair, where no clause was placed."""
    texts = [set(words(shot.text)) for shot in film.shots]
    often = {x: sum(x in text for text in texts) for x in set(wanted) - ASKING_WORDS}
    # exact, for the order of a set changes from process to process and with it a rounded sum
    weights = [math.fsum(1 / often[x] for x in often.keys() & text) for text in texts]
    first = {shot.text: at for at, shot in reversed(list(enumerate(film.shots)))}
    return sorted((at for at in first.values() if weights[at]), key=lambda at: (-weights[at], at))[
        :2
    ]


def _items(film: Film, at: int, clause: Clause | None) -> list[str]:
    """Key items as the caption calls them: who it is about, and with what."""
    named = [
        n for c in ([clause] if clause else film.shots[at].clauses) for n in (c.who, *things(c.act))
    ]
    plain = film.shots[at].text.casefold()
    return [n for n in dict.fromkeys(named) if n != "it" and n in plain]
