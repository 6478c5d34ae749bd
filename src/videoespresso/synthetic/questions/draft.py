"""What all questions stand on: their parts, and false sentences of the kinds stories tell."""

import random
from collections.abc import Callable, Sequence

from videoespresso.synthetic.scene import ANIMALS, TECHNIQUES, VEHICLES
from videoespresso.synthetic.stories import (
    DISHES,
    INGREDIENTS,
    MOODS,
    PAINTS,
    ROLES,
    SHIRTS,
    Event,
    Story,
)

Draft = tuple[str, str, Sequence[str], Sequence[Event | tuple[int, str]]]
"""Question text, answer, pool of distractors, what proves it (events, or phase and sentence)."""
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


def anybody(rng: random.Random) -> list[str]:
    plain = [f"{w} in {c}" for w in ("man", "woman", "boy", "girl") for c in SHIRTS]
    rng.shuffle(plain)
    return [*rng.sample(ROLES, 2), *plain[:6]]


def _other_clauses(rng: random.Random) -> list[str]:
    """Sentences of the kinds that stories tell, about anybody."""
    who = anybody(rng)
    car = f"{rng.choice(PAINTS)} {rng.choice(VEHICLES[:2])}"
    many = [
        "the dog crosses the road",
        "the cat crosses the road",
        "the light is red",
        f"the {car} stops",
        f"the {car} drives past",
        "it starts to rain",
        "the vase breaks",
        "the lamp is off",
        "the phone rings",
        "the pan smokes",
        "the flower blooms",
        "the flower breaks",
        "the bird flies away",
        "the dog runs past",
        "the cat runs past",
        f"the {rng.choice(ANIMALS)} takes the {rng.choice(('bread', 'fish', 'cheese'))}",
        f"the {who[2]} kicks the ball",
        f"the {who[3]} drops the box",
        f"the {who[4]} waters the flower",
        f"the {who[2]} opens an umbrella",
        f"the {who[5]} runs away",
        f"the {who[3]} waves",
        "the officer raises a hand",
        f"the {who[4]} crosses the road",
        f"the {who[5]} reads a book",
        f"the {who[2]} {rng.choice(TECHNIQUES)} the {rng.choice(INGREDIENTS)}",
        f"the {who[3]} serves the {rng.choice(DISHES)}",
        f"the {who[4]} gives the {rng.choice(('book', 'ball', 'cake'))} to the {who[5]}",
        f"the {who[2]} answers the phone",
        f"the {who[3]} falls asleep",
        f"the {who[4]} is {rng.choice(MOODS)}",
        f"the {who[5]} is {rng.choice(MOODS)}",
    ]
    return many


_BY_SETTING = {
    "street": (
        "crosses",
        "light",
        "stops",
        "drives",
        "rain",
        "drops",
        "umbrella",
        "runs away",
        "waves",
        "raises",
        "gives",
        "reads",
        "is ",
    ),
    "park": (
        "rain",
        "flower",
        "bird",
        "takes",
        "kicks",
        "drops",
        "umbrella",
        "runs",
        "waves",
        "gives",
        "reads",
        "is ",
    ),
    "kitchen": (
        "pan",
        "takes",
        "chops",
        "boils",
        "fries",
        "mixes",
        "serves",
        "gives",
        "waves",
        "reads",
        "is ",
    ),
    "room": (
        "vase",
        "lamp",
        "phone",
        "flower",
        "runs past",
        "kicks",
        "gives",
        "asleep",
        "waves",
        "reads",
        "is ",
    ),
}


def clauses_like(story: Story, rng: random.Random) -> list[str]:
    """False sentences that would fit this story's setting, and some of its own actors."""
    words = _BY_SETTING[story.setting]
    pool = [c for c in _other_clauses(rng) + _other_clauses(rng) if any(w in c for w in words)]
    people = [a.phrase for p in story.phases for a in p.actors if a.kind == "person"]
    mine = []
    for text in pool:
        for end in (
            " kicks",
            " drops",
            " waters",
            " opens",
            " runs away",
            " waves",
            " reads",
            " chops",
            " boils",
            " fries",
            " mixes",
            " serves",
            " answers",
            " is ",
        ):
            if (
                end in text
                and people
                and rng.random() < 0.6
                and not text.startswith(("the light", "the lamp", "the dog", "the cat", "the bird"))
            ):
                text = "the " + rng.choice(people) + text[text.index(end) :]
                break
        mine.append(text)
    rng.shuffle(mine)
    return mine


def caused(story: Story, rng: random.Random) -> tuple[Event, Event] | None:
    pairs = [(e, story.events[e.cause]) for e in story.events if e.cause is not None]
    return rng.choice(pairs) if pairs else None


def pick(rng: random.Random, texts: Sequence[str]) -> str:
    return rng.choice(list(texts))


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
