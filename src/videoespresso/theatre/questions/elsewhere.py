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

import math
import random
import re
from collections.abc import Collection, Iterator, Sequence

from videoespresso.theatre.questions.law import (
    NAMED,
    NAMES,
    PLACE,
    Law,
    contexts,
    form,
    kind_of,
    law_of,
)
from videoespresso.theatre.stories import Story

_TRIES = 300
"""Draws of three false options before none is asked; a few are enough but in odd contexts."""


def _here(story: Story) -> Iterator[tuple[str, str]]:
    for phrase in dict.fromkeys(a.phrase for p in story.phases for a in p.actors):
        if kind := kind_of(phrase):
            yield phrase, kind


def false_options(
    family: str,
    context: Sequence[str],
    answer: str,
    avoid: Collection[str],
    own: Sequence[str],
    story: Story,
    rng: random.Random,
) -> list[str] | None:
    """Three answers of other stories with this story's people, or None: then nothing is asked.

    context: what the question tells, and what else its options shall have in common.
    avoid: what must not be an option because it is true here as well.
    own: what is to be preferred among the answers of a form, because it happens here as well.
    """
    keys, known = contexts(context)
    law = next((rule for key in keys if (rule := law_of(family, key))), None)
    x = form(answer, known)
    if law is None or x not in law.share or sum(law.names.values()) < 4:
        return None
    taken = {*known, *(m[0] for m in NAMES.finditer(answer))}
    here = list(_here(story))
    mine = [(form(text, known), text) for text in own if text != answer]
    for _ in range(_TRIES):
        drawn = law.draw(x, rng)
        if (x in drawn and law.names[x] == 1) or (not law.single and _twice(drawn, law)):
            continue
        used = set(taken)
        options = [_own(f, mine, used) or _named(f, known, here, used, rng) for f in drawn]
        false = [o for o in options if o is not None and o != answer and o not in avoid]
        if len(set(false)) == 3:
            z = law.triples
            most = max(z[f] for f in (x, *drawn))
            return false if rng.random() * most < z[x] else None
    return None


def crossed_options(
    family: str, context: Sequence[str], answer: str, rng: random.Random
) -> list[str] | None:
    """To "a and b" the options "a and d", "c and b" and "c and d", so that each part comes twice.

    Drawn and kept as in `false_options`, but only among the answers that make such a square.
    """
    law = law_of(family, tuple(context))
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
        squares = law.squares[answer] = []
        for c, d in pairs:
            corners = (f"{a} and {d}", f"{c} and {b}", f"{c} and {d}")
            if c != a and d != b and all(f in law.share for f in corners):
                squares.append((corners, math.prod(law.share[f] for f in corners)))
    return law.squares[answer]


def _twice(drawn: Sequence[str], law: Law) -> bool:
    a, b, c = drawn
    return any(f == g and law.names[f] == 1 for f, g in ((a, b), (a, c), (b, c)))


def _own(answer: str, mine: Sequence[tuple[str, str]], used: set[str]) -> str | None:
    """What happens here and has this form, if none of its names is used; they are from now on."""
    for f, text in mine:
        names = {m[0] for m in NAMES.finditer(text)}
        if f == answer and not names & used:
            used |= names
            return text
    return None


def _named(
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
                left = [n for n in NAMED[kind] if n not in used]
            new[at] = rng.choice(left) if left else ""
            used.add(new[at])
        return new[at]

    text = PLACE.sub(name, answer)
    return None if "" in new.values() or "  " in text else text
