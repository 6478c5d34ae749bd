"""Seeded stories: what happens, when, because of what.

A story is a row of phases. An *event* is a clause that becomes true in one phase ("red car stops")
with, where there is one, the event that caused it. Which cause, actor, mood or thing takes part is
drawn independently, so that a question cannot be answered from its own words.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from videoespresso.synthetic.scene import TECHNIQUES, Actor, Phase, Scene
from videoespresso.synthetic.style import StyleFamily, make_style

SETTINGS = ("street", "park", "kitchen", "room")
WEATHERS = ("sun", "rain", "snow", "night")
MOODS = ("happy", "sad", "angry", "surprised")
SHIRTS = ("red", "blue", "green", "yellow", "purple", "white")
PAINTS = ("red", "blue", "green", "yellow", "white")
ROLES = ("cook", "officer", "builder")
CARGOES = ("logs", "boxes", "fruit", "sand")
INGREDIENTS = ("carrot", "egg", "fish", "tomato", "onion", "cheese", "bread")
DISHES = ("soup", "salad", "pizza", "cake")
SPLITS = {
    "train": (0, 1_000_000),
    "validation": (1_000_000, 1_100_000),
    "test": (1_100_000, 1_200_000),
}
"""Seed ranges a split; seeds from 2,000,000 on are kept for audits and never trained on."""

FEET = {"street": 116.0, "park": 152.0, "kitchen": 150.0, "room": 164.0}
FLOOR = {"street": 118.0, "park": 160.0, "kitchen": 121.0, "room": 172.0}


@dataclass(frozen=True)
class Event:
    """Something that happens. `obj`: the other party or thing; `cause`: index of its cause."""

    index: int
    phase: int
    key: str
    subject: str
    act: str
    episode: str
    obj: str = ""
    mood: str = ""
    cause: int | None = None

    @property
    def clause(self) -> str:
        return "it starts to rain" if self.key == "rain" else f"{self.subject} {self.act}"

    @property
    def text(self) -> str:
        """As a sentence without its full stop: "the red car stops"."""
        return self.clause if self.key == "rain" else f"the {self.clause}"


@dataclass(frozen=True)
class Story:
    """A whole video, before it is drawn."""

    seed: int
    family: StyleFamily
    setting: str
    phases: tuple[Phase, ...]
    events: tuple[Event, ...]
    width: int
    fps: int
    pole: float | None

    @property
    def duration_s(self) -> float:
        return self.phases[-1].t1

    def phase_at(self, t: float) -> int:
        """Index of the phase on stage at `t` seconds; the last one after the end."""
        return next((i for i, p in enumerate(self.phases) if t < p.t1), len(self.phases) - 1)

    def scene(self, t: float) -> Scene:
        """The stage at `t` seconds."""
        phase = self.phases[self.phase_at(t)]
        return Scene(phase, t, make_style(self.seed, phase.setting, self.family), self.pole)


@dataclass
class Builder:
    """Puts a story together phase by phase."""

    rng: random.Random
    setting: str
    weather: str
    t: float = 0.0
    stage: dict[str, Actor] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    looks: set[str] = field(default_factory=set)

    def slot(self) -> float:
        """A place on stage away from everybody else."""
        taken = [a.x1 for a in self.stage.values()]
        places = [x + self.rng.uniform(-0.03, 0.03) for x in (0.12, 0.29, 0.46, 0.63, 0.8)]
        self.rng.shuffle(places)
        return max(places, key=lambda x: min([0.15, *(abs(x - other) for other in taken)]))

    def person(self, *, child: bool = False, role: str = "") -> str:
        """A new person with a look nobody else has; returns the key."""
        rng = self.rng
        while True:
            plain = ("boy", "girl") if child else ("man", "woman")
            who = role or (
                rng.choice(ROLES) if not child and rng.random() < 0.3 else rng.choice(plain)
            )
            color = "" if who in ROLES else rng.choice(SHIRTS)
            phrase = who if who in ROLES else f"{who} in {color}"
            if phrase not in self.looks:
                break
            role = ""
        self.looks.add(phrase)
        x = self.slot()
        self.stage[phrase] = Actor(
            phrase, "person", phrase, x, x, FEET[self.setting], who=who, color=color
        )
        return phrase

    def thing(self, kind: str, act: str, x: float, y: float) -> str:
        self.stage[kind] = Actor(kind, kind, kind, x, x, y, act=act)
        return kind

    def animal(self, kind: str) -> str:
        x = self.slot()
        self.stage[kind] = Actor(kind, kind, kind, x, x, FLOOR[self.setting], left=x > 0.5)
        self.looks.add(kind)
        return kind

    def vehicle(self, kind: str) -> str:
        rng = self.rng
        while True:
            color = rng.choice(PAINTS)
            cargo = rng.choice(CARGOES) if kind == "truck" else ""
            phrase = f"{color} {kind}" + (f" with {cargo}" if cargo else "")
            if f"{color} {kind}" not in self.looks:
                break
        self.looks.add(f"{color} {kind}")
        left = rng.random() < 0.5
        self.stage[phrase] = Actor(
            phrase, kind, phrase, 0.5, 0.5, 168.0, color=color, cargo=cargo, left=left
        )
        return phrase

    def show(self, seconds: float) -> int:
        """A phase of `seconds` in which everybody goes on with what `act` gave them to do."""
        pan = self.rng.choice((-1.0, 1.0)) if self.rng.random() < 0.15 else 0.0
        self.phases.append(
            Phase(
                self.t,
                self.t + seconds,
                self.setting,
                self.weather,
                tuple(self.stage.values()),
                pan,
            )
        )
        self.t += seconds
        return len(self.phases) - 1

    def act(
        self,
        key: str,
        act: str,
        *,
        mood: str | None = None,
        x: tuple[float, float] | None = None,
        y: float | None = None,
        left: bool | None = None,
    ) -> None:
        a = self.stage[key]
        x0, x1 = x if x else (a.x1, a.x1)
        self.stage[key] = replace(
            a,
            act=act,
            mood=a.mood if mood is None else mood,
            x0=x0,
            x1=x1,
            y=a.y if y is None else y,
            left=a.left if left is None else left,
        )

    def leave(self, key: str) -> None:
        self.stage.pop(key, None)

    def event(
        self,
        key: str,
        episode: str,
        *,
        obj: str = "",
        cause: Event | None = None,
        seconds: float | None = None,
    ) -> Event:
        """Show what `key` now does for a few seconds and record it as an event."""
        phase = self.show(seconds or self.rng.choice((2.0, 2.5, 3.0, 4.0)))
        a = self.stage.get(key)
        act = a.act or f"is {a.mood}" if a else "starts"
        e = Event(
            len(self.events),
            phase,
            key,
            a.phrase if a else "rain",
            act,
            episode,
            obj,
            a.mood if a else "",
            cause.index if cause else None,
        )
        self.events.append(e)
        return e

    def calm(self, *keys: str) -> None:
        """People and animals stop what they do; moods pass."""
        for key in keys or tuple(self.stage):
            a = self.stage.get(key)
            if a and a.kind in ("person", "dog", "cat", "bird"):
                self.stage[key] = replace(
                    a,
                    act="",
                    mood="",
                    x0=a.x1,
                    x1=a.x1,
                    y=(FEET if a.kind == "person" else FLOOR)[self.setting],
                )

    def pause(self) -> None:
        """Now and then a long stretch in which nothing happens."""
        self.calm()
        if self.rng.random() < 0.45:
            self.show(self.rng.choice((2.0, 3.0, 5.0, 9.0)))

    def feels(self, key: str, episode: str, cause: Event) -> Event:
        """A mood of `key`, drawn at random, caused by `cause`."""
        self.act(key, "", mood=self.rng.choice(MOODS))
        return self.event(key, episode, cause=cause)

    def anyone(self) -> str:
        """Somebody on stage, or somebody new."""
        people = [k for k, a in self.stage.items() if a.kind == "person"]
        if len(people) >= 3 or (people and self.rng.random() < 0.3):
            return self.rng.choice(people)
        return self.person()


def _two_people(b: Builder) -> tuple[str, str]:
    a = b.anyone()
    people = [k for k, v in b.stage.items() if v.kind == "person" and k != a]
    return a, (b.rng.choice(people) if len(people) >= 2 else b.person(child=b.rng.random() < 0.5))


def _stop(b: Builder) -> None:
    car = b.vehicle(b.rng.choice(("car", "car", "bus", "truck")))
    left = b.stage[car].left
    if "light" not in b.stage:
        b.thing("light", "is green", 0.93, 118.0)
    way = (1.1, 0.75) if left else (-0.1, 0.25)
    b.act(car, "drives", x=way)
    b.event(car, "safety on the road")
    stop_x = 0.7 if left else 0.3
    b.act(car, "drives", x=(way[1], stop_x))
    cause = b.rng.choice(("light", "dog", "cat", "officer", "person", "boy"))
    ahead = stop_x + (-0.34 if left else 0.34)
    if cause == "light":
        key = "light"
        b.act(key, "is red")
    elif cause in ("dog", "cat"):
        key = b.animal(cause) if cause not in b.stage else cause
        b.act(key, "crosses the road", x=(ahead - 0.1, ahead + 0.05), y=160.0, left=False)
    elif cause == "officer" and "officer" not in b.looks:
        key = b.person(role="officer")
        b.act(key, "raises a hand", x=(ahead, ahead), y=150.0)
    else:
        key = b.person(child=cause == "boy")
        b.act(key, "crosses the road", x=(ahead - 0.08, ahead + 0.05), y=152.0)
    why = b.event(key, "safety on the road")
    b.act(car, "stops", x=(stop_x, stop_x))
    if b.stage[key].x0 != b.stage[key].x1:
        b.act(key, b.stage[key].act, x=(b.stage[key].x1, b.stage[key].x1 + 0.04))
    effect = b.event(car, "safety on the road", cause=why)
    watchers = [k for k, v in b.stage.items() if v.kind == "person" and k != key]
    if watchers and b.rng.random() < 0.5:
        b.feels(b.rng.choice(watchers), "safety on the road", effect)
    if key == "light":
        b.act("light", "is green")
    elif b.stage[key].kind != "person" or len(b.stage) > 4:
        b.leave(key)
    b.calm()
    b.leave(car)


def _rain(b: Builder) -> None:
    if b.weather == "rain":
        return _give(b)
    who = b.anyone()
    b.calm()
    if b.rng.random() < 0.6:
        b.show(3.0)
    b.weather = "rain"
    why = b.event("rain", "bad weather")
    b.act(who, b.rng.choice(("opens an umbrella", "runs away")))
    effect = b.event(who, "bad weather", cause=why)
    b.act(who, "")
    if b.rng.random() < 0.6:
        b.feels(who, "bad weather", effect)
    b.calm()
    return None


def _drop(b: Builder) -> None:
    a, q = _two_people(b)
    b.act(a, "drops the box")
    why = b.event(a, "help", obj="box")
    b.act(a, "")
    if b.rng.random() < 0.6:
        b.feels(a, "help", why)
        b.calm(a)
    b.act(q, b.rng.choice((f"gives the box to the {a}", "runs away", "waves")))
    last = b.event(q, "help", obj=a, cause=why)
    b.calm(q)
    if b.rng.random() < 0.6:
        b.feels(a, "help", last)
    b.calm()


def _parade(b: Builder) -> None:
    kinds = b.rng.sample(("car", "bus", "truck", "truck", "car"), b.rng.choice((2, 3)))
    b.calm()
    for kind in kinds:
        car = b.vehicle(kind)
        left = b.stage[car].left
        b.act(car, "drives past", x=(0.72, 0.3) if left else (0.28, 0.7))
        b.event(car, "busy traffic")
        b.leave(car)


def _kick(b: Builder) -> None:
    kid = b.person(child=True)
    effect = b.rng.choice(("bird", "dog", "cat", "flower", "person"))
    if effect in ("bird", "dog", "cat") and effect not in b.stage:
        b.animal(effect)
    elif effect == "flower" and "flower" not in b.stage:
        b.thing("flower", "blooms", 0.9, FLOOR[b.setting])
    other = b.anyone() if effect == "person" else ""
    b.act(kid, "kicks the ball")
    why = b.event(kid, "play", obj="ball")
    b.calm(kid)
    if effect == "bird":
        b.act("bird", "flies away", x=(b.stage["bird"].x1, b.stage["bird"].x1 + 0.12))
        b.event("bird", "play", cause=why)
        b.leave("bird")
    elif effect in ("dog", "cat"):
        x = b.stage[effect].x1
        b.act(effect, "runs after the ball", x=(x, x + (-0.08 if b.stage[effect].left else 0.08)))
        b.event(effect, "play", cause=why, obj="ball")
    elif effect == "flower":
        b.act("flower", "breaks")
        b.event("flower", "play", cause=why)
        b.leave("flower")
    elif other and other != kid:
        b.feels(other, "play", why)
    b.calm()


def _give(b: Builder) -> None:
    a, q = _two_people(b)
    outside = ("balloon", "ball", "book", "bread") if b.setting != "room" else ()
    item = b.rng.choice(outside or ("gift", "book", "cake", "balloon"))
    b.act(a, f"gives the {item} to the {q}")
    why = b.event(a, "generosity", obj=q)
    b.calm(a)
    if b.rng.random() < 0.75:
        b.feels(q, "generosity", why)
    b.calm()


def _steal(b: Builder) -> None:
    thief = b.rng.choice(("dog", "cat", "bird"))
    victim = b.anyone()
    if thief not in b.stage:
        b.animal(thief)
    item = b.rng.choice(("bread", "fish", "cheese"))
    b.act(victim, f"holds the {item}")
    b.event(victim, "a hungry animal", obj=item)
    b.calm(victim)
    x = b.stage[thief].x1
    b.act(thief, f"takes the {item}", x=(x, x + (0.05 if x < 0.5 else -0.05)), left=x >= 0.5)
    why = b.event(thief, "a hungry animal", obj=item)
    b.leave(thief)
    if b.rng.random() < 0.8:
        b.feels(victim, "a hungry animal", why)
    b.calm()


def _water(b: Builder) -> None:
    who = b.anyone()
    if "flower" not in b.stage:
        x = b.stage[who].x1 + (0.2 if b.stage[who].x1 < 0.7 else -0.2)
        b.thing("flower", "wilts", x, FLOOR[b.setting])
        b.calm()
        b.show(2.0)
    b.act(who, "waters the flower")
    why = b.event(who, "care", obj="flower")
    b.calm(who)
    b.act("flower", "blooms")
    b.event("flower", "care", cause=why)
    b.leave("flower")


def _cook(b: Builder) -> None:
    who = b.anyone()
    if b.stage[who].x1 > 0.6:
        b.act(who, "", x=(0.5, 0.5))
    steps = list(zip(b.rng.sample(INGREDIENTS, 3), b.rng.sample(TECHNIQUES, 3), strict=True))
    for item, technique in steps[: b.rng.choice((2, 3))]:
        b.act(who, f"{technique} the {item}")
        b.event(who, "cooking", obj=item)
    b.act(who, f"serves the {b.rng.choice(DISHES)}")
    b.event(who, "cooking", obj=b.stage[who].act.split()[-1])
    b.calm()


def _smoke(b: Builder) -> None:
    who = b.anyone()
    b.thing("pan", "smokes", 0.9 if b.stage[who].x1 < 0.7 else 0.08, 121.0)
    why = b.event("pan", "danger in the kitchen")
    b.feels(who, "danger in the kitchen", why)
    b.leave("pan")
    b.calm()


def _vase(b: Builder) -> None:
    who = b.anyone()
    b.thing("vase", "stands", 0.88, 122.0)
    cause = b.rng.choice(("cat", "dog", "boy"))
    if cause == "boy":
        key = b.person(child=True)
        b.act(key, "kicks the ball")
    else:
        key = cause if cause in b.stage else b.animal(cause)
        x = b.stage[key].x1
        b.act(key, "runs past", x=(x, min(x + 0.1, 0.85)), left=False)
    why = b.event(key, "an accident at home")
    b.calm(key)
    b.act("vase", "breaks")
    effect = b.event("vase", "an accident at home", cause=why)
    b.leave("vase")
    if b.rng.random() < 0.7:
        b.feels(who, "an accident at home", effect)
        b.calm(who)
    if b.rng.random() < 0.6:
        b.act(who, "sweeps the floor")
        b.event(who, "an accident at home", cause=effect)
    b.calm()


def _lamp(b: Builder) -> None:
    who = b.anyone()
    if "lamp" not in b.stage:
        b.thing("lamp", "is on", 0.5, 0.0)
    b.calm()
    b.act("lamp", "is on")
    b.show(2.0)
    b.act("lamp", "is off")
    why = b.event("lamp", "a power cut")
    b.act(who, b.rng.choice(("lights a candle", "falls asleep", "waves")))
    effect = b.event(who, "a power cut", cause=why)
    b.calm(who)
    if b.rng.random() < 0.5:
        b.feels(who, "a power cut", effect)
    b.calm()


def _phone(b: Builder) -> None:
    who = b.anyone()
    if b.stage[who].x1 > 0.72:
        b.act(who, "", x=(0.6, 0.6))
    b.thing("phone", "rings", 0.9, 122.0)
    why = b.event("phone", "news")
    b.leave("phone")
    b.act(who, "answers the phone")
    effect = b.event(who, "news", cause=why, obj="phone")
    b.calm(who)
    b.feels(who, "news", effect)
    b.calm()


def _idle(b: Builder) -> None:
    """A distractor: something that has nothing to do with the rest."""
    who = b.anyone()
    b.act(who, b.rng.choice(("waves", "reads a book", "holds a balloon", "walks")))
    b.event(who, "everyday life")
    b.calm()


EPISODES: dict[str, tuple[Callable[[Builder], object], ...]] = {
    "street": (_stop, _stop, _parade, _parade, _drop, _rain),
    "park": (_kick, _give, _steal, _water, _rain, _drop),
    "kitchen": (_cook, _cook, _cook, _smoke, _steal, _give),
    "room": (_vase, _lamp, _phone, _give, _water, _vase),
}


def make_story(seed: int, family: StyleFamily = "train", setting: str | None = None) -> Story:
    """The story of `seed`: 8-60 s, the same on every machine."""
    rng = random.Random(f"story{seed}")
    setting = setting or rng.choice(SETTINGS)
    outdoor = setting in ("street", "park")
    b = Builder(rng, setting, rng.choice(WEATHERS) if outdoor else "")
    b.person()
    if rng.random() < 0.7:
        b.show(rng.choice((2.0, 3.0, 4.0, 8.0)))
    episodes = [*rng.sample(EPISODES[setting], 2)]
    if rng.random() < 0.5:
        episodes.insert(rng.randrange(3), _idle)
    for k, episode in enumerate(episodes):
        crowd = [key for key, a in b.stage.items() if a.kind == "person"]
        for key in crowd[: max(0, len(crowd) - 1)]:
            b.leave(key)
        episode(b)
        if k < len(episodes) - 1:
            b.pause()
            if rng.random() < 0.15:
                _insert_shot(b)
    if rng.random() < 0.4:
        b.show(rng.choice((2.0, 4.0, 6.0)))
    scale = min(1.0, 60.0 / b.t)
    phases = tuple(replace(p, t0=p.t0 * scale, t1=p.t1 * scale) for p in b.phases)
    return Story(
        seed,
        family,
        setting,
        phases,
        tuple(b.events),
        rng.choice((320, 480, 640)),
        rng.choice((10, 12, 15)),
        rng.uniform(0.05, 0.95) if rng.random() < 0.2 else None,
    )


def _insert_shot(b: Builder) -> None:
    """A cut to somewhere else that matters to nobody."""
    kept, setting, weather = dict(b.stage), b.setting, b.weather
    b.setting = b.rng.choice([s for s in ("park", "street") if s != setting])
    b.weather = weather or "sun"
    b.stage = {}
    b.thing("flower", "blooms", b.rng.uniform(0.2, 0.8), FLOOR[b.setting])
    if b.rng.random() < 0.5:
        b.animal("bird")
        b.looks.discard("bird")
    b.show(2.0)
    b.stage, b.setting, b.weather = kept, setting, weather
