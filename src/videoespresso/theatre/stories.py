"""Seeded stories: what happens, when, because of what.

A story is a row of phases. An *event* is a clause that becomes true in one phase ("red car stops")
with, where there is one, the event that caused it. Which cause, actor, mood or thing takes part is
drawn independently, so that a question cannot be answered from its own words.
"""

import random
from dataclasses import dataclass, replace

from videoespresso.theatre.builder import (
    CARGOES,
    DISHES,
    INGREDIENTS,
    MOODS,
    PAINTS,
    ROLES,
    SETTINGS,
    SHIRTS,
    WEATHERS,
    Builder,
    Event,
)
from videoespresso.theatre.episodes import EPISODES, idle, insert_shot
from videoespresso.theatre.scene import Phase, Scene
from videoespresso.theatre.style import StyleFamily, make_style

__all__ = [
    "CARGOES",
    "DISHES",
    "INGREDIENTS",
    "MOODS",
    "PAINTS",
    "ROLES",
    "SETTINGS",
    "SHIRTS",
    "SPLITS",
    "WEATHERS",
    "Event",
    "Story",
    "make_story",
]


SPLITS = {
    "train": (0, 1_000_000),
    "validation": (1_000_000, 1_100_000),
    "test": (1_100_000, 1_200_000),
}
"""Seed ranges a split; seeds from 2,000,000 on are kept for audits and never trained on."""
SHORTEST_S, LONGEST_S = 8.0, 60.0


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
        episodes.insert(rng.randrange(3), idle)
    for k, episode in enumerate(episodes):
        crowd = [key for key, a in b.stage.items() if a.kind == "person"]
        for key in crowd[: max(0, len(crowd) - 1)]:
            b.leave(key)
        episode(b)
        if k < len(episodes) - 1:
            b.pause()
            if rng.random() < 0.15:
                insert_shot(b)
    if rng.random() < 0.4:
        b.show(rng.choice((2.0, 4.0, 6.0)))
    if b.t < SHORTEST_S:  # one story in three thousand
        b.show(SHORTEST_S - b.t)
    scale = min(1.0, LONGEST_S / b.t)
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
