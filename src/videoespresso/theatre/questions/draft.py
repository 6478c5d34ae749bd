"""What all questions stand on: their parts, and false sentences of the kinds stories tell."""

import random
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from videoespresso.theatre.stories import Event, Story


class Draft(NamedTuple):
    """A question without its false options."""

    text: str
    context: tuple[str, ...]
    """What the text tells, whichever way it is worded, and what all options have in common."""
    answer: str
    proof: Sequence[Event | tuple[int, str]]
    """Events, or phase and sentence."""
    avoid: Collection[str] = ()
    """What is true as well."""
    false: Sequence[str] = ()
    """The false options, where the family itself sees to it that the right one is like them."""
    crossed: bool = False
    """The answer joins two parts by "and"; the options cross them with two others."""


Family = Callable[[Story, random.Random], Draft | None]


def base(act: str) -> str:
    """ "crosses the road" -> "cross the road"."""
    verb, _, rest = act.partition(" ")
    if verb == "is":
        verb = "be"
    elif verb.endswith(("sses", "shes", "ches", "xes")):
        verb = verb[:-2]
    elif verb == "flies":
        verb = "fly"
    elif verb == "fries":
        verb = "fry"
    else:
        verb = verb.removesuffix("s")
    return f"{verb} {rest}".strip()


def caused(story: Story, rng: random.Random) -> tuple[Event, Event] | None:
    pairs = [(e, story.events[e.cause]) for e in story.events if e.cause is not None]
    return rng.choice(pairs) if pairs else None


def pick(rng: random.Random, *texts: str) -> str:
    return rng.choice(texts)


def unique(story: Story, e: Event) -> bool:
    return sum(x.clause == e.clause for x in story.events) == 1


def solo(s: Story, rng: random.Random, *, person: bool = False) -> Event | None:
    events = [
        e
        for e in s.events
        if unique(s, e) and e.key != "rain" and (not person or is_person(s, e.key))
    ]
    return rng.choice(events) if events else None


def is_person(s: Story, key: str) -> bool:
    return any(a.key == key and a.kind == "person" for p in s.phases for a in p.actors)
