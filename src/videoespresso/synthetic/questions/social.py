"""Who does what to whom: dealings, character, moods, influence."""

import random

from videoespresso.synthetic.questions.draft import (
    Draft,
    anybody,
    caused,
    is_person,
    pick,
    unique,
)
from videoespresso.synthetic.questions.elsewhere import elsewhere
from videoespresso.synthetic.stories import MOODS, PAINTS, Event, Story

TRAITS = {
    "gives": "kind",
    "drops": "careless",
    "kicks": "playful",
    "waters": "caring",
    "sweeps": "tidy",
    "waves": "friendly",
    "reads": "studious",
    "runs": "fearful",
    "raises": "responsible",
    "opens": "prepared",
}
ITEMS = ("box", "balloon", "ball", "book", "bread", "gift", "cake")


def _giving(s: Story, rng: random.Random) -> tuple[Event, str, str] | None:
    gifts = [e for e in s.events if e.act.startswith("gives the ")]
    if not gifts:
        return None
    e = rng.choice(gifts)
    item, _, to = e.act.removeprefix("gives the ").partition(" to the ")
    return e, item, to


def interaction_item(s: Story, rng: random.Random) -> Draft | None:
    g = _giving(s, rng)
    if not g:
        return None
    e, item, to = g
    text = pick(
        rng,
        (
            f"What does the {e.subject} give to the {to}?",
            f"What does the {to} get from the {e.subject}?",
        ),
    )
    return text, f"the {item}", [f"the {i}" for i in ITEMS], (e,)


def interaction_giver(s: Story, rng: random.Random) -> Draft | None:
    g = _giving(s, rng)
    if not g:
        return None
    e, item, to = g
    text = pick(
        rng, (f"Who gives the {item} to somebody?", f"From whom does the {to} get the {item}?")
    )
    return text, f"the {e.subject}", [f"the {p}" for p in anybody(rng)], (e,)


def interaction_how(s: Story, rng: random.Random) -> Draft | None:
    found = [
        e for e in s.events if e.episode in ("help", "generosity") and e.obj and is_person(s, e.obj)
    ]
    if not found:
        return None
    e = rng.choice(found)
    text = pick(
        rng,
        (
            f"How does the {e.subject} treat the {e.obj}?",
            f"What does the {e.subject} do towards the {e.obj}?",
        ),
    )
    pool = [
        f"the {e.subject} {x}"
        for x in ("waves", "runs away", *(f"gives the {i} to the {e.obj}" for i in ITEMS))
    ]
    return text, e.text, pool, (e,)


def _trait(e: Event) -> str | None:
    return TRAITS.get(e.act.split()[0])


def _traited(s: Story, rng: random.Random) -> tuple[Event, str] | None:
    by_person: dict[str, list[Event]] = {}
    for e in s.events:
        if _trait(e) and is_person(s, e.key):
            by_person.setdefault(e.key, []).append(e)
    single = [es[0] for es in by_person.values() if len({_trait(e) for e in es}) == 1]
    if not single:
        return None
    e = rng.choice(single)
    return e, TRAITS[e.act.split()[0]]


def behavior_trait(s: Story, rng: random.Random) -> Draft | None:
    found = _traited(s, rng)
    if not found:
        return None
    e, trait = found
    text = pick(
        rng,
        (
            f"What does the behaviour of the {e.subject} show?",
            f"How would you describe the {e.subject}?",
        ),
    )
    return text, trait, tuple(TRAITS.values()), (e,)


def behavior_who(s: Story, rng: random.Random) -> Draft | None:
    found = _traited(s, rng)
    if not found or sum(_trait(e) == found[1] for e in s.events) != 1:
        return None
    e, trait = found
    text = pick(rng, (f"Who is {trait}?", f"Whose behaviour is {trait}?"))
    return text, f"the {e.subject}", [f"the {p}" for p in anybody(rng)], (e,)


def behavior_act(s: Story, rng: random.Random) -> Draft | None:
    found = _traited(s, rng)
    if not found:
        return None
    e, _ = found
    if sum(x.key == e.key and not x.act.startswith("is ") for x in s.events) != 1:
        return None
    text = pick(
        rng,
        (
            f"Which action tells us about the {e.subject}?",
            f"By what act can the {e.subject} be judged?",
        ),
    )
    pool = [
        "waves",
        "reads a book",
        "drops the box",
        "kicks the ball",
        "waters the flower",
        "opens an umbrella",
        "runs away",
        "sweeps the floor",
        "raises a hand",
    ]
    return text, e.text, [f"the {e.subject} {x}" for x in pool], (e,)


def _mood_events(s: Story) -> list[Event]:
    return [e for e in s.events if e.act.startswith("is ") and e.mood and unique(s, e)]


def emotion_after(s: Story, rng: random.Random) -> Draft | None:
    found = [e for e in _mood_events(s) if e.cause is not None and unique(s, s.events[e.cause])]
    if not found:
        return None
    e = rng.choice(found)
    c = s.events[e.cause or 0]
    text = pick(
        rng,
        (
            f"How does the {e.subject} feel after {c.text}?",
            f"What is the mood of the {e.subject} once {c.text}?",
        ),
    )
    return text, e.mood, MOODS, (c, e)


def emotion_who(s: Story, rng: random.Random) -> Draft | None:
    found = _mood_events(s)
    if not found:
        return None
    e = rng.choice(found)
    if sum(x.mood == e.mood for x in found) != 1:
        return None
    text = pick(rng, (f"Who is {e.mood}?", f"Who becomes {e.mood} in the video?"))
    return text, f"the {e.subject}", [f"the {p}" for p in anybody(rng)], (e,)


def emotion_why(s: Story, rng: random.Random) -> Draft | None:
    found = [e for e in _mood_events(s) if e.cause is not None]
    if not found:
        return None
    e = rng.choice(found)
    c = s.events[e.cause or 0]
    text = pick(
        rng, (f"What makes the {e.subject} feel {e.mood}?", f"What turns the {e.subject} {e.mood}?")
    )
    return text, c.text, elsewhere("cause", [e.text], s, rng), (c, e)


def influence_how(s: Story, rng: random.Random) -> Draft | None:
    pair = caused(s, rng)
    if not pair or not unique(s, pair[1]):
        return None
    e, c = pair
    text = pick(
        rng,
        (
            f"How does it influence the {e.subject} that {c.text}?",
            f"What does the {e.subject} do under the influence of this: {c.text}?",
        ),
    )
    return text, e.text, elsewhere("reaction", [c.text, e.subject], s, rng), (c, e)


def influence_who(s: Story, rng: random.Random) -> Draft | None:
    pair = caused(s, rng)
    if not pair:
        return None
    e, c = pair
    if not unique(s, c) or sum(x.cause == c.index for x in s.events) != 1:
        return None
    text = pick(
        rng,
        (
            f"Who or what is affected when {c.text}?",
            f"On whom or what does it have an effect that {c.text}?",
        ),
    )
    cars = [f"the {p} {v}" for p in rng.sample(PAINTS, 2) for v in ("car", "bus")]
    things = ["the vase", "the flower", "the bird", "the dog", "the cat"]
    return (
        text,
        f"the {e.subject}",
        [*[f"the {p}" for p in anybody(rng)[:4]], *cars, *things],
        (c, e),
    )


def influence_source(s: Story, rng: random.Random) -> Draft | None:
    pair = caused(s, rng)
    if not pair or not unique(s, pair[0]):
        return None
    e, c = pair
    text = pick(
        rng,
        (
            f"Under which influence does it come about that {e.text}?",
            f"Which event changes things so that {e.text}?",
        ),
    )
    return text, c.text, elsewhere("cause", [e.text], s, rng), (c, e)
