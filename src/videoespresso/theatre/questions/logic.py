"""What leads to what: causes, circumstances, the course of events."""

import random

from videoespresso.theatre.questions.draft import (
    Draft,
    base,
    caused,
    pick,
    solo,
    unique,
)
from videoespresso.theatre.stories import Event, Story


def _why(e: Event) -> str:
    if e.act.startswith("is "):
        return f"Why is the {e.subject} {e.act[3:]}?"
    return f"Why does the {e.subject} {base(e.act)}?"


def causal_why(s: Story, rng: random.Random) -> Draft | None:
    pair = caused(s, rng)
    if not pair or not unique(s, pair[0]):
        return None
    e, c = pair
    text = pick(rng, _why(e), _why(e), f"What is the reason that the {e.clause}?")
    return Draft(text, (e.text,), c.text, (c, e))


def causal_consequence(s: Story, rng: random.Random) -> Draft | None:
    pair = caused(s, rng)
    if not pair or not unique(s, pair[1]):
        return None
    e, c = pair
    text = pick(rng, f"What happens because {c.text}?", f"What is the result when {c.text}?")
    return Draft(text, (c.text,), e.text, (c, e))


def causal_chain(s: Story, rng: random.Random) -> Draft | None:
    chains = [
        (e, s.events[m.cause])
        for e in s.events
        if e.cause is not None and (m := s.events[e.cause]).cause is not None
    ]
    if not chains:
        return None
    e, root = rng.choice(chains)
    if e.cause is None or not unique(s, e):
        return None
    text = pick(
        rng,
        f"What sets off the chain that ends when {e.text}?",
        f"What is the first cause of the chain in which {e.text}?",
    )
    return Draft(text, (e.text,), root.text, (root, s.events[e.cause], e))


def context_weather(s: Story, rng: random.Random) -> Draft | None:
    e = solo(s, rng)
    if not e or not s.phases[e.phase].weather:
        return None
    weather = s.phases[e.phase].weather
    text = pick(
        rng,
        f"What is the weather like when {e.text}?",
        f"In which weather does it happen that {e.text}?",
    )
    return Draft(text, (e.text,), weather, (e,))


def _others(s: Story, e: Event) -> list[str]:
    actors = s.phases[e.phase].actors
    return [
        a.phrase for a in actors if a.key != e.key and a.kind == "person" and a.phrase not in e.act
    ]


def context_presence(s: Story, rng: random.Random) -> Draft | None:
    e = solo(s, rng)
    others = _others(s, e) if e else []
    if not e or len(others) != 1:
        return None
    text = pick(
        rng, f"Who else is there when {e.text}?", f"Which other person is present when {e.text}?"
    )
    other = f"the {others[0]}"
    return Draft(text, (e.text,), other, ((e.phase, f"{other} is there when {e.text}"),))


def context_doing(s: Story, rng: random.Random) -> Draft | None:
    pairs = [
        (e, a)
        for e in s.events
        for a in s.phases[e.phase].actors
        if e.key != "rain" and unique(s, e) and a.key != e.key
    ]
    if not pairs:
        return None
    e, a = rng.choice(pairs)
    text = pick(
        rng, f"What is in the background when {e.text}?", f"What else can be seen when {e.text}?"
    )
    actors = s.phases[e.phase].actors
    seen = {f"the {x.clause}" for x in actors}
    seen |= {f"the {x.phrase} {idle}" for x in actors for idle in ("stands", "sits")}
    proof = ((e.phase, f"the {a.clause} when {e.text}"),)
    return Draft(text, (e.text,), f"the {a.clause}", proof, seen)


def _neighbours(s: Story, rng: random.Random) -> tuple[Event, Event] | None:
    pairs = [(a, b) for a, b in zip(s.events, s.events[1:], strict=False) if a.clause != b.clause]
    return rng.choice(pairs) if pairs else None


def event_after(s: Story, rng: random.Random) -> Draft | None:
    pair = _neighbours(s, rng)
    if not pair or not unique(s, pair[0]):
        return None
    a, b = pair
    text = pick(rng, f"What happens right after {a.text}?", f"What comes next once {a.text}?")
    return Draft(text, (a.text,), b.text, (a, b))


def event_before(s: Story, rng: random.Random) -> Draft | None:
    pair = _neighbours(s, rng)
    if not pair or not unique(s, pair[1]):
        return None
    a, b = pair
    text = pick(
        rng,
        f"What happens right before {b.text}?",
        f"What comes just ahead of the moment when {b.text}?",
    )
    return Draft(text, (b.text,), a.text, (a, b))


def event_between(s: Story, rng: random.Random) -> Draft | None:
    if len(s.events) < 3:
        return None
    k = rng.randrange(len(s.events) - 2)
    a, b, c = s.events[k : k + 3]
    if not (unique(s, a) and unique(s, c)) or a.clause == c.clause:
        return None
    text = f"What happens between the moment when {a.text} and the moment when {c.text}?"
    return Draft(text, (a.text, c.text), b.text, (a, b, c))
