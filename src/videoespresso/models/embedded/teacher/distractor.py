"""The distractor's rules: the right answer with one thing in it made wrong."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import permutations, zip_longest
from typing import NamedTuple

from videoespresso.models.embedded.teacher import words as w
from videoespresso.models.embedded.teacher.alternatives import (
    KINDS,
    Weights,
    deeds_like,
    drawn,
    evenness,
    names_like,
    says,
    whole,
)
from videoespresso.models.embedded.teacher.claims import held
from videoespresso.models.embedded.teacher.reading import Film, things
from videoespresso.models.embedded.teacher.verifier import take_apart, verify

_OBJECTS = ("chair", "bag", "bottle", "rope", "ladder")
"""For answers whose words are all unknown: these come last."""
_NEXT = re.compile(r",? and at last |,? and finally |, then |,? and then ")
_PARTS = re.compile(rf"{_NEXT.pattern}| to ")
_TRIED = 8
"""Places of an answer in which three errors are looked for, so that a caption of a thousand words
takes no longer."""
_SAME = (0.5, 2.0)
"""A wrong answer has between half and twice the right one's words."""


class _Candidate(NamedTuple):
    """An answer that may be wrong. error: what would be; new: what was put in."""

    text: str
    error: str
    new: str


class _Pool(NamedTuple):
    """Candidates that differ from the right answer in one place. table: what can stand there."""

    candidates: list[_Candidate]
    right: str = ""
    table: Weights | None = None

    def evenness(self, wrong: Sequence[_Candidate]) -> float:
        """See `alternatives.evenness`; an order of steps is as likely as any other."""
        return evenness(self.table, self.right, [c.new for c in wrong]) if self.table else 1.0


def distract(film: Film, question: str, answer: str, count: int, seed: str) -> dict[str, object]:
    """`count` wrong answers, fewer where the answer has nothing that can be made wrong.

    What the answer says anew is changed before what it takes from the question. All are wrong in
    the same place where one place gives enough: with errors in several places the right answer is
    the one most like the others, and can be told without a video. Of the places one is preferred
    where the right answer is no likelier than the wrong ones. seed: decides which of the possible
    errors are made.
    """
    rng = random.Random(seed)
    fits = cache(partial(_wrong, film, question, answer))  # a candidate may come up twice
    pools = _pools(film, question, answer, rng)
    best: list[_Candidate] = []
    most = 0.0
    for pool in pools[:_TRIED]:
        wrong = _usable(pool.candidates, count, fits)
        even = pool.evenness(wrong) if len(wrong) == count else 0.0
        if even > most:
            best, most = wrong, even
        if rng.random() < even:
            best = wrong
            break
    if not best:
        rows = zip_longest(*(pool.candidates for pool in pools))
        best = _usable((c for row in rows for c in row if c), count, fits)
    return {"wrong": [{"text": c.text, "error": c.error} for c in best]}


def _usable(
    candidates: Iterable[_Candidate], count: int, fits: Callable[[str], bool]
) -> list[_Candidate]:
    """The first `count` that are wrong and different."""
    chosen: dict[str, _Candidate] = {}
    for candidate in candidates:
        if len(chosen) == count:
            break
        if _words(candidate.text) not in chosen and fits(candidate.text):
            chosen[_words(candidate.text)] = candidate
    return list(chosen.values())


def _pools(film: Film, question: str, answer: str, rng: random.Random) -> list[_Pool]:
    """Other orders of its steps, then a pool for each place where something else can stand: what
    the question does not say first, words that no kind has last."""
    orders = list(_orders(answer))
    asked = w.plain(question)
    pools = [_Pool(rng.sample(orders, len(orders)))]
    later = []
    for swaps in (_swaps(film, asked, answer), _unknown(film, answer)):
        some: list[tuple[bool, _Pool]] = []
        for right, table in swaps:
            for place in _places(answer, right):
                news = drawn(table, right, rng)
                told = ((_with(answer, place, new), new) for new in news)
                found = [_Candidate(t, f"{new!r} instead of {right!r}", new) for t, new in told]
                some.append((right in asked, _Pool(found, right, table)))
        some = rng.sample(some, len(some))
        pools += [pool for given, pool in some if not given]
        later += [pool for given, pool in some if given]
    return pools + later


def _orders(answer: str) -> Iterator[_Candidate]:
    """The steps of an answer in other orders."""
    body = answer.rstrip(".")
    turned = re.fullmatch(r"(From )(.+)( to )(.+)", body)
    if turned:
        yield _Candidate(f"From {turned[4]} to {turned[2]}.", "the order is turned round", "")
    lead = "First " if body.casefold().startswith("first ") else ""
    parts = _NEXT.split(body.removeprefix(lead))
    if not 1 < len(parts) <= 5:
        return
    if not lead:
        parts = [parts[0][:1].lower() + parts[0][1:], *parts[1:]]
    joints = _NEXT.findall(body)
    for order in permutations(parts):
        if list(order) != parts:
            told = order[0] + "".join(j + p for j, p in zip(joints, order[1:], strict=True))
            text = f"{lead}{told}" if lead else told[:1].upper() + told[1:]
            yield _Candidate(f"{text}.", "the order is wrong", "")


def _swaps(film: Film, asked: str, answer: str) -> Iterator[tuple[str, Weights]]:
    """(what the answer says, what can stand there, itself included): whole names, whole deeds and
    events, and then words of a kind."""
    plain = w.plain(answer)
    names = _named(film, plain)
    for name in names:
        # whom the question names is seldom asked for
        alike = names_like(name, film).items()
        yield name, {n: often for n, often in alike if n == name or not says(asked, n)}
    deeds = [
        found
        for claim in take_apart(film, "", answer).told
        if claim.full
        for found in deeds_like(claim.clause, asked)
    ]
    yield from deeds
    rest = plain  # words of what was exchanged as a whole are not exchanged alone
    for phrase in (*filter(whole, names), *(deed for deed, _ in deeds)):
        rest = re.sub(rf"\b{re.escape(phrase)}\b", " ", rest)
    for table in KINDS:
        for word in table:
            if says(rest, word) and not ("starts to" in plain and word in w.WEATHERS):
                yield word, table


def _named(film: Film, plain: str) -> list[str]:
    """The subjects that an answer names; of "boy in blue" and "boy" the longer."""
    named = [s for s in film.subjects if says(plain, s)]
    return [s for s in named if not any(s != o and s in o for o in named)]


def _unknown(film: Film, answer: str) -> Iterator[tuple[str, Weights]]:
    """The same for things that no kind of words has."""
    plain = w.plain(answer)
    names = _named(film, plain)
    acts = [c.act for c in take_apart(film, "", answer).told if c.act] or [plain.strip(" .")]
    seen = [
        t for s in film.shots for c in s.clauses for t in things(c.act) if t not in film.subjects
    ]
    for thing in dict.fromkeys(t for act in acts for t in things(act)):
        if not any(thing in words for words in KINDS) and thing not in names:
            yield thing, dict.fromkeys((thing, *seen, *_OBJECTS), 1.0)


def _places(answer: str, old: str) -> list[re.Match[str]]:
    """Where the answer says a phrase."""
    return list(re.finditer(rf"\b{re.escape(old)}\b", answer, re.IGNORECASE))


def _with(answer: str, place: re.Match[str], new: str) -> str:
    """The answer with another phrase in that place, with its article and capital mended."""
    word = new[:1].upper() + new[1:] if place[0][:1].isupper() else new
    text = answer[: place.start()] + word + answer[place.end() :]
    text = re.sub(r"\b([Aa])n? (?=[aeio]|um)", r"\1n ", text)
    return re.sub(r"\b([Aa])n (?=[^aeiou\W])", r"\1 ", text)


def _wrong(film: Film, question: str, answer: str, text: str) -> bool:
    """Whether a candidate is false by the captions and of the answer's form."""
    right, plain = _words(answer), _words(text)
    if plain in right or right in plain:
        return False
    parts = [_words(p).removeprefix("first ").removeprefix("from ") for p in _PARTS.split(text)]
    if len(set(parts)) < len(parts):
        return False
    share = len(text.split()) / len(answer.split())
    if not _SAME[0] <= share <= _SAME[1] or _twice(film, text, answer):
        return False
    if verify(film, question, text)["accepted"]:
        return False
    if verify(film, question, answer)["accepted"]:
        return True
    told = take_apart(film, question, text).told  # the rules cannot judge the pair: be strict
    news = set(w.words(text)) - {x for s in film.shots for x in w.words(s.text)}
    return bool(news) or any(c.act and not held(c, film) for c in told)


def _twice(film: Film, text: str, answer: str) -> bool:
    """Whether somebody is named twice who was not: "gives the box to" himself."""
    told, right = w.plain(text), w.plain(answer)
    return any(
        told.count(s) > 1 and right.count(s) < told.count(s)
        for s in (*film.subjects, *film.objects)
    )


def _words(text: str) -> str:
    return " ".join(w.words(text))
