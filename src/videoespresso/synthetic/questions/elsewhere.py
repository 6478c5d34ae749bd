"""False options that are true elsewhere: what other stories answer to the same question.

What leads to what differs from kind of event to kind of event, so a false option from anywhere in
the setting gives itself away by the words it shares, or does not share, with the question. Options
are therefore drawn from the answers that the same relation has, for the same kind of event, in
other stories; people and vehicles of the question keep their parts.
"""

import functools
import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from videoespresso.synthetic.scene import VEHICLES
from videoespresso.synthetic.stories import CARGOES, PAINTS, ROLES, SHIRTS, Story, make_story

Relation = Literal[
    "cause",
    "effect",
    "root",
    "reaction",
    "after",
    "before",
    "between",
    "act",
    "first",
    "last",
    "background",
]
Key = tuple[str, ...]
_STORIES = range(4000)
"""Seeds of the stories that are looked into, of the training split."""
_ENOUGH = 8
"""Different false options, below which a coarser kind of event is looked into as well."""
_NAMES = re.compile(
    rf"\b(?:(?P<role>{'|'.join(ROLES)})"
    rf"|(?P<adult>man|woman) in (?:{'|'.join(SHIRTS)})"
    rf"|(?P<child>boy|girl) in (?:{'|'.join(SHIRTS)})"
    rf"|(?:{'|'.join(PAINTS)}) (?P<vehicle>{'|'.join(VEHICLES)})"
    rf"(?: with (?:{'|'.join(CARGOES)}))?)\b"
)


@dataclass(frozen=True)
class _Fact:
    """An answer with places for names: known to the question by number, or new."""

    form: str
    new: tuple[tuple[str, str], ...]
    """(kind, name in the other story) of those that the question does not name."""


def _kind(name: re.Match[str]) -> str:
    """What can stand in for a name: "child", "adult", "bus"; a role only for itself."""
    if name["role"] or name["vehicle"]:
        return name["role"] or name["vehicle"]
    return "child" if name["child"] else "adult"


def _key(given: Sequence[str]) -> tuple[Key, list[str]]:
    """The question's events without their names, and the names in the order of their places."""
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        if found[0] not in names:
            names.append(found[0])
        return f"<{_kind(found)} {names.index(found[0])}>"

    return tuple(_NAMES.sub(place, text) for text in given), names


def _fact(answer: str, names: Sequence[str]) -> _Fact:
    new: list[tuple[str, str]] = []

    def place(found: re.Match[str]) -> str:
        if found[0] in names:
            return f"{{known[{names.index(found[0])}]}}"
        if (entry := (_kind(found), found[0])) not in new:
            new.append(entry)
        return f"{{new[{new.index(entry)}]}}"

    return _Fact(_NAMES.sub(place, answer), tuple(new))


def _coarser(key: Key) -> Iterator[Key]:
    """The key itself, then subjects and verbs only, then nothing."""
    yield key
    yield tuple(" ".join(re.sub(r"<(\w+) \d+>", r"\1", text).split()[:3]) for text in key)
    yield ()


def _relations(s: Story) -> Iterator[tuple[Relation, tuple[str, ...], str]]:
    """What a story says: (relation, the events that a question names, the answer)."""
    for e in s.events:
        yield "act", (e.subject,), e.text
        for a in s.phases[e.phase].actors:
            if a.key != e.key and a.act:
                yield "background", (e.text,), f"the {a.clause}"
        if e.cause is not None:
            cause = s.events[e.cause]
            yield "cause", (e.text,), cause.text
            yield "effect", (cause.text,), e.text
            yield "reaction", (cause.text, e.subject), e.text
            if cause.cause is not None:
                yield "root", (e.text,), s.events[cause.cause].text
    told = [e.text for e in s.events]
    for one, two in itertools.pairwise(told):
        yield "after", (one,), two
        yield "before", (two,), one
    for one, two, three in zip(told, told[1:], told[2:], strict=False):
        yield "between", (one, three), two
    if told:
        yield "first", (), told[0]
        yield "last", (), told[-1]


@functools.cache
def _facts() -> dict[tuple[Relation, Key], list[_Fact]]:
    facts: dict[tuple[Relation, Key], list[_Fact]] = defaultdict(list)
    for seed in _STORIES:
        for relation, given, answer in _relations(make_story(seed)):
            key, names = _key(given)
            fact = _fact(answer, names)
            for k in dict.fromkeys(_coarser(key)):
                facts[relation, k].append(fact)
    return dict(facts)


def elsewhere(
    relation: Relation, given: Sequence[str], story: Story, rng: random.Random
) -> list[str]:
    """Answers of other stories, as often as they are given there, with this story's people.

    given: the events (or names) that the question tells of.
    """
    key, names = _key(given)
    kinds = {
        m[0]: _kind(m)
        for p in story.phases
        for a in p.actors
        if (m := _NAMES.fullmatch(a.phrase)) and a.phrase not in names
    }
    pool: list[str] = []
    for k in _coarser(key):
        facts = _facts().get((relation, k), [])
        for fact in rng.sample(facts, min(len(facts), 60)):
            pool.append(_told(fact, names, kinds, rng))
        if len(set(pool)) >= _ENOUGH:
            break
    return pool


def _told(fact: _Fact, names: Sequence[str], kinds: dict[str, str], rng: random.Random) -> str:
    """A fact with this question's names, and for new ones this story's or the other's own."""
    new: list[str] = []
    for kind, own in fact.new:
        here = [n for n, k in kinds.items() if k == kind and n not in new]
        new.append(rng.choice(here) if here and rng.random() < 0.5 else own)
    known = [*names, *["somebody"] * 4]
    return fact.form.format(known=known, new=new)
