"""Things one knows from life: cooking, ingredients, traffic."""

import random

from videoespresso.synthetic.questions.draft import Draft, base, pick, unique
from videoespresso.synthetic.scene import TECHNIQUES
from videoespresso.synthetic.stories import CARGOES, DISHES, INGREDIENTS, PAINTS, Event, Story

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
    text = pick(rng, (f"Which technique is used on the {e.obj}?", f"How is the {e.obj} prepared?"))
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
    if not unique(s, a):
        return None
    text = pick(
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
    text = pick(rng, ("Which cooking step comes first?", "With which step does the cooking begin?"))
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
    text = pick(
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
    text = pick(
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
    text = pick(rng, (f"What is the {e.obj} for?", f"Into which dish does the {e.obj} go?"))
    return text, f"the {dishes[0].obj}", [f"the {d}" for d in DISHES], (e, dishes[0])


def _vehicles(s: Story) -> list[Event]:
    return [e for e in s.events if e.act in ("drives", "drives past")]


def traffic_destination(s: Story, rng: random.Random) -> Draft | None:
    trucks = [e for e in _vehicles(s) if " truck with " in e.subject]
    if not trucks:
        return None
    e = rng.choice(trucks)
    short, _, cargo = e.subject.partition(" with ")
    text = pick(
        rng, (f"Where is the {short} likely to go?", f"What may be the destination of the {short}?")
    )
    return text, DESTINATIONS[cargo], tuple(DESTINATIONS.values()), (e,)


def traffic_cargo(s: Story, rng: random.Random) -> Draft | None:
    trucks = [e for e in _vehicles(s) if " truck with " in e.subject]
    if not trucks:
        return None
    e = rng.choice(trucks)
    short, _, cargo = e.subject.partition(" with ")
    text = pick(rng, (f"What does the {short} carry?", f"What is the load of the {short}?"))
    return text, cargo, CARGOES, (e,)


def traffic_first(s: Story, rng: random.Random) -> Draft | None:
    cars = _vehicles(s)
    if len({e.subject for e in cars}) < 2:
        return None
    last = rng.random() < 0.5
    e = cars[-1] if last else cars[0]
    text = pick(
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
