"""The distractor's rules: the right answer with one thing in it made wrong."""

import random
import re
from collections.abc import Iterable, Iterator
from functools import cache, partial
from itertools import permutations, zip_longest

from videoespresso.models.embedded.teacher import words as w
from videoespresso.models.embedded.teacher.claims import held
from videoespresso.models.embedded.teacher.reading import Film, kind, things
from videoespresso.models.embedded.teacher.verifier import take_apart, verify

_KINDS: tuple[tuple[str, ...], ...] = (
    ("man in blue", "woman in red", "boy in green", "girl in yellow", "man in white"),
    ("cook", "officer", "builder"),
    ("man", "woman", "boy", "girl"),
    ("dog", "cat", "bird"),
    ("car", "bus", "truck", "bicycle"),
    ("red", "blue", "green", "yellow", "white", "purple", "black", "brown"),
    ("happy", "sad", "angry", "surprised"),
    ("rain", "snow", "sun", "night"),
    ("street", "park", "kitchen", "room"),
    ("box", "balloon", "ball", "book", "gift"),
    ("carrot", "egg", "fish", "tomato", "onion", "cheese", "bread"),
    ("soup", "salad", "pizza", "cake"),
    ("logs", "boxes", "fruit", "sand"),
    ("chops", "boils", "fries", "mixes", "peels"),
    ("is on", "is off"),
    ("left", "right"),
    ("up", "down"),
    ("opens", "closes"),
    ("one", "two", "three", "four", "five"),
    ("vase", "lamp", "flower", "phone", "pan"),
    ("stops", "drives past", "turns around", "drives on"),
    ("waves", "walks", "runs away", "reads a book", "falls asleep", "opens an umbrella"),
    ("blooms", "wilts", "breaks"),
    ("crosses the road", "runs past", "sits down"),
    ("kicks the ball", "drops the box", "holds the balloon"),
    ("gives", "shows", "throws"),
    ("smokes", "boils over", "falls down"),
    ("rings", "falls down", "breaks"),
    ("flies away", "sits down", "falls asleep", "eats the bread"),
    ("it starts to rain", "it starts to snow", "the sun comes out", "it gets dark"),
)
"""Words of a kind: one of them in an answer is made wrong by another."""
_OBJECTS = ("chair", "bag", "bottle", "rope", "ladder")
"""For answers whose words are all unknown."""
_NEXT = re.compile(r",? and at last |,? and finally |, then |,? and then ")
_PARTS = re.compile(rf"{_NEXT.pattern}| to ")
_TRIED = 8
"""Places of an answer in which three errors are looked for, so that a caption of a thousand words
takes no longer."""
_SAME = (0.5, 2.0)
"""A wrong answer has between half and twice the right one's words."""


def distract(film: Film, question: str, answer: str, count: int, seed: str) -> dict[str, object]:
    """`count` wrong answers, fewer where the answer has nothing that can be made wrong.

    What the answer says anew is changed before what it takes from the question. All are wrong in
    the same place where one place gives enough: with errors in several places the right answer is
    the one most like the others, and can be told without a video. seed: decides which of the
    possible errors are made.
    """
    rng = random.Random(seed)
    asked = w.plain(question)
    fresh: list[list[tuple[str, str]]] = []
    given: list[list[tuple[str, str]]] = []
    for old, swaps in _swaps(film, answer):
        for place in _places(answer, old):
            found = [(_with(answer, place, new), f"{new!r} instead of {old!r}") for new in swaps]
            (given if old in asked else fresh).append(rng.sample(found, len(found)))
    orders = list(_orders(answer))
    orders = rng.sample(orders, len(orders))
    fits = cache(partial(_wrong, film, question, answer))  # a candidate may come up twice

    def taken(candidates: Iterable[tuple[str, str]]) -> dict[str, str]:
        chosen: dict[str, str] = {}
        for text, error in candidates:
            if len(chosen) == count:
                break
            if fits(text) and _words(text) not in map(_words, chosen):
                chosen[text] = error
        return chosen

    alike = [orders, *rng.sample(fresh, len(fresh)), *rng.sample(given, len(given))]
    told = next((c for pool in alike[:_TRIED] if len(c := taken(pool)) == count), None)
    if told is None:
        rows = (row for pools in ([orders], fresh, given) for row in zip_longest(*pools))
        told = taken(c for row in rows for c in row if c)
    return {"wrong": [{"text": text, "error": error} for text, error in told.items()]}


def _orders(answer: str) -> Iterator[tuple[str, str]]:
    """The steps of an answer in other orders."""
    body = answer.rstrip(".")
    turned = re.fullmatch(r"(From )(.+)( to )(.+)", body)
    if turned:
        yield f"From {turned[4]} to {turned[2]}.", "the order is turned round"
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
            yield f"{text}.", "the order is wrong"


def _swaps(film: Film, answer: str) -> Iterator[tuple[str, list[str]]]:
    """(what the answer says, what can stand for it): persons and things of these captions first,
    then words of the same kind."""
    plain = w.plain(answer)
    named = [s for s in film.subjects if _has(plain, s)]
    whole = [s for s in named if not any(s != o and s in o for o in named)]
    for name in whole:
        many = w.is_plural(name)
        alike = [
            s
            for s in film.subjects
            if kind(s) == kind(name) and w.is_plural(s) == many and s != name
        ]
        if kind(name) == "person" and not many:
            alike += [p for p in (*_KINDS[0], *_KINDS[1]) if p != name and p not in alike]
        yield name, alike
    for words in _KINDS[1:]:
        for word in words:
            if _has(plain, word):
                told = () if "starts to" in plain and word in w.WEATHERS else words
                yield word, [other for other in told if other != word]
    acts = [c.act for c in take_apart(film, "", answer).told if c.act] or [plain.strip(" .")]
    seen = [
        t for s in film.shots for c in s.clauses for t in things(c.act) if t not in film.subjects
    ]
    for thing in dict.fromkeys(t for act in acts for t in things(act)):
        if not any(thing in words for words in _KINDS) and thing not in whole:
            yield thing, [t for t in dict.fromkeys((*seen, *_OBJECTS)) if t != thing]


def _has(text: str, phrase: str) -> bool:
    return re.search(rf"\b{re.escape(phrase)}\b", text) is not None


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
