"""What the whole is about: roles, the story's shape, its themes, the situation."""

import itertools
import random
from collections.abc import Sequence

from videoespresso.theatre.questions.draft import (
    Draft,
    is_person,
    pick,
    solo,
    unique,
)
from videoespresso.theatre.stories import ROLES, Event, Story

_TELLING = (
    "stops",
    "drives past",
    "drops",
    "kicks",
    "gives",
    "takes",
    "waters",
    "smokes",
    "breaks",
    "is off",
    "rings",
    "waves",
    "reads",
    "walks",
    "holds a balloon",
    "starts",
    "chops",
    "boils",
    "fries",
    "mixes",
)
_NUMBERS = ("one", "two", "three", "four", "five")


def role_who(s: Story, rng: random.Random) -> Draft | None:
    e = solo(s, rng, person=True)
    if not e or e.act.startswith("is ") or sum(x.act == e.act for x in s.events) != 1:
        return None
    text = pick(rng, f"Who {e.act}?", f"Which person {e.act}?")
    return Draft(text, (e.act,), f"the {e.subject}", (e,))


def role_name(s: Story, rng: random.Random) -> Draft | None:
    names = [
        e
        for e in s.events
        if e.subject.split()[0] in (*ROLES, "man", "woman", "boy", "girl")
        and not e.act.startswith("is ")
        and sum(x.act == e.act for x in s.events) == 1
    ]
    if not names:
        return None
    e = rng.choice(names)
    text = pick(
        rng, f"What is the role of the person who {e.act}?", f"What kind of person {e.act}?"
    )
    return Draft(text, (e.act,), e.subject.split()[0], (e,))


def role_does(s: Story, rng: random.Random) -> Draft | None:
    e = solo(s, rng, person=True)
    if (
        not e
        or e.act.startswith("is ")
        or sum(x.key == e.key and not x.act.startswith("is ") for x in s.events) != 1
    ):
        return None
    text = pick(rng, f"What does the {e.subject} do?", f"What part does the {e.subject} play?")
    return Draft(text, (e.subject,), e.text, (e,))


def narrative_order(s: Story, rng: random.Random) -> Draft | None:
    """Events of three episodes: which episode comes first is drawn, so no order is likelier."""
    by_episode: dict[str, list[Event]] = {}
    for e in s.events:
        if unique(s, e):
            by_episode.setdefault(e.episode, []).append(e)
    if len(by_episode) < 3:
        return None
    row = sorted((rng.choice(es) for es in by_episode.values()), key=lambda e: e.index)
    orders = [", then ".join(e.text for e in order) for order in itertools.permutations(row)]
    named = "; ".join(e.text for e in rng.sample(row, 3))
    text = pick(
        rng, f"In which order do these happen: {named}?", f"Put in the right order: {named}."
    )
    return Draft(text, (), orders[0], row, false=rng.sample(orders[1:], 3))


def _edge(s: Story, rng: random.Random, e: Event, texts: Sequence[str]) -> Draft | None:
    """False options are edges of other stories in this setting; here they may come elsewhere."""
    return Draft(pick(rng, *texts), (s.setting,), e.text, (e,)) if unique(s, e) else None


def narrative_begin(s: Story, rng: random.Random) -> Draft | None:
    if not s.events:
        return None
    return _edge(s, rng, s.events[0], ("How does the story begin?", "Which event comes first?"))


def narrative_end(s: Story, rng: random.Random) -> Draft | None:
    if not s.events:
        return None
    return _edge(s, rng, s.events[-1], ("How does the story end?", "Which event comes last?"))


def _telling(s: Story) -> list[Event]:
    """Events that give their episode's theme away, one an episode."""
    seen: dict[str, Event] = {}
    for e in s.events:
        if e.act.startswith(_TELLING) and not (
            e.episode == "help" and e.act.startswith(("waves", "gives"))
        ):
            seen.setdefault(e.episode, e)
    return list(seen.values())


def theme_scene(s: Story, rng: random.Random) -> Draft | None:
    scenes = []
    for t in _telling(s):
        for p in {a.phrase for a in s.phases[t.phase].actors if a.kind == "person"}:
            episodes = {
                e.episode for e in s.events if p in (x.phrase for x in s.phases[e.phase].actors)
            }
            if episodes == {t.episode}:
                scenes.append((t, p))
    if not scenes:
        return None
    t, p = rng.choice(sorted(scenes, key=lambda f: (f[0].index, f[1])))
    text = pick(
        rng,
        f"What is the theme of the scene with the {p}?",
        f"What is the part with the {p} about?",
    )
    return Draft(text, (p,), t.episode, (t,))


def theme_pair(s: Story, rng: random.Random) -> Draft | None:
    events = [t for t in _telling(s) if t.episode != "everyday life"]
    if len(events) != 2:
        return None
    a, b = events
    text = pick(rng, "Which themes does the video join?", "Which title fits the video?")
    return Draft(text, (), f"{a.episode} and {b.episode}", (a, b), crossed=True)


def theme_event(s: Story, rng: random.Random) -> Draft | None:
    events = [t for t in _telling(s) if is_person(s, t.key) or t.act in ("stops", "drives past")]
    if not events:
        return None
    e = rng.choice(events)
    text = pick(
        rng, f"What carries the theme of {e.episode}?", f"Which event stands for {e.episode}?"
    )
    return Draft(text, (e.episode, e.act), e.text, (e,))


def situation_people(s: Story, rng: random.Random) -> Draft | None:
    """Counted over the whole video: no event has more than three people, most have two."""
    people = [{a.phrase for a in p.actors if a.kind == "person"} for p in s.phases]
    everybody = set().union(*people)
    if not 1 <= len(everybody) <= len(_NUMBERS):
        return None
    text = pick(
        rng,
        "How many people are visible in the video?",
        "How many people can be seen in the video?",
    )
    proof: list[tuple[int, str]] = []
    left = set(everybody)
    while left:  # as few phases as show everybody
        phase = max(range(len(people)), key=lambda k: len(people[k] & left))
        shown = " and ".join(f"the {p}" for p in sorted(people[phase] & left))
        proof.append((phase, f"{shown} can be seen"))
        left -= people[phase]
    return Draft(text, (), _NUMBERS[len(everybody) - 1], sorted(proof))


def situation_state(s: Story, rng: random.Random) -> Draft | None:
    outside = [
        e
        for e in s.events
        if unique(s, e) and e.key != "rain" and s.phases[e.phase].setting == s.setting
    ]
    if not outside:
        return None
    e = rng.choice(outside)
    people = [a for a in s.phases[e.phase].actors if a.kind == "person"]
    if len(people) < 2:
        return None
    left = min(people, key=lambda a: a.x0)
    side = rng.choice(("left", "right"))
    who = left if side == "left" else max(people, key=lambda a: a.x0)
    text = pick(
        rng,
        f"Who is furthest to the {side} when {e.text}?",
        f"Which person is on the {side} as {e.text}?",
    )
    proof = ((e.phase, f"the {who.phrase} is on the {side} when {e.text}"),)
    return Draft(text, (e.text,), f"the {who.phrase}", proof)


def situation_where(s: Story, rng: random.Random) -> Draft | None:
    places = [
        e
        for e in s.events
        if unique(s, e)
        and e.act.startswith(("waves", "reads", "walks", "holds a", "gives", "is "))
        and is_person(s, e.key)
    ]
    if not places:
        return None
    e = rng.choice(places)
    text = pick(
        rng, f"Where are we when {e.text}?", f"In which place does it happen that {e.text}?"
    )
    return Draft(text, (e.text,), f"in the {s.phases[e.phase].setting}", (e,))
