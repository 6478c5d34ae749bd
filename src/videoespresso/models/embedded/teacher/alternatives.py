"""What can stand for what in a wrong answer, and how often.

The numbers are how often each is the right answer, or a part of it, among 17,821 pairs about the
theatre's stories 0 to 2,999. Wrong answers are drawn by them, so that a word tells little about
whether the answer with it is right: whoever has never seen the video should not be able to guess.
"""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import permutations

from videoespresso.models.embedded.teacher import words as w
from videoespresso.models.embedded.teacher.reading import Clause, Film, kind

Weights = dict[str, float]

_COLORS: Weights = {"red": 91, "blue": 83, "green": 83, "yellow": 83, "white": 82, "purple": 56}
_HEADS: Weights = {"man": 218, "woman": 228, "boy": 67, "girl": 65}
_PEOPLE: Weights = {"cook": 371, "officer": 445, "builder": 354} | {
    f"{head} in {color}": often for head, often in _HEADS.items() for color in _COLORS
}
_GOODS: Weights = {"logs": 134, "boxes": 128, "fruit": 118, "sand": 118}
_VEHICLES: Weights = {
    f"{color} {vehicle}": often * shade
    for color, shade in _COLORS.items()
    for vehicle, often in {
        "car": 624,
        "bus": 375,
        **{f"truck with {goods}": share for goods, share in _GOODS.items()},
    }.items()
}
_UNKNOWN = 1000.0
"""Of a name that the captions say and the theatre does not: their own words come first."""

_COOKED: Weights = {
    "carrot": 287,
    "egg": 333,
    "fish": 505,
    "tomato": 338,
    "onion": 357,
    "cheese": 518,
    "bread": 754,
}
_COOKING: Weights = {"chops": 415, "boils": 436, "fries": 434, "mixes": 447}
_DISHES: Weights = {"soup": 165, "salad": 177, "pizza": 160, "cake": 296}
KINDS: tuple[Weights, ...] = (
    {"cook": 371, "officer": 445, "builder": 354},
    {"man": 1008, "woman": 1210, "boy": 394, "girl": 384},
    {"dog": 198, "cat": 233, "bird": 60},
    {"car": 624, "bus": 375, "truck": 442, "bicycle": 1},
    _COLORS | {"black": 1, "brown": 1},
    {"happy": 771, "sad": 722, "angry": 781, "surprised": 778},
    {"rain": 458, "snow": 79, "sun": 79, "night": 72},
    {"street": 1, "park": 1, "kitchen": 1, "room": 1},
    {"box": 464, "balloon": 416, "ball": 544, "book": 421, "gift": 68},
    _COOKED,
    _DISHES,
    _GOODS,
    _COOKING,
    {"left": 1, "right": 1},
    {"up": 1, "down": 1},
    {"opens": 187, "closes": 1},
    {"one": 1, "two": 1, "three": 1, "four": 1, "five": 1},
    {"stops": 538, "drives": 159, "drives past": 97, "turns around": 1},
)
"""Words of a kind: one of them in an answer is made wrong by another."""
_DEEDS: dict[str, tuple[Weights, ...]] = {
    "person": (
        {
            "waters the flower": 444,
            "kicks the ball": 301,
            "drops the box": 253,
            "runs away": 220,
            "waves": 219,
            "answers the phone": 195,
            "opens an umbrella": 187,
            "holds a balloon": 140,
            "crosses the road": 137,
            "sweeps the floor": 135,
            "reads a book": 130,
            "walks": 129,
            "lights a candle": 59,
            "falls asleep": 57,
            "raises a hand": 54,
        },
        {
            "gives the book": 285,
            "gives the balloon": 279,
            "gives the ball": 244,
            "gives the bread": 231,
            "gives the box": 173,
            "gives the cake": 99,
            "gives the gift": 68,
        },
        {f"{verb} the {food}": often for verb in _COOKING for food, often in _COOKED.items()},
        {f"serves the {dish}": often for dish, often in _DISHES.items()},
    ),
    "animal": (
        {
            "runs past": 159,
            "crosses the road": 134,
            "runs after the ball": 77,
            "takes the cheese": 35,
            "flies away": 34,
            "takes the bread": 28,
            "takes the fish": 24,
        },
    ),
    "thing": (
        {
            "blooms": 612,
            "breaks": 592,
            "wilts": 298,
            "is off": 267,
            "stands": 264,
            "smokes": 214,
            "is on": 167,
            "rings": 116,
        },
    ),
}
"""What persons, animals and things do, by their kind."""
_EVENTS: Weights = {
    "the vase breaks": 260,
    "the pan smokes": 214,
    "it starts to rain": 195,
    "the lamp is off": 100,
    "the cat runs past": 85,
    "the light is red": 78,
    "the dog runs past": 74,
    "the cat crosses the road": 70,
    "the dog crosses the road": 64,
    "the cat runs after the ball": 42,
    "the flower breaks": 39,
    "the dog runs after the ball": 35,
    "the bird flies away": 34,
    "the phone rings": 22,
    "the flower blooms": 19,
    "the cat takes the cheese": 15,
    "the bird takes the cheese": 11,
    "the cat takes the fish": 11,
    "the cat takes the bread": 10,
    "the bird takes the bread": 9,
    "the dog takes the bread": 9,
    "the dog takes the cheese": 9,
    "the dog takes the fish": 7,
    "the bird takes the fish": 6,
}
"""What things and animals do: one of these in an answer is made wrong by another."""


def names_like(name: str, film: Film) -> Weights:
    """A subject and who or what can stand for it: subjects of these captions, and of the theatre
    where the name is one of its own."""
    table: Weights = {}
    if kind(name) == "person" and not w.is_plural(name):
        table = _PEOPLE
    elif name in _VEHICLES:
        table = _VEHICLES
    here = [
        s for s in film.subjects if kind(s) == kind(name) and w.is_plural(s) == w.is_plural(name)
    ]
    return dict.fromkeys(here, _UNKNOWN) | table | {name: table.get(name, _UNKNOWN)}


def whole(name: str) -> bool:
    """Whether the name as a whole is exchanged, and none of its words."""
    return name in _PEOPLE or name in _VEHICLES


def deeds_like(clause: Clause, asked: str) -> Iterator[tuple[str, Weights]]:
    """(what the clause says, what can stand for it): the event as a whole, where the question does
    not name who it is about, or its deed."""
    if clause.text in _EVENTS and not says(asked, clause.who):
        yield clause.text, _EVENTS
    for table in _DEEDS.get(kind(clause.who), ()):
        for deed in table:
            if clause.act == deed or clause.act.startswith(f"{deed} to "):
                yield deed, table


def says(text: str, phrase: str) -> bool:
    """Whether a text has a phrase, as whole words."""
    return re.search(rf"\b{re.escape(phrase)}\b", text) is not None


def drawn(table: Weights, right: str, rng: random.Random) -> list[str]:
    """All that can stand for what is right, in a random order: what is right more often rather
    comes first."""
    others = (phrase for phrase in table if phrase != right)
    return sorted(others, key=lambda phrase: rng.random() ** (1 / table[phrase]), reverse=True)


def evenness(table: Weights, right: str, wrong: Sequence[str]) -> float:
    """How much rarer these options come up with their least frequent one as the right one than
    with this one, from 0 to 1. Taken only that often, a set of options is as likely with any of
    them the right one, so that knowing the table does not help to find it. Of more than four wrong
    ones the first four are looked at."""
    options = (right, *wrong[:4])
    often = {a: _chance(table, a, [b for b in options if b != a]) for a in options}
    return min(often.values()) / often[right]


def _chance(table: Weights, right: str, wrong: Sequence[str]) -> float:
    """How likely that is right, times how likely `drawn` begins with the wrong ones."""
    chance, total = 0.0, sum(table.values()) - table[right]
    for order in permutations(wrong):
        share, left = 1.0, total
        for phrase in order:
            share *= table[phrase] / left
            left -= table[phrase]
        chance += share
    return table[right] * chance
