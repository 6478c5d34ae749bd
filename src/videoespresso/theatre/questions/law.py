"""How often each answer is right in a context: what a question tells, with places for names."""

import functools
import itertools
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from videoespresso.theatre.scene import VEHICLES
from videoespresso.theatre.stories import CARGOES, PAINTS, ROLES, SHIRTS

ENOUGH = 300
"""Answers counted in a context, below which a coarser one is looked at: eight answers equally often
right are then known to a sixth each."""
LEAST = 0.03
"""Share of the most frequent answer's count, below which an answer is left out: too few to know."""
TABLE = Path(__file__).with_name("answers.json")
_SMALL = 14
"""Answers up to which all triples of false options are listed (364 of 14)."""
NAMES = re.compile(
    rf"\b(?:(?P<role>{'|'.join(ROLES)})"
    rf"|(?P<adult>man|woman) in (?:{'|'.join(SHIRTS)})"
    rf"|(?P<child>boy|girl) in (?:{'|'.join(SHIRTS)})"
    rf"|(?:{'|'.join(PAINTS)}) (?P<vehicle>{'|'.join(VEHICLES)})"
    rf"(?: with (?:{'|'.join(CARGOES)}))?)\b"
)
NAMED = {
    **{role: (role,) for role in ROLES},
    "adult": tuple(f"{w} in {c}" for w in ("man", "woman") for c in SHIRTS),
    "child": tuple(f"{w} in {c}" for w in ("boy", "girl") for c in SHIRTS),
    "car": tuple(f"{c} car" for c in PAINTS),
    "bus": tuple(f"{c} bus" for c in PAINTS),
    "truck": tuple(f"{c} truck with {load}" for c in PAINTS for load in CARGOES),
}
"""What can stand in for a name, and all names of the kind; a role stands only for itself."""
PLACE = re.compile(r"<(\d+|[a-z]+ [a-z])>")


def _kind(name: re.Match[str]) -> str:
    if name["role"] or name["vehicle"]:
        return name["role"] or name["vehicle"]
    return "child" if name["child"] else "adult"


@functools.cache
def kind_of(phrase: str) -> str | None:
    match = NAMES.fullmatch(phrase)
    return _kind(match) if match else None


def contexts(texts: Sequence[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """What a question tells with places for names, finest first, and the names by place."""
    names: list[str] = []

    def place(match: re.Match[str]) -> str:
        if match[0] not in names:
            names.append(match[0])
        return f"<{_kind(match)} {names.index(match[0])}>"

    full = tuple(NAMES.sub(place, text) for text in texts)
    grown = tuple(re.sub(rf"<(?:{'|'.join(ROLES)}) ", "<adult ", text) for text in full)
    plain = tuple(re.sub(r"<\w+ ", "<", text) for text in full)
    short, verbs = (tuple(" ".join(text.split()[:n]) for text in plain) for n in (4, 3))
    return list(dict.fromkeys((full, grown, plain, short, verbs))), names


def form(answer: str, names: Sequence[str]) -> str:
    """An answer with places for names: <0> is the first that the question tells, <adult a> new."""
    new: list[str] = []

    def place(match: re.Match[str]) -> str:
        if match[0] in names:
            return f"<{names.index(match[0])}>"
        if match[0] not in new:
            new.append(match[0])
        return f"<{_kind(match)} {chr(97 + new.index(match[0]))}>"

    return NAMES.sub(place, answer)


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
        self.power = [  # of the shares of single answers
            sum(p**k / self.names[f] ** (k - 1) for f, p in self.share.items()) for k in (1, 2, 3)
        ]
        self.single = len(self.forms) <= _SMALL and set(self.names.values()) == {1}

    @functools.cached_property
    def triples(self) -> dict[str, float]:
        """Z of each form, times 6: the products of all triples without one answer of this form.

        By the sums of powers s of the others' shares: s1^3 - 3 s1 s2 + 2 s3.
        """
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
def law_of(family: str, context: tuple[str, ...]) -> Law | None:
    counted = _table().get(family, {}).get("|".join(context))
    if counted is None:
        return None
    least = max(counted.values()) * LEAST
    kept = {f: n for f, n in counted.items() if n >= least}
    total = sum(kept.values())
    names = {
        f: functools.reduce(
            int.__mul__,
            (len(NAMED[p.split()[0]]) for p in set(PLACE.findall(f)) if not p.isdigit()),
            1,
        )
        for f in kept
    }
    return Law({f: n / total for f, n in kept.items()}, names)
