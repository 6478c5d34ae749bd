"""The distractor's rules: the right answer with one thing in it made wrong.

alternatives.json says what can stand for what, and how often each phrase is the right answer, or a
part of it, among 17,821 pairs about the theatre's stories 0 to 2,999. Wrong answers are drawn by
that, so that a word tells little about whether the answer with it is right: whoever has never seen
the video should not be able to guess.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from importlib.resources import files
from itertools import permutations, zip_longest
from typing import Any

from videoespresso.models.embedded.teacher.captions import Film, kind, words
from videoespresso.models.embedded.teacher.verifier import read_pair, verify

Weights = dict[str, float]
"""Phrases of which one can stand for another, and how often each is right."""


@cache
def _alternatives() -> Any:
    """alternatives.json. names: of persons and of vehicles; deeds: what persons, animals and things
    do; events: what things and animals do; kinds: words of which one in an answer is made wrong by
    another."""
    return json.loads(files(__package__).joinpath("alternatives.json").read_text(encoding="utf-8"))


_ELSEWHERE = 1000.0
"""How often a name is right that is none of the tables': the captions' own names come first."""
_NEXT = re.compile(r", and at last |, then ")
_PARTS = re.compile(rf"{_NEXT.pattern}| to ")
_TRIED = 8
"""Places of an answer in which three errors are looked for."""
_SAME = (0.5, 2.0)
"""A wrong answer has between half and twice the right one's words."""


Candidate = tuple[str, str]
"""An answer that may be wrong, and what would be wrong with it."""


def distract(film: Film, question: str, answer: str, count: int, seed: str) -> dict[str, object]:
    """`count` wrong answers, fewer where the answer has nothing that can be made wrong.

    What the answer says anew is changed before what it takes from the question. All are wrong in
    the same place where one place gives enough: with errors in several places the right answer is
    the one most like the others, and can be found without a video. seed: decides which of the
    possible errors are made.
    """
    rng = random.Random(seed)
    fits = cache(partial(_wrong, film, question, answer))  # a candidate may come up twice
    pools = _pools(film, question, answer, rng)
    mixed = [c for row in zip_longest(*pools) for c in row if c]
    for pool in (*pools[:_TRIED], mixed):
        wrong = _usable(pool, count, fits)
        if len(wrong) == count:
            break
    return {"wrong": [{"text": text, "error": error} for text, error in wrong]}


def _usable(
    candidates: Sequence[Candidate], count: int, fits: Callable[[str], bool]
) -> list[Candidate]:
    """The first `count` that are wrong and different."""
    chosen: dict[str, Candidate] = {}
    for text, error in candidates:
        if len(chosen) == count:
            break
        if text.casefold() not in chosen and fits(text):
            chosen[text.casefold()] = text, error
    return list(chosen.values())


def _pools(film: Film, question: str, answer: str, rng: random.Random) -> list[list[Candidate]]:
    """Other orders of its steps, then candidates for each place where something else can stand:
    what the question does not say first."""
    orders = list(_orders(answer))
    text = question.casefold()
    swapped: list[tuple[bool, list[Candidate]]] = []
    for right, table in _swaps(film, text, answer):
        for place in re.finditer(rf"\b{re.escape(right)}\b", answer, re.IGNORECASE):
            pool = [
                (_with(answer, place, new), f"{new!r} instead of {right!r}")
                for new in drawn(table, right, rng)
            ]
            swapped.append((right in text, pool))
    swapped = sorted(rng.sample(swapped, len(swapped)), key=lambda s: s[0])
    return [rng.sample(orders, len(orders)), *(pool for _, pool in swapped)]


def _orders(answer: str) -> Iterator[Candidate]:
    """The steps of an answer in other orders."""
    body = answer.rstrip(".")
    if turned := re.fullmatch(r"From (.+) to (.+)", body):
        yield f"From {turned[2]} to {turned[1]}.", "the order is turned round"
    parts = _NEXT.split(body.removeprefix("First "))
    joints = _NEXT.findall(body)
    if body.startswith("First ") and len(parts) <= 5:
        for order in permutations(parts):
            rest = "".join(j + p for j, p in zip(joints, order[1:], strict=True))
            if list(order) != parts:
                yield f"First {order[0]}{rest}.", "the order is wrong"


def _swaps(film: Film, question: str, answer: str) -> Iterator[tuple[str, Weights]]:
    """(what the answer says, what can stand there, itself included): whole names, whole deeds and
    events, and then words of a kind."""
    plain = answer.casefold()
    named = [s for s in film.subjects if _says(plain, s)]
    names = [s for s in named if not any(s != o and s in o for o in named)]
    for name in names:
        # whom the question names is seldom asked for
        alike = _names_like(name, film).items()
        yield name, {n: often for n, often in alike if n == name or not _says(question, n)}
    deeds = [
        swap for s in read_pair("", answer).whole for swap in _deeds_like(s.who, s.act, question)
    ]
    yield from deeds
    rest = plain  # words of what was exchanged as a whole are not exchanged alone
    for phrase in (*filter(_is_whole, names), *(deed for deed, _ in deeds)):
        rest = re.sub(rf"\b{re.escape(phrase)}\b", " ", rest)
    for table in _alternatives()["kinds"]:
        for word in table:
            if _says(rest, word) and not (word == "rain" and "starts to" in plain):
                yield word, table


def _is_whole(name: str) -> bool:
    """Whether the name as a whole is exchanged, and none of its words."""
    return name in _alternatives()["names"].get(kind(name), {})


def _names_like(name: str, film: Film) -> Weights:
    """A subject and who or what can stand for it: subjects of these captions, and of the theatre
    where the name is one of its own."""
    table: Weights = _alternatives()["names"].get(kind(name), {})
    table = table if name in table else {}
    here = [s for s in film.subjects if kind(s) == kind(name)]
    return dict.fromkeys(here, _ELSEWHERE) | table | {name: table.get(name, _ELSEWHERE)}


def _deeds_like(who: str, act: str, question: str) -> Iterator[tuple[str, Weights]]:
    """(what a clause says, what can stand for it): the event as a whole, where the question does
    not name who it is about, or its deed."""
    event = f"{'it' if who == 'it' else f'the {who}'} {act}"
    events = _alternatives()["events"]
    if event in events and not _says(question, who):
        yield event, events
    for table in _alternatives()["deeds"].get(kind(who), ()):
        for deed in table:
            if act == deed or act.startswith(f"{deed} to "):
                yield deed, table


def _says(text: str, phrase: str) -> bool:
    """Whether a text has a phrase, as whole words."""
    return re.search(rf"\b{re.escape(phrase)}\b", text) is not None


def drawn(table: Weights, right: str, rng: random.Random) -> list[str]:
    """All that can stand for what is right, in a random order: what is right more often rather
    comes first."""
    others = (phrase for phrase in table if phrase != right)
    return sorted(others, key=lambda phrase: rng.random() ** (1 / table[phrase]), reverse=True)


def _with(answer: str, place: re.Match[str], new: str) -> str:
    """The answer with another phrase in that place."""
    word = new[:1].upper() + new[1:] if place[0][:1].isupper() else new
    return answer[: place.start()] + word + answer[place.end() :]


def _wrong(film: Film, question: str, answer: str, text: str) -> bool:
    """Whether a candidate is false by the captions and of the answer's form."""
    right, plain = (" ".join(words(t)) for t in (answer, text))
    parts = [p.strip(" .").casefold() for p in _PARTS.split(re.sub("^(?:First|From) ", "", text))]
    share = len(text.split()) / len(answer.split())
    twice = any(plain.count(s) > max(1, right.count(s)) for s in film.subjects)
    if plain in right or right in plain or len(set(parts)) < len(parts) or twice:
        return False
    return _SAME[0] <= share <= _SAME[1] and not verify(film, question, text)["accepted"]
