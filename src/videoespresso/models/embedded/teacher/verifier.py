"""The verifier's rules: is a pair, whoever wrote it, borne out by the captions?

The criteria are checked in the prompt's order, and the first that is violated is named.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from videoespresso.models.embedded.teacher import words as w
from videoespresso.models.embedded.teacher.claims import (
    NEUTRAL,
    Claim,
    answer_claims,
    held,
    known_as,
    masked,
    question_claims,
)
from videoespresso.models.embedded.teacher.patterns import leads_to
from videoespresso.models.embedded.teacher.reading import Film, kind, stems

_SEVERAL = re.compile(
    r"\b(?:after|before|then|order|why|because|reason|causes?|leads? to|result|consequence|changes?"
    r"|first|last|next|until|between|turns?|becomes?|follow\w*|one after the other|steps?"
    r"|influence\w*|affect\w*|effects?|makes?|links?|in common|both|reacts?|responds?|begins?|ends?"
    r"|once|ahead|sets? off|from \w+ to)\b"
)
"""Words of questions that one caption cannot answer."""
_FORWARD = re.compile(
    r"\b(?:leads? to|result when|result of|consequence|happens because|influence|affected|effect)\b"
)
_BACKWARD = re.compile(
    r"^(?:why|.*\b(?:reason|makes|turns|sets off|brings|causes?|under which influence|so that)\b)"
)
_BEGIN = re.compile(r"\b(?:begin|start)s?\?*$|\bcomes first\b|\bfirst (?:vehicle|event|thing)\b")
_END = re.compile(r"\bends?\?*$|\bcomes last\b|\blast (?:vehicle|event|thing)\b")
_LINK = re.compile(r"\b(?:links?|both|in common|connects?)\b")
_OPEN = re.compile(
    r"^(?:do you|would you|should|is it (?:good|nice)|what if|what might|what could)\b"
)


class Pair(NamedTuple):
    """A pair taken apart. wh: how it asks; asked, told: what question and answer claim."""

    question: str
    answer: str
    wh: str
    asked: list[Claim]
    told: list[Claim]


def verify(film: Film, question: str, answer: str) -> dict[str, object]:
    """The verdict, as the verifier's reply."""
    pair = take_apart(film, question, answer)
    for criterion, check in _CHECKS:
        if reason := check(film, pair):
            return {"reason": reason, "criterion": criterion, "accepted": False}
    return {"reason": "The captions bear it out.", "criterion": "", "accepted": True}


def take_apart(film: Film, question: str, answer: str) -> Pair:
    """A pair with the answer's claims completed by what the question asks for."""
    wh, asked = question_claims(question, film)
    told = answer_claims(answer, film)
    plain = w.plain(answer).strip(" .!?")
    if mood := next((m for m in w.words(plain) if m in w.MOODS), ""):
        who = next((c.who for c in asked if not c.tie and c.who), "")
        if who and not any(c.act for c in told):
            told = [Claim(who, f"is {mood}")]
    named = next((c.who for c in asked if c.who), "")
    told = [c._replace(who=named) if c.act and not c.who else c for c in told]
    main = next((c for c in asked if not c.tie), None)
    if main and main.act and not main.who and told and not told[0].act:
        told = [Claim(c.who, main.act, c.tie) for c in told]
    return Pair(w.plain(question), plain, wh, asked, told)


def _hallucination(film: Film, pair: Pair) -> str:
    for claim in (*pair.asked, *pair.told):
        strange = set(stems(claim.who)) - film.stems - NEUTRAL
        if strange and not _named(claim.who, film):
            return f"The captions show no {claim.who}."
    known = film.stems | NEUTRAL | {w.stem(o) for o in w.OPINION}
    asking = {"cooking"}  # its stem is a person's name, unless somebody is called so
    if not re.search(r"\b(?:the|a) cooks?\b", f"{pair.question} {pair.answer}"):
        asking |= {"cook", "cooks"}
    known |= {"start"} if "rain" in film.stems or "snow" in film.stems else set()
    for word in w.words(f"{pair.question} {pair.answer}"):
        if w.stem(word) not in known and word not in asking and not word.isdigit():
            return f"The captions do not speak of {word!r}."
    return _misnamed(film, f"{pair.question} {pair.answer}")


def _named(who: str, film: Film) -> bool:
    return bool(known_as(who, (*film.subjects, *film.objects)))


def _misnamed(film: Film, text: str) -> str:
    """A colour beside a noun which no caption has beside it."""
    seen = {_sign(s.text) for s in film.shots}
    for found in re.finditer(rf"\b(\w+ in )?({'|'.join(sorted(w.COLORS))})\b( \w+)?", text):
        before, color, after = found.groups()
        noun = w.stem(after.strip()) if after else ""
        name = f"{before}{color}" if before else f"{color}{after or ''}"
        if (before or noun not in NEUTRAL) and not any(_sign(name) in s for s in seen):
            return f"The captions show no {name}."
    return ""


def _sign(text: str) -> str:
    return f" {' '.join(map(w.stem, w.words(text)))} "


def _accuracy(film: Film, pair: Pair) -> str:
    for claim in (*pair.asked, *pair.told):
        if claim.act and not held(claim, film):
            return f"No caption says that {claim.who or 'anybody'} {claim.act}."
    if not pair.answer:
        return "There is no answer."
    if pair.wh == "why" and not any(c.full for c in pair.told):
        return "The answer names no reason."
    if pair.wh in ("who", "which person") and not pair.told:
        return "The answer names nobody."
    if "order" in pair.wh:
        return _incomplete(film, pair)
    if _LINK.search(pair.question) and (reason := _unlinked(film, pair)):
        return reason
    mains = [c for c in pair.asked if c.full]
    if len(pair.told) == 1 and pair.told[0].full and _same(pair.told[0], mains):
        return "The answer repeats the question."
    return ""


def _unlinked(film: Film, pair: Pair) -> str:
    """A thing that links two is to be in what each of them does."""
    for thing in (c.who for c in pair.told if c.who in film.objects):
        for who in (s for s in film.subjects if re.search(rf"\b{re.escape(s)}\b", pair.question)):
            deeds = [h.clause for h in film.happenings if h.clause.who == who]
            if not any(set(stems(thing)) <= set(deed.stems) for deed in deeds):
                return f"{who} has nothing to do with the {thing}."
    return ""


def _same(claim: Claim, others: Sequence[Claim]) -> bool:
    return any(c.who == claim.who and c.act == claim.act for c in others)


def _incomplete(film: Film, pair: Pair) -> str:
    named = {tuple(held(c, film)) for c in pair.asked if c.full}
    told = {tuple(held(c, film)) for c in pair.told if c.full}
    if len(named) > 1 and named != told:
        return "The answer does not order just what the question names."
    return "" if len(pair.told) > 1 else "The answer names no order."


def _continuity(film: Film, pair: Pair) -> str:
    """Order and course: in the answer, between question and answer, within the question."""
    told = [c for c in pair.told if c.full]
    if len(told) > 1 and any(c.tie in ("then", "") for c in told[1:]) and _ordered_asked(pair):
        for a, b in pairwise(told):
            if not _before(film, a, b):
                return f"It is not so that first {a.who} {a.act}, then {b.who} {b.act}."
    if reason := _entering(film, pair.told):
        return reason
    main = next((c for c in pair.asked if not c.tie and c.act), None)
    ends = [c for c in pair.told if c.full or held(c, film)]
    ends = ends if main is None or not main.who else [main]
    asked = [c for c in pair.asked if c.full or held(c, film)]
    for sub in (c for c in asked if c.tie in ("after", "before")):
        for end in ends[:1]:
            first, second = (sub, end) if sub.tie == "after" else (end, sub)
            near = sub.near or "next" in pair.question
            if not _before(film, first, second, near=near) or _felt_since(film, first, second):
                return f"{second.who} {second.act} does not come after {first.who} {first.act}."
    return _cause(film, pair, told) or _edge(film, pair, [c for c in pair.told if c.who])


def _entering(film: Film, told: Sequence[Claim]) -> str:
    """Names alone, one "then" the other: they are to come in that order."""
    for a, b in pairwise(told):
        if a.who and b.who and not a.act and not b.act and b.tie == "then":
            (first, _), (second, _) = _entries(film, a.who), _entries(film, b.who)
            if not first or not second or min(first) >= min(second):
                return f"{b.who} does not come after {a.who}."
    return ""


def _felt_since(film: Film, first: Claim, second: Claim) -> bool:
    """Whether somebody whose mood is told had another one in between."""
    if not second.clause.mood:
        return False
    moods = [h for h in film.happenings if h.clause.mood and h.clause.who == second.who]
    ends = [h.start for h in held(second, film)]
    return not any(
        x.start < y and not any(x.start < m.start < y for m in moods)
        for x in held(first, film)
        for y in ends
    )


def _ordered_asked(pair: Pair) -> bool:
    return "first" in pair.answer or "then" in pair.answer.split() or "order" in pair.wh


def _cause(film: Film, pair: Pair, told: Sequence[Claim]) -> str:
    given = [c for c in pair.asked if c.full]
    if given and not told and _FORWARD.search(pair.question):
        return _unaffected(film, given[0], pair.told)
    if not given or not told:
        return ""
    if _BACKWARD.match(pair.question):
        cause = next((c for c in told if c.tie in ("because", "since")), told[0])
        effect = given[0]
    elif _FORWARD.search(pair.question):
        cause, effect = given[0], told[0]
    else:
        return ""
    if cause.clause.idle:
        return f"That {cause.who} {cause.act} brings about nothing."
    far = "chain" in pair.question or _known(film, cause, effect)
    if not _before(film, cause, effect, near=not far):
        return f"{effect.who} {effect.act} does not follow from it that {cause.who} {cause.act}."
    return ""


def _unaffected(film: Film, cause: Claim, named: Sequence[Claim]) -> str:
    """Who is said to be affected is to be the next who does or feels something."""
    for who in (c.who for c in named if c.who in film.subjects):
        effects = [Claim(who, h.clause.act) for h in film.events if h.clause.who == who]
        if not any(
            _before(film, cause, effect, near=not _known(film, cause, effect)) for effect in effects
        ):
            return f"Nothing happens to {who} when {cause.who} {cause.act}."
    return ""


def _known(film: Film, cause: Claim, effect: Claim) -> bool:
    """Whether a pattern ties the two, as the captions tell them."""
    pairs = ((a, b) for a in held(cause, film) for b in held(effect, film))
    return any(leads_to(a.clause, b.clause) for a, b in pairs)


def _edge(film: Film, pair: Pair, told: Sequence[Claim]) -> str:
    """The beginning is the first thing that happens, the end the last; of vehicles, that comes."""
    first, last = _BEGIN.search(pair.question), _END.search(pair.question)
    if not told or "order" in pair.wh or not (first or last):
        return ""
    cooks = "cook" in w.words(pair.question) or "cooking" in pair.question
    events = [h for h in film.events if not cooks or {*h.clause.stems[:1]} & w.COOKING]
    where, starts = {h.start for h in held(told[0], film)}, sorted({h.start for h in events})
    if not told[0].act:
        where, starts = _entries(film, told[0].who)
    if first and starts and starts[0] not in where:
        return "That is not how it begins."
    return "That is not how it ends." if last and starts and starts[-1] not in where else ""


def _entries(film: Film, who: str) -> tuple[set[int], list[int]]:
    """Where somebody is seen first, and where those of the same kind are, in order."""
    first: dict[str, int] = {}
    for h in film.happenings:
        if kind(h.clause.who) == kind(who):
            first.setdefault(h.clause.who, h.start)
    return {first[who]} if who in first else set(), sorted(first.values())


def _before(film: Film, a: Claim, b: Claim, *, near: bool = False) -> bool:
    """Whether a run of a starts before a run of b; near: with no other event starting between."""
    starts = sorted({h.start for h in film.events})
    pairs = ((x.start, y.start) for x in held(a, film) for y in held(b, film))
    return any(
        first < second and not (near and any(first < s < second for s in starts))
        for first, second in pairs
    )


def _subjective(film: Film, pair: Pair) -> str:
    found = next((x for x in w.words(f"{pair.question} {pair.answer}") if x in w.OPINION), "")
    if found:
        return f"{found!r} is a matter of opinion."
    return "It asks for an opinion." if _OPEN.match(pair.question) else ""


def _single(film: Film, pair: Pair) -> str:
    if len({s.text for s in film.shots}) < 2:
        return "There is one caption only."
    if not _SEVERAL.search(masked(f"{pair.question} {pair.answer}", film)):
        return "It asks for what one caption shows."
    return ""


_CHECKS: tuple[tuple[str, Callable[[Film, Pair], str]], ...] = (
    ("hallucination", _hallucination),
    ("accuracy", _accuracy),
    ("continuity", _continuity),
    ("subjective", _subjective),
    ("single frame", _single),
)
