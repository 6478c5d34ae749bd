"""Questions about a story, with four options, the true answer and the evidence it stands on.

14 tasks of the paper (Table 7), three families each. Every distractor is of the answer's own kind
and false in this story, and what is true was drawn independently of the words of the question.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from videoespresso.synthetic.scene import ANIMALS, TECHNIQUES, VEHICLES
from videoespresso.synthetic.stories import (
    CARGOES,
    DISHES,
    INGREDIENTS,
    MOODS,
    PAINTS,
    ROLES,
    SHIRTS,
    WEATHERS,
    Event,
    Story,
)

TASKS: tuple[str, ...] = (
    "Causal Inference",
    "Contextual Interpretation",
    "Event Process",
    "Interaction Dynamics",
    "Behavior Profiling",
    "Emotional Recognition",
    "Influence Tracing",
    "Role Identification",
    "Narrative Structuring",
    "Thematic Insight",
    "Situational Awareness",
    "Cooking Steps",
    "Ingredient Details",
    "Traffic Analysis",
)

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
DESTINATIONS = {
    "logs": "the sawmill",
    "boxes": "the warehouse",
    "fruit": "the market",
    "sand": "the building site",
}


@dataclass(frozen=True)
class Question:
    """One item. `core`: indices of the phases that carry it; `evidence`: (phase, sentence)."""

    task: str
    family: str
    text: str
    options: tuple[str, str, str, str]
    correct: int
    core: tuple[int, ...]
    evidence: tuple[tuple[int, str], ...]

    @property
    def answer(self) -> str:
        return self.options[self.correct]


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


def _people(rng: random.Random) -> list[str]:
    plain = [f"{w} in {c}" for w in ("man", "woman", "boy", "girl") for c in SHIRTS]
    rng.shuffle(plain)
    return [*rng.sample(ROLES, 2), *plain[:6]]


def _other_clauses(rng: random.Random) -> list[str]:
    """Sentences of the kinds that stories tell, about anybody."""
    who = _people(rng)
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


def _clauses_like(story: Story, rng: random.Random) -> list[str]:
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


def _caused(story: Story, rng: random.Random) -> tuple[Event, Event] | None:
    pairs = [(e, story.events[e.cause]) for e in story.events if e.cause is not None]
    return rng.choice(pairs) if pairs else None


def _pick(rng: random.Random, texts: Sequence[str]) -> str:
    return rng.choice(list(texts))


def _unique(story: Story, e: Event) -> bool:
    return sum(x.clause == e.clause for x in story.events) == 1


def _why(e: Event) -> str:
    if e.act.startswith("is "):
        return f"Why is the {e.subject} {e.act[3:]}?"
    return f"Why does the {e.subject} {base(e.act)}?"


def causal_why(s: Story, rng: random.Random) -> Draft | None:
    pair = _caused(s, rng)
    if not pair or not _unique(s, pair[0]):
        return None
    e, c = pair
    text = _pick(rng, (_why(e), _why(e), f"What is the reason that the {e.clause}?"))
    return text, c.text, _clauses_like(s, rng), (c, e)


def causal_consequence(s: Story, rng: random.Random) -> Draft | None:
    pair = _caused(s, rng)
    if not pair or not _unique(s, pair[1]):
        return None
    e, c = pair
    text = _pick(rng, (f"What happens because {c.text}?", f"What is the result when {c.text}?"))
    return text, e.text, _clauses_like(s, rng), (c, e)


def causal_chain(s: Story, rng: random.Random) -> Draft | None:
    chains = [
        (e, s.events[m.cause])
        for e in s.events
        if e.cause is not None and (m := s.events[e.cause]).cause is not None
    ]
    if not chains:
        return None
    e, root = rng.choice(chains)
    if e.cause is None or not _unique(s, e):
        return None
    text = _pick(
        rng,
        (
            f"What sets off the chain that ends when {e.text}?",
            f"What is the first cause of the chain in which {e.text}?",
        ),
    )
    return text, root.text, _clauses_like(s, rng), (root, s.events[e.cause], e)


def _solo(s: Story, rng: random.Random, *, person: bool = False) -> Event | None:
    events = [
        e
        for e in s.events
        if _unique(s, e) and e.key != "rain" and (not person or _is_person(s, e.key))
    ]
    return rng.choice(events) if events else None


def _is_person(s: Story, key: str) -> bool:
    return any(a.key == key and a.kind == "person" for p in s.phases for a in p.actors)


def context_weather(s: Story, rng: random.Random) -> Draft | None:
    e = _solo(s, rng)
    if not e or not s.phases[e.phase].weather:
        return None
    weather = s.phases[e.phase].weather
    text = _pick(
        rng,
        (
            f"What is the weather like when {e.text}?",
            f"In which weather does it happen that {e.text}?",
        ),
    )
    return text, weather, WEATHERS, (e,)


def _others(s: Story, e: Event) -> list[str]:
    actors = s.phases[e.phase].actors
    return [
        a.phrase for a in actors if a.key != e.key and a.kind == "person" and a.phrase not in e.act
    ]


def context_presence(s: Story, rng: random.Random) -> Draft | None:
    e = _solo(s, rng)
    others = _others(s, e) if e else []
    if not e or len(others) != 1:
        return None
    text = _pick(
        rng, (f"Who else is there when {e.text}?", f"Which other person is present when {e.text}?")
    )
    return (
        text,
        f"the {others[0]}",
        [f"the {p}" for p in _people(rng)],
        ((e.phase, f"the {others[0]} is there when {e.text}"),),
    )


def context_doing(s: Story, rng: random.Random) -> Draft | None:
    found = []
    for e in s.events:
        for a in s.phases[e.phase].actors:
            if (
                a.key != e.key
                and a.kind in (*VEHICLES, "light", "lamp", "flower")
                and a.act
                and _unique(s, e)
            ):
                found.append((e, a))
    if not found:
        return None
    e, a = rng.choice(found)
    if e.key == "rain":
        return None
    acts = {
        "light": ("is red", "is green"),
        "lamp": ("is on", "is off"),
        "flower": ("blooms", "wilts", "breaks"),
    }
    pool = [f"the {a.phrase} {x}" for x in acts.get(a.kind, ("drives", "stops", "drives past"))]
    more = [
        "the light is red",
        "the light is green",
        "the flower blooms",
        "the flower wilts",
        "the lamp is off",
        "the lamp is on",
    ]
    text = _pick(
        rng,
        (
            f"What is in the background when {e.text}?",
            f"What can be said of the {a.kind} when {e.text}?",
        ),
    )
    return text, f"the {a.clause}", pool + more, ((e.phase, f"the {a.clause} when {e.text}"),)


def _neighbours(s: Story, rng: random.Random) -> tuple[Event, Event] | None:
    pairs = [(a, b) for a, b in zip(s.events, s.events[1:], strict=False) if a.clause != b.clause]
    return rng.choice(pairs) if pairs else None


def event_after(s: Story, rng: random.Random) -> Draft | None:
    pair = _neighbours(s, rng)
    if not pair or not _unique(s, pair[0]):
        return None
    a, b = pair
    text = _pick(rng, (f"What happens right after {a.text}?", f"What comes next once {a.text}?"))
    return text, b.text, _clauses_like(s, rng), (a, b)


def event_before(s: Story, rng: random.Random) -> Draft | None:
    pair = _neighbours(s, rng)
    if not pair or not _unique(s, pair[1]):
        return None
    a, b = pair
    text = _pick(
        rng,
        (
            f"What happens right before {b.text}?",
            f"What comes just ahead of the moment when {b.text}?",
        ),
    )
    return text, a.text, _clauses_like(s, rng), (a, b)


def event_between(s: Story, rng: random.Random) -> Draft | None:
    if len(s.events) < 3:
        return None
    k = rng.randrange(len(s.events) - 2)
    a, b, c = s.events[k : k + 3]
    if not (_unique(s, a) and _unique(s, c)) or a.clause == c.clause:
        return None
    text = f"What happens between the moment when {a.text} and the moment when {c.text}?"
    return text, b.text, _clauses_like(s, rng), (a, b, c)


def _giving(s: Story, rng: random.Random) -> tuple[Event, str, str] | None:
    gifts = [e for e in s.events if e.act.startswith("gives the ")]
    if not gifts:
        return None
    e = rng.choice(gifts)
    item, _, to = e.act.removeprefix("gives the ").partition(" to the ")
    return e, item, to


ITEMS = ("box", "balloon", "ball", "book", "bread", "gift", "cake")


def interaction_item(s: Story, rng: random.Random) -> Draft | None:
    g = _giving(s, rng)
    if not g:
        return None
    e, item, to = g
    text = _pick(
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
    text = _pick(
        rng, (f"Who gives the {item} to somebody?", f"From whom does the {to} get the {item}?")
    )
    return text, f"the {e.subject}", [f"the {p}" for p in _people(rng)], (e,)


def interaction_how(s: Story, rng: random.Random) -> Draft | None:
    found = [
        e
        for e in s.events
        if e.episode in ("help", "generosity") and e.obj and _is_person(s, e.obj)
    ]
    if not found:
        return None
    e = rng.choice(found)
    text = _pick(
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
        if _trait(e) and _is_person(s, e.key):
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
    text = _pick(
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
    text = _pick(rng, (f"Who is {trait}?", f"Whose behaviour is {trait}?"))
    return text, f"the {e.subject}", [f"the {p}" for p in _people(rng)], (e,)


def behavior_act(s: Story, rng: random.Random) -> Draft | None:
    found = _traited(s, rng)
    if not found:
        return None
    e, _ = found
    if sum(x.key == e.key and not x.act.startswith("is ") for x in s.events) != 1:
        return None
    text = _pick(
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
    return [e for e in s.events if e.act.startswith("is ") and e.mood and _unique(s, e)]


def emotion_after(s: Story, rng: random.Random) -> Draft | None:
    found = [e for e in _mood_events(s) if e.cause is not None and _unique(s, s.events[e.cause])]
    if not found:
        return None
    e = rng.choice(found)
    c = s.events[e.cause or 0]
    text = _pick(
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
    text = _pick(rng, (f"Who is {e.mood}?", f"Who becomes {e.mood} in the video?"))
    return text, f"the {e.subject}", [f"the {p}" for p in _people(rng)], (e,)


def emotion_why(s: Story, rng: random.Random) -> Draft | None:
    found = [e for e in _mood_events(s) if e.cause is not None]
    if not found:
        return None
    e = rng.choice(found)
    c = s.events[e.cause or 0]
    text = _pick(
        rng, (f"What makes the {e.subject} feel {e.mood}?", f"What turns the {e.subject} {e.mood}?")
    )
    return text, c.text, _clauses_like(s, rng), (c, e)


def influence_how(s: Story, rng: random.Random) -> Draft | None:
    pair = _caused(s, rng)
    if not pair or not _unique(s, pair[1]):
        return None
    e, c = pair
    text = _pick(
        rng,
        (
            f"How does it influence the {e.subject} that {c.text}?",
            f"What does the {e.subject} do under the influence of this: {c.text}?",
        ),
    )
    pool = [
        f"the {e.subject} {x}"
        for x in (
            ("stops", "drives past", "drives")
            if e.key.split()[1:2] and e.key.split()[1] in VEHICLES
            else (
                "waves",
                "runs away",
                "opens an umbrella",
                "falls asleep",
                "lights a candle",
                "is happy",
                "is sad",
                "is angry",
                "is surprised",
                "answers the phone",
                "sweeps the floor",
            )
        )
    ]
    return text, e.text, pool + _clauses_like(s, rng), (c, e)


def influence_who(s: Story, rng: random.Random) -> Draft | None:
    pair = _caused(s, rng)
    if not pair:
        return None
    e, c = pair
    if not _unique(s, c) or sum(x.cause == c.index for x in s.events) != 1:
        return None
    text = _pick(
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
        [*[f"the {p}" for p in _people(rng)[:4]], *cars, *things],
        (c, e),
    )


def influence_source(s: Story, rng: random.Random) -> Draft | None:
    pair = _caused(s, rng)
    if not pair or not _unique(s, pair[0]):
        return None
    e, c = pair
    text = _pick(
        rng,
        (
            f"Under which influence does it come about that {e.text}?",
            f"Which event changes things so that {e.text}?",
        ),
    )
    return text, c.text, _clauses_like(s, rng), (c, e)


def role_who(s: Story, rng: random.Random) -> Draft | None:
    e = _solo(s, rng, person=True)
    if not e or e.act.startswith("is ") or sum(x.act == e.act for x in s.events) != 1:
        return None
    text = _pick(rng, (f"Who {e.act}?", f"Which person {e.act}?"))
    return text, f"the {e.subject}", [f"the {p}" for p in _people(rng)], (e,)


def role_name(s: Story, rng: random.Random) -> Draft | None:
    found = [
        e
        for e in s.events
        if e.subject.split()[0] in (*ROLES, "man", "woman", "boy", "girl")
        and not e.act.startswith("is ")
        and sum(x.act == e.act for x in s.events) == 1
    ]
    if not found:
        return None
    e = rng.choice(found)
    text = _pick(
        rng, (f"What is the role of the person who {e.act}?", f"What kind of person {e.act}?")
    )
    return text, e.subject.split()[0], (*ROLES, "man", "woman", "boy", "girl"), (e,)


def role_does(s: Story, rng: random.Random) -> Draft | None:
    e = _solo(s, rng, person=True)
    if (
        not e
        or e.act.startswith("is ")
        or sum(x.key == e.key and not x.act.startswith("is ") for x in s.events) != 1
    ):
        return None
    text = _pick(rng, (f"What does the {e.subject} do?", f"What part does the {e.subject} play?"))
    return (
        text,
        e.text,
        [c for c in _clauses_like(s, rng) if c.startswith(f"the {e.subject} ")]
        + _clauses_like(s, rng),
        (e,),
    )


def narrative_order(s: Story, rng: random.Random) -> Draft | None:
    events = [e for e in s.events if _unique(s, e)]
    if len(events) < 3:
        return None
    a, b, c = sorted(rng.sample(events, 3), key=lambda e: e.index)

    def told(*es: Event) -> str:
        return ", then ".join(e.text for e in es)

    named = "; ".join(e.text for e in rng.sample((a, b, c), 3))
    text = _pick(
        rng, (f"In which order do these happen: {named}?", f"Put in the right order: {named}.")
    )
    return text, told(a, b, c), (told(c, b, a), told(b, a, c), told(a, c, b)), (a, b, c)


def narrative_begin(s: Story, rng: random.Random) -> Draft | None:
    if not s.events or not _unique(s, s.events[0]):
        return None
    text = _pick(rng, ("How does the story begin?", "Which event comes first?"))
    later = [e.text for e in s.events[1:]]
    return (
        text,
        s.events[0].text,
        rng.sample(later, min(2, len(later))) + _clauses_like(s, rng),
        (s.events[0],),
    )


def narrative_end(s: Story, rng: random.Random) -> Draft | None:
    if not s.events or not _unique(s, s.events[-1]):
        return None
    text = _pick(rng, ("How does the story end?", "Which event comes last?"))
    earlier = [e.text for e in s.events[:-1]]
    return (
        text,
        s.events[-1].text,
        rng.sample(earlier, min(2, len(earlier))) + _clauses_like(s, rng),
        (s.events[-1],),
    )


THEMES = (
    "safety on the road",
    "bad weather",
    "help",
    "busy traffic",
    "play",
    "generosity",
    "a hungry animal",
    "care",
    "cooking",
    "danger in the kitchen",
    "an accident at home",
    "a power cut",
    "news",
    "everyday life",
)
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
    found = []
    for t in _telling(s):
        for p in {a.phrase for a in s.phases[t.phase].actors if a.kind == "person"}:
            episodes = {
                e.episode for e in s.events if p in (x.phrase for x in s.phases[e.phase].actors)
            }
            if episodes == {t.episode}:
                found.append((t, p))
    if not found:
        return None
    t, p = rng.choice(sorted(found, key=lambda f: (f[0].index, f[1])))
    text = _pick(
        rng,
        (f"What is the theme of the scene with the {p}?", f"What is the part with the {p} about?"),
    )
    return text, t.episode, THEMES, (t,)


def theme_pair(s: Story, rng: random.Random) -> Draft | None:
    found = [t for t in _telling(s) if t.episode != "everyday life"]
    if len(found) != 2:
        return None
    a, b = found
    text = _pick(rng, ("Which themes does the video join?", "Which title fits the video?"))
    pairs = [
        f"{x} and {y}"
        for x in THEMES[:-1]
        for y in THEMES[:-1]
        if x != y and {x, y} != {a.episode, b.episode}
    ]
    near = [p for p in pairs if (a.episode in p) != (b.episode in p)]
    return text, f"{a.episode} and {b.episode}", rng.sample(near, 3) + rng.sample(pairs, 3), (a, b)


def theme_event(s: Story, rng: random.Random) -> Draft | None:
    found = [t for t in _telling(s) if _is_person(s, t.key) or t.act in ("stops", "drives past")]
    if not found:
        return None
    e = rng.choice(found)
    text = _pick(
        rng, (f"What carries the theme of {e.episode}?", f"Which event stands for {e.episode}?")
    )
    swap = (
        [f"the {p}" for p in _people(rng)]
        if _is_person(s, e.key)
        else [f"the {c} {v}" for c in PAINTS for v in ("car", "bus")]
    )
    rng.shuffle(swap)
    return text, e.text, [f"{x} {e.act}" for x in swap], (e,)


_NUMBERS = ("one", "two", "three", "four")


def _count(s: Story, rng: random.Random, kinds: Sequence[str], name: str) -> Draft | None:
    e = _solo(s, rng)
    if not e:
        return None
    n = sum(a.kind in kinds for a in s.phases[e.phase].actors)
    if not 1 <= n <= 4:
        return None
    text = _pick(
        rng,
        (
            f"How many {name} are visible when {e.text}?",
            f"How many {name} can be seen as {e.text}?",
        ),
    )
    return (
        text,
        _NUMBERS[n - 1],
        _NUMBERS,
        ((e.phase, f"{_NUMBERS[n - 1]} of the {name} can be seen when {e.text}"),),
    )


def situation_people(s: Story, rng: random.Random) -> Draft | None:
    return _count(s, rng, ("person",), "people")


def situation_state(s: Story, rng: random.Random) -> Draft | None:
    outside = [
        e
        for e in s.events
        if _unique(s, e) and e.key != "rain" and s.phases[e.phase].setting == s.setting
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
    text = _pick(
        rng,
        (
            f"Who is furthest to the {side} when {e.text}?",
            f"Which person is on the {side} as {e.text}?",
        ),
    )
    mine = [f"the {a.phrase}" for a in people]
    return (
        text,
        f"the {who.phrase}",
        mine + [f"the {p}" for p in _people(rng)],
        ((e.phase, f"the {who.phrase} is on the {side} when {e.text}"),),
    )


def situation_where(s: Story, rng: random.Random) -> Draft | None:
    found = [
        e
        for e in s.events
        if _unique(s, e)
        and e.act.startswith(("waves", "reads", "walks", "holds a", "gives", "is "))
        and _is_person(s, e.key)
    ]
    if not found:
        return None
    e = rng.choice(found)
    text = _pick(
        rng, (f"Where are we when {e.text}?", f"In which place does it happen that {e.text}?")
    )
    return (
        text,
        f"in the {s.phases[e.phase].setting}",
        [f"in the {x}" for x in ("street", "park", "kitchen", "room")],
        (e,),
    )


def _steps(s: Story) -> list[Event]:
    return [e for e in s.events if e.act.split()[0] in TECHNIQUES]


def cooking_technique(s: Story, rng: random.Random) -> Draft | None:
    steps = _steps(s)
    if not steps:
        return None
    e = rng.choice(steps)
    if sum(x.obj == e.obj and x in steps for x in s.events) != 1:
        return None
    text = _pick(rng, (f"Which technique is used on the {e.obj}?", f"How is the {e.obj} prepared?"))
    return (
        text,
        f"the {e.subject} {e.act}",
        [f"the {e.subject} {t} the {e.obj}" for t in TECHNIQUES],
        (e,),
    )


def cooking_next(s: Story, rng: random.Random) -> Draft | None:
    pairs = [
        (a, b)
        for a, b in zip(s.events, s.events[1:], strict=False)
        if a.act.split()[0] in TECHNIQUES and b.episode == "cooking"
    ]
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    if not _unique(s, a):
        return None
    text = _pick(
        rng, (f"Which step follows after {a.text}?", f"What is done to the meal after {a.text}?")
    )
    pool = [f"the {b.subject} {t} the {i}" for t in TECHNIQUES for i in INGREDIENTS] + [
        f"the {b.subject} serves the {d}" for d in DISHES
    ] * 3
    rng.shuffle(pool)
    return text, b.text, pool, (a, b)


def cooking_first(s: Story, rng: random.Random) -> Draft | None:
    steps = _steps(s)
    if (
        len({e.episode for e in steps}) != 1
        or len(steps) < 2
        or len({e.subject for e in steps}) != 1
    ):
        return None
    e = steps[0]
    text = _pick(
        rng, ("Which cooking step comes first?", "With which step does the cooking begin?")
    )
    pool = [x.text for x in steps[1:]] + [
        f"the {e.subject} {t} the {i}" for t in TECHNIQUES for i in rng.sample(INGREDIENTS, 2)
    ]
    return text, e.text, pool, tuple(steps[:2])


def ingredient_which(s: Story, rng: random.Random) -> Draft | None:
    steps = _steps(s)
    if not steps:
        return None
    e = rng.choice(steps)
    verb = e.act.split()[0]
    if sum(x.act.split()[0] == verb for x in steps) != 1:
        return None
    text = _pick(
        rng,
        (
            f"What does the cook or helper {base(verb)}?",
            f"Which ingredient is there when somebody {verb} something?",
        ),
    )
    return text, f"the {e.obj}", [f"the {i}" for i in INGREDIENTS], (e,)


def ingredient_unused(s: Story, rng: random.Random) -> Draft | None:
    steps = _steps(s)
    used = list(dict.fromkeys(e.obj for e in steps))
    if len(used) != 3 or len(steps) != 3:
        return None
    text = _pick(
        rng, ("Which ingredient is not used?", "Which of these is missing from the cooking?")
    )
    spare = rng.choice([i for i in INGREDIENTS if i not in used])
    return text, f"the {spare}", [f"the {i}" for i in used], tuple(steps)


def ingredient_dish(s: Story, rng: random.Random) -> Draft | None:
    dishes = [e for e in s.events if e.act.startswith("serves")]
    steps = _steps(s)
    if len(dishes) != 1 or not steps:
        return None
    e = rng.choice(steps)
    text = _pick(rng, (f"What is the {e.obj} for?", f"Into which dish does the {e.obj} go?"))
    return text, f"the {dishes[0].obj}", [f"the {d}" for d in DISHES], (e, dishes[0])


def _vehicles(s: Story) -> list[Event]:
    return [e for e in s.events if e.act in ("drives", "drives past")]


def traffic_destination(s: Story, rng: random.Random) -> Draft | None:
    trucks = [e for e in _vehicles(s) if " truck with " in e.subject]
    if not trucks:
        return None
    e = rng.choice(trucks)
    short, _, cargo = e.subject.partition(" with ")
    text = _pick(
        rng, (f"Where is the {short} likely to go?", f"What may be the destination of the {short}?")
    )
    return text, DESTINATIONS[cargo], tuple(DESTINATIONS.values()), (e,)


def traffic_cargo(s: Story, rng: random.Random) -> Draft | None:
    trucks = [e for e in _vehicles(s) if " truck with " in e.subject]
    if not trucks:
        return None
    e = rng.choice(trucks)
    short, _, cargo = e.subject.partition(" with ")
    text = _pick(rng, (f"What does the {short} carry?", f"What is the load of the {short}?"))
    return text, cargo, CARGOES, (e,)


def traffic_first(s: Story, rng: random.Random) -> Draft | None:
    cars = _vehicles(s)
    if len({e.subject for e in cars}) < 2:
        return None
    last = rng.random() < 0.5
    e = cars[-1] if last else cars[0]
    text = _pick(
        rng,
        (
            f"Which vehicle comes {'last' if last else 'first'}?",
            f"Which is the {'last' if last else 'first'} vehicle to drive through?",
        ),
    )
    rest = [f"the {x.subject}" for x in cars if x.subject != e.subject]
    more = [f"the {c} {v}" for c in PAINTS for v in ("car", "bus")]
    rng.shuffle(more)
    return text, f"the {e.subject}", list(dict.fromkeys(rest)) + more, (e,)


FAMILIES: dict[str, tuple[Family, Family, Family]] = {
    "Causal Inference": (causal_why, causal_consequence, causal_chain),
    "Contextual Interpretation": (context_weather, context_presence, context_doing),
    "Event Process": (event_after, event_before, event_between),
    "Interaction Dynamics": (interaction_item, interaction_giver, interaction_how),
    "Behavior Profiling": (behavior_trait, behavior_who, behavior_act),
    "Emotional Recognition": (emotion_after, emotion_who, emotion_why),
    "Influence Tracing": (influence_how, influence_who, influence_source),
    "Role Identification": (role_who, role_name, role_does),
    "Narrative Structuring": (narrative_order, narrative_begin, narrative_end),
    "Thematic Insight": (theme_scene, theme_pair, theme_event),
    "Situational Awareness": (situation_people, situation_state, situation_where),
    "Cooking Steps": (cooking_technique, cooking_next, cooking_first),
    "Ingredient Details": (ingredient_which, ingredient_unused, ingredient_dish),
    "Traffic Analysis": (traffic_destination, traffic_cargo, traffic_first),
}


def ask(story: Story, family: Family, task: str, rng: random.Random) -> Question | None:
    """One question of a family, or None where the story has no material for it."""
    draft = family(story, rng)
    if draft is None:
        return None
    text, answer, pool, proof = draft
    true = {e.text for e in story.events}
    steps = tuple((p.phase, p.text) if isinstance(p, Event) else p for p in proof)
    fixed = family in (narrative_order, narrative_begin, narrative_end, cooking_first)
    false = [o for o in dict.fromkeys(pool) if o != answer and (fixed or o not in true)]
    if not fixed and family is not ingredient_unused:
        rng.shuffle(false)
    if len(false) < 3:
        return None
    options = [answer, *false[:3]]
    rng.shuffle(options)
    return Question(
        task,
        family.__name__,
        text,
        (options[0], options[1], options[2], options[3]),
        options.index(answer),
        tuple(sorted({p for p, _ in steps})),
        steps,
    )


def questions(story: Story, per_task: int = 1) -> Iterator[Question]:
    """Questions about a story, at most `per_task` for each of the 14 tasks; seeded by the story."""
    rng = random.Random(f"questions{story.seed}")
    for task, families in FAMILIES.items():
        made = 0
        for family in rng.sample(families, len(families)):
            question = ask(story, family, task, rng)
            if question is not None:
                yield question
                made += 1
            if made == per_task:
                break
