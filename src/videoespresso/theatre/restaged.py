"""The same story in a longer film: what happens in it, and what is asked of it, stay as they were.

Between its phases come stretches in which nothing happens, as `Builder.pause` makes them.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from videoespresso.theatre.builder import FEET, FLOOR
from videoespresso.theatre.questions import Question
from videoespresso.theatre.scene import ANIMALS, Actor, Phase
from videoespresso.theatre.stories import Story

MOST_FRAMES, LEAST_FPS = 3600, 2
"""A long film has fewer frames a second, since each of them is drawn."""


def longer(story: Story, seconds: float) -> tuple[Story, list[int]]:
    """The story in a film of so many seconds, and which phase each of its phases is there. One that
    is longer than that is played faster."""
    rng = random.Random(f"longer{story.seed} {seconds:g}")
    scale = min(1.0, seconds / story.duration_s)
    cuts = [0.0, *sorted(rng.random() for _ in story.phases), 1.0]
    rest = [(b - a) * (seconds - scale * story.duration_s) for a, b in pairwise(cuts)]
    phases: list[Phase] = []
    at: list[int] = []
    t, before = 0.0, story.phases[0]
    for phase, wait in zip((*story.phases, None), rest, strict=True):
        if wait > 0:
            phases.append(_still(before, t, t + wait))
            t += wait
        if phase is not None:
            at.append(len(phases))
            lasts = scale * (phase.t1 - phase.t0)
            phases.append(replace(phase, t0=t, t1=t + lasts))
            t, before = t + lasts, phase
    fps = min(story.fps, max(LEAST_FPS, int(MOST_FRAMES / seconds)))
    events = tuple(replace(event, phase=at[event.phase]) for event in story.events)
    return replace(story, phases=tuple(phases), events=events, fps=fps), at


def moved(question: Question, at: Sequence[int]) -> Question:
    """The question about the longer film."""
    return replace(
        question,
        core=tuple(at[k] for k in question.core),
        evidence=tuple((at[k], text) for k, text in question.evidence),
    )


def _still(phase: Phase, t0: float, t1: float) -> Phase:
    actors = tuple(_calm(actor, phase.setting) for actor in phase.actors)
    return replace(phase, t0=t0, t1=t1, actors=actors, pan=0.0)


def _calm(actor: Actor, setting: str) -> Actor:
    """As `Builder.calm`: people and animals do nothing, moods pass; things stay as they are."""
    still = replace(actor, x0=actor.x1)
    if actor.kind == "person":
        return replace(still, act="", mood="", y=FEET[setting])
    return replace(still, act="", mood="", y=FLOOR[setting]) if actor.kind in ANIMALS else still
