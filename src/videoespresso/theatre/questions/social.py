"""Who does what to whom: dealings, character, moods, influence."""

import random

from videoespresso.theatre.questions.draft import (
    Draft,
    caused,
    is_person,
    pick,
    unique,
)
from videoespresso.theatre.stories import Event, Story

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
        f"What does the {e.subject} give to the {to}?",
        f"What does the {to} get from the {e.subject}?",
    )
    return Draft(text, (e.subject, to), f"the {item}", (e,))


def interaction_giver(s: Story, rng: random.Random) -> Draft | None:
    g = _giving(s, rng)
    if not g:
        return None
    e, item, to = g
    text = pick(
        rng, f"Who gives the {item} to somebody?", f"From whom does the {to} get the {item}?"
    )
    return Draft(text, (item, to), f"the {e.subject}", (e,))


def interaction_how(s: Story, rng: random.Random) -> Draft | None:
    pairs = [
        e for e in s.events if e.episode in ("help", "generosity") and e.obj and is_person(s, e.obj)
    ]
    if not pairs:
        return None
    e = rng.choice(pairs)
    text = pick(
        rng,
        f"How does the {e.subject} treat the {e.obj}?",
        f"What does the {e.subject} do towards the {e.obj}?",
    )
    return Draft(text, (e.subject, e.obj), e.text, (e,))


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
    traited = _traited(s, rng)
    if not traited:
        return None
    e, trait = traited
    text = pick(
        rng,
        f"What does the behaviour of the {e.subject} show?",
        f"How would you describe the {e.subject}?",
    )
    return Draft(text, (e.subject,), trait, (e,))


def behavior_who(s: Story, rng: random.Random) -> Draft | None:
    traited = _traited(s, rng)
    if not traited or sum(_trait(e) == traited[1] for e in s.events) != 1:
        return None
    e, trait = traited
    text = pick(rng, f"Who is {trait}?", f"Whose behaviour is {trait}?")
    return Draft(text, (trait,), f"the {e.subject}", (e,))


def behavior_act(s: Story, rng: random.Random) -> Draft | None:
    traited = _traited(s, rng)
    if not traited:
        return None
    e, _ = traited
    if sum(x.key == e.key and not x.act.startswith("is ") for x in s.events) != 1:
        return None
    text = pick(
        rng,
        f"Which action tells us about the {e.subject}?",
        f"By what act can the {e.subject} be judged?",
    )
    return Draft(text, (e.subject,), e.text, (e,))


def _mood_events(s: Story) -> list[Event]:
    return [e for e in s.events if e.act.startswith("is ") and e.mood and unique(s, e)]


def emotion_after(s: Story, rng: random.Random) -> Draft | None:
    events = [e for e in _mood_events(s) if e.cause is not None and unique(s, s.events[e.cause])]
    if not events:
        return None
    e = rng.choice(events)
    c = s.events[e.cause or 0]
    text = pick(
        rng,
        f"How does the {e.subject} feel after {c.text}?",
        f"What is the mood of the {e.subject} once {c.text}?",
    )
    return Draft(text, (e.subject, c.text), e.mood, (c, e))


def emotion_who(s: Story, rng: random.Random) -> Draft | None:
    events = _mood_events(s)
    if not events:
        return None
    e = rng.choice(events)
    if sum(x.act == e.act for x in s.events) != 1:
        return None
    text = pick(rng, f"Who is {e.mood}?", f"Who becomes {e.mood} in the video?")
    return Draft(text, (e.mood,), f"the {e.subject}", (e,))


def emotion_why(s: Story, rng: random.Random) -> Draft | None:
    events = [e for e in _mood_events(s) if e.cause is not None]
    if not events:
        return None
    e = rng.choice(events)
    c = s.events[e.cause or 0]
    text = pick(
        rng, f"What makes the {e.subject} feel {e.mood}?", f"What turns the {e.subject} {e.mood}?"
    )
    return Draft(text, (e.text,), c.text, (c, e))


def influence_how(s: Story, rng: random.Random) -> Draft | None:
    pair = caused(s, rng)
    if not pair or not unique(s, pair[1]):
        return None
    e, c = pair
    text = pick(
        rng,
        f"How does it influence the {e.subject} that {c.text}?",
        f"What does the {e.subject} do under the influence of this: {c.text}?",
    )
    return Draft(text, (c.text, e.subject), e.text, (c, e))


def influence_who(s: Story, rng: random.Random) -> Draft | None:
    pair = caused(s, rng)
    if not pair:
        return None
    e, c = pair
    if not unique(s, c) or sum(x.cause == c.index for x in s.events) != 1:
        return None
    text = pick(
        rng,
        f"Who or what is affected when {c.text}?",
        f"On whom or what does it have an effect that {c.text}?",
    )
    return Draft(text, (c.text,), f"the {e.subject}", (c, e))


def influence_source(s: Story, rng: random.Random) -> Draft | None:
    pair = caused(s, rng)
    if not pair or not unique(s, pair[0]):
        return None
    e, c = pair
    text = pick(
        rng,
        f"Under which influence does it come about that {e.text}?",
        f"Which event changes things so that {e.text}?",
    )
    return Draft(text, (e.text,), c.text, (c, e))
