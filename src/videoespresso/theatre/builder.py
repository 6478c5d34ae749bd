"""Puts a story together phase by phase: the words it may use, its events, and its builder."""

import random
from dataclasses import dataclass, field, replace

from videoespresso.theatre.scene import Actor, Phase

SETTINGS = ("street", "park", "kitchen", "room")
WEATHERS = ("sun", "rain", "snow", "night")
MOODS = ("happy", "sad", "angry", "surprised")
SHIRTS = ("red", "blue", "green", "yellow", "purple", "white")
PAINTS = ("red", "blue", "green", "yellow", "white")
ROLES = ("cook", "officer", "builder")
CARGOES = ("logs", "boxes", "fruit", "sand")
INGREDIENTS = ("carrot", "egg", "fish", "tomato", "onion", "cheese", "bread")
DISHES = ("soup", "salad", "pizza", "cake")
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
