"""False options that are the right answer elsewhere, exactly as often as they are false.

What a question tells (its context) makes some answers likelier than others. If false options came
from anywhere, or came equally often, the likely answer would be the right one, and nobody had to
look. So each context has a law: how often each answer is right there, counted over many training
stories (`count.py` writes them into `answers.json`). With p the law and x the answer, three false
options are drawn with a probability in proportion to the product of their p; the sum of these
products over all triples without x is Z(x). The question is then kept with probability
Z(x) / max Z(option). What is left has probability prod p / max Z, whichever of the four is right:
given the question and its options, each is right one time in four.
"""

import functools
import itertools
import json
import math
import random
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from videoespresso.synthetic.scene import VEHICLES
from videoespresso.synthetic.stories import CARGOES, PAINTS, ROLES, SHIRTS, Story

ENOUGH = 150
"""Answers counted in a context, below which a coarser one is looked at."""
LEAST = 0.03
"""Share of the most frequent answer's count, below which an answer is left out: too few to know."""
TABLE = Path(__file__).with_name("answers.json")
_SMALL = 14
"""Answers up to which all triples of false options are listed (364 of 14)."""
_TRIES = 300
_NAMES = re.compile(
    rf"\b(?:(?P<role>{'|'.join(ROLES)})"
    rf"|(?P<adult>man|woman) in (?:{'|'.join(SHIRTS)})"
    rf"|(?P<child>boy|girl) in (?:{'|'.join(SHIRTS)})"
    rf"|(?:{'|'.join(PAINTS)}) (?P<vehicle>{'|'.join(VEHICLES)})"
    rf"(?: with (?:{'|'.join(CARGOES)}))?)\b"
)
_NAMED = {
    **{role: (role,) for role in ROLES},
    "adult": tuple(f"{w} in {c}" for w in ("man", "woman") for c in SHIRTS),
    "child": tuple(f"{w} in {c}" for w in ("boy", "girl") for c in SHIRTS),
    "car": tuple(f"{c} car" for c in PAINTS),
    "bus": tuple(f"{c} bus" for c in PAINTS),
    "truck": tuple(f"{c} truck with {load}" for c in PAINTS for load in CARGOES),
}
"""What can stand in for a name, and all names of the kind; a role stands only for itself."""
_PLACE = re.compile(r"<(\d+|[a-z]+ [a-z])>")


def _kind(name: re.Match[str]) -> str:
    if name["role"] or name["vehicle"]:
        return name["role"] or name["vehicle"]
    return "child" if name["child"] else "adult"


@functools.cache
def _kind_of(phrase: str) -> str | None:
    found = _NAMES.fullmatch(phrase)
    return _kind(found) if found else None


def contexts(told: Sequence[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """What a question tells with places for names, finest first, and the names by place."""
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        if found[0] not in names:
            names.append(found[0])
        return f"<{_kind(found)} {names.index(found[0])}>"

    full = tuple(_NAMES.sub(place, text) for text in told)
    grown = tuple(re.sub(rf"<(?:{'|'.join(ROLES)}) ", "<adult ", text) for text in full)
    plain = tuple(re.sub(r"<\w+ ", "<", text) for text in full)
    short = tuple(" ".join(text.split()[:4]) for text in plain)
    return list(dict.fromkeys((full, grown, plain, short))), names


def form(answer: str, names: Sequence[str]) -> str:
    """An answer with places for names: <0> is the first that the question tells, <adult a> new."""
    new: list[str] = []

    def place(found: re.Match[str]) -> str:
        if found[0] in names:
            return f"<{names.index(found[0])}>"
        if found[0] not in new:
            new.append(found[0])
        return f"<{_kind(found)} {chr(97 + new.index(found[0]))}>"

    return _NAMES.sub(place, answer)


@dataclass
class Law:
    """How often each form of answer is right in a context."""

    share: dict[str, float]
    names: dict[str, int]
    """How many answers a form stands for: its share is theirs together."""
    listed: dict[str, tuple[list[tuple[str, str, str]], list[float]]] = field(default_factory=dict)
    squares: dict[str, list[tuple[tuple[str, str, str], float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.forms = list(self.share)
        self.cumulated = list(itertools.accumulate(self.share.values()))
        self.power = [
            sum(p**k / self.names[f] ** (k - 1) for f, p in self.share.items()) for k in (1, 2, 3)
        ]
        self.single = len(self.forms) <= _SMALL and set(self.names.values()) == {1}

    @functools.cached_property
    def triples(self) -> dict[str, float]:
        """Z of each form: three times two times the sum of the products of all triples."""
        z = {}
        for f, p in self.share.items():
            one, two, three = (
                total - (p / self.names[f]) ** k for k, total in enumerate(self.power, 1)
            )
            z[f] = max(one**3 - 3 * one * two + 2 * three, 0.0)
        return z

    def draw(self, x: str, rng: random.Random) -> Sequence[str]:
        """Three forms but x with probability in proportion to their product.

        A form that stands for several answers may come more than once.
        """
        if not self.single:
            return rng.choices(self.forms, cum_weights=self.cumulated, k=3)
        if x not in self.listed:
            rows = list(itertools.combinations([f for f in self.forms if f != x], 3))
            weights = [self.share[a] * self.share[b] * self.share[c] for a, b, c in rows]
            self.listed[x] = rows, list(itertools.accumulate(weights))
        rows, cumulated = self.listed[x]
        return rng.choices(rows, cum_weights=cumulated)[0]


@functools.cache
def _table() -> dict[str, dict[str, dict[str, int]]]:
    """family -> context -> form of answer -> how often."""
    table: dict[str, dict[str, dict[str, int]]] = json.loads(TABLE.read_text("utf-8"))["counts"]
    return table


@functools.cache
def _law(family: str, context: tuple[str, ...]) -> Law | None:
    counted = _table().get(family, {}).get("|".join(context))
    if counted is None:
        return None
    least = max(counted.values()) * LEAST
    kept = {f: n for f, n in counted.items() if n >= least}
    total = sum(kept.values())
    names = {
        f: functools.reduce(
            int.__mul__,
            (len(_NAMED[p.split()[0]]) for p in set(_PLACE.findall(f)) if not p.isdigit()),
            1,
        )
        for f in kept
    }
    return Law({f: n / total for f, n in kept.items()}, names)


def _here(story: Story) -> Iterator[tuple[str, str]]:
    for phrase in dict.fromkeys(a.phrase for p in story.phases for a in p.actors):
        if kind := _kind_of(phrase):
            yield phrase, kind


def false_options(
    family: str,
    told: Sequence[str],
    answer: str,
    avoid: Collection[str],
    story: Story,
    rng: random.Random,
) -> list[str] | None:
    """Three answers of other stories with this story's people, or None: then nothing is asked.

    told: what the question tells, and what else its options shall have in common.
    avoid: what must not be an option because it is true here as well.
    """
    keys, known = contexts(told)
    law = next((found for key in keys if (found := _law(family, key))), None)
    x = form(answer, known)
    if law is None or x not in law.share or sum(law.names.values()) < 4:
        return None
    taken = {*known, *(m[0] for m in _NAMES.finditer(answer))}
    here = list(_here(story))
    for _ in range(_TRIES):
        drawn = law.draw(x, rng)
        if (x in drawn and law.names[x] == 1) or (not law.single and _twice(drawn, law)):
            continue
        used = set(taken)
        options = [_told(f, known, here, used, rng) for f in drawn]
        false = [o for o in options if o is not None and o != answer and o not in avoid]
        if len(set(false)) == 3:
            z = law.triples
            most = max(z[f] for f in (x, *drawn))
            return false if rng.random() * most < z[x] else None
    return None


def crossed_options(
    family: str, told: Sequence[str], answer: str, rng: random.Random
) -> list[str] | None:
    """To "a and b" the options "a and d", "c and b" and "c and d", so that each part comes twice.

    Drawn and kept as in `false_options`, but only among the answers that make such a square.
    """
    law = _law(family, tuple(told))
    if law is None or answer not in law.share:
        return None
    squares = _squares(law, answer)
    if not squares:
        return None
    weights = [w for _, w in squares]
    false = rng.choices(squares, weights)[0][0]
    most = max(sum(w for _, w in _squares(law, f)) for f in (answer, *false))
    return list(false) if rng.random() * most < sum(weights) else None


def _squares(law: Law, answer: str) -> list[tuple[tuple[str, str, str], float]]:
    """The other three corners of every square with this answer, and the product of their p."""
    if answer not in law.squares:
        a, b = answer.split(" and ")
        pairs = [f.split(" and ") for f in law.forms]
        found = law.squares[answer] = []
        for c, d in pairs:
            corners = (f"{a} and {d}", f"{c} and {b}", f"{c} and {d}")
            if c != a and d != b and all(f in law.share for f in corners):
                found.append((corners, math.prod(law.share[f] for f in corners)))
    return law.squares[answer]


def _twice(drawn: Sequence[str], law: Law) -> bool:
    a, b, c = drawn
    return any(f == g and law.names[f] == 1 for f, g in ((a, b), (a, c), (b, c)))


def _told(
    answer: str,
    known: Sequence[str],
    here: Sequence[tuple[str, str]],
    used: set[str],
    rng: random.Random,
) -> str | None:
    """A form with names: the question's, and new ones, each in one option only.

    New names are of this story half the time, if it has any left. Names that were used are added
    to `used`. None where no name is left.
    """
    new: dict[str, str] = {}

    def name(place: re.Match[str]) -> str:
        at = place[1]
        if at.isdigit():
            return known[int(at)] if int(at) < len(known) else ""
        if at not in new:
            kind = at.split()[0]
            left = [n for n, k in here if k == kind and n not in used]
            if not left or rng.random() < 0.5:
                left = [n for n in _NAMED[kind] if n not in used]
            new[at] = rng.choice(left) if left else ""
            used.add(new[at])
        return new[at]

    text = _PLACE.sub(name, answer)
    return None if "" in new.values() or "  " in text else text
