"""Things one knows from life: cooking, ingredients, traffic."""

import random

from videoespresso.theatre.questions.draft import Draft, base, pick, unique
from videoespresso.theatre.scene import TECHNIQUES
from videoespresso.theatre.stories import INGREDIENTS, Event, Story

DESTINATIONS = {
    "logs": "the sawmill",
    "boxes": "the warehouse",
    "fruit": "the market",
    "sand": "the building site",
}


def _steps(s: Story) -> list[Event]:
    return [e for e in s.events if e.act.split()[0] in TECHNIQUES]


def cooking_technique(s: Story, rng: random.Random) -> Draft | None:
    steps = _steps(s)
    if not steps:
        return None
    e = rng.choice(steps)
    if sum(x.obj == e.obj and x in steps for x in s.events) != 1:
        return None
    text = pick(rng, f"Which technique is used on the {e.obj}?", f"How is the {e.obj} prepared?")
    return Draft(text, (e.obj, e.subject), e.text, (e,))


def cooking_next(s: Story, rng: random.Random) -> Draft | None:
    pairs = [
        (a, b)
        for a, b in zip(s.events, s.events[1:], strict=False)
        if a.act.split()[0] in TECHNIQUES and b.episode == "cooking"
    ]
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    if not unique(s, a):
        return None
    text = pick(
        rng, f"Which step follows after {a.text}?", f"What is done to the meal after {a.text}?"
    )
    return Draft(text, (a.text,), b.text, (a, b))


def cooking_first(s: Story, rng: random.Random) -> Draft | None:
    """Later steps and made-up ones: all four differ in technique and in ingredient."""
    steps = _steps(s)
    if (
        not 2 <= len(steps) <= len(TECHNIQUES)
        or len({e.subject for e in steps}) != 1
        or len({e.act.split()[0] for e in steps}) < len(steps)
        or len({e.obj for e in steps}) < len(steps)
    ):
        return None
    e = steps[0]
    text = pick(rng, "Which cooking step comes first?", "With which step does the cooking begin?")
    unused = [i for i in INGREDIENTS if all(i != x.obj for x in steps)]
    left = [t for t in TECHNIQUES if all(t != x.act.split()[0] for x in steps)]
    made_up = zip(left, rng.sample(unused, len(left)), strict=True)
    false = [x.text for x in steps[1:]] + [f"the {e.subject} {t} the {i}" for t, i in made_up]
    return Draft(text, (), e.text, tuple(steps[:2]), false=false)


def ingredient_which(s: Story, rng: random.Random) -> Draft | None:
    steps = _steps(s)
    if not steps:
        return None
    e = rng.choice(steps)
    verb = e.act.split()[0]
    if sum(x.act.split()[0] == verb for x in steps) != 1:
        return None
    text = pick(
        rng,
        f"What does the cook or helper {base(verb)}?",
        f"Which ingredient is there when somebody {verb} something?",
    )
    return Draft(text, (verb,), f"the {e.obj}", (e,))


def ingredient_unused(s: Story, rng: random.Random) -> Draft | None:
    steps = _steps(s)
    used = list(dict.fromkeys(e.obj for e in steps))
    if len(used) != 3 or len(steps) != 3:
        return None
    text = pick(rng, "Which ingredient is not used?", "Which of these is missing from the cooking?")
    spare = rng.choice([i for i in INGREDIENTS if i not in used])
    return Draft(text, (), f"the {spare}", tuple(steps), false=[f"the {i}" for i in used])


def ingredient_dish(s: Story, rng: random.Random) -> Draft | None:
    dishes = [e for e in s.events if e.act.startswith("serves")]
    steps = _steps(s)
    if len(dishes) != 1 or not steps:
        return None
    e = rng.choice(steps)
    text = pick(rng, f"What is the {e.obj} for?", f"Into which dish does the {e.obj} go?")
    return Draft(text, (e.obj,), f"the {dishes[0].obj}", (e, dishes[0]))


def _vehicles(s: Story) -> list[Event]:
    return [e for e in s.events if e.act in ("drives", "drives past")]


def traffic_destination(s: Story, rng: random.Random) -> Draft | None:
    trucks = [e for e in _vehicles(s) if " truck with " in e.subject]
    if not trucks:
        return None
    e = rng.choice(trucks)
    short, _, cargo = e.subject.partition(" with ")
    text = pick(
        rng, f"Where is the {short} likely to go?", f"What may be the destination of the {short}?"
    )
    return Draft(text, (), DESTINATIONS[cargo], (e,))


def traffic_cargo(s: Story, rng: random.Random) -> Draft | None:
    trucks = [e for e in _vehicles(s) if " truck with " in e.subject]
    if not trucks:
        return None
    e = rng.choice(trucks)
    short, _, cargo = e.subject.partition(" with ")
    text = pick(rng, f"What does the {short} carry?", f"What is the load of the {short}?")
    return Draft(text, (), cargo, (e,))


def traffic_first(s: Story, rng: random.Random) -> Draft | None:
    cars = _vehicles(s)
    if len({e.subject for e in cars}) < 2:
        return None
    last = rng.random() < 0.5
    e = cars[-1] if last else cars[0]
    text = pick(
        rng,
        f"Which vehicle comes {'last' if last else 'first'}?",
        f"Which is the {'last' if last else 'first'} vehicle to drive through?",
    )
    return Draft(text, ("last" if last else "first",), f"the {e.subject}", (e,))
