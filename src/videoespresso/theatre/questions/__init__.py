"""Questions about a story, with four options, the true answer and the evidence it stands on.

14 tasks of the paper (Table 7), three families each. Every false option is of the answer's own kind
and false in this story, and given the question and its options each of the four is as likely to be
right (`elsewhere.py`); where that cannot be, nothing is asked.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from videoespresso.theatre.questions.discourse import (
    narrative_begin,
    narrative_end,
    narrative_order,
    role_does,
    role_name,
    role_who,
    situation_people,
    situation_state,
    situation_where,
    theme_event,
    theme_pair,
    theme_scene,
)
from videoespresso.theatre.questions.draft import Family
from videoespresso.theatre.questions.elsewhere import crossed_options, false_options
from videoespresso.theatre.questions.logic import (
    causal_chain,
    causal_consequence,
    causal_why,
    context_doing,
    context_presence,
    context_weather,
    event_after,
    event_before,
    event_between,
)
from videoespresso.theatre.questions.reality import (
    cooking_first,
    cooking_next,
    cooking_technique,
    ingredient_dish,
    ingredient_unused,
    ingredient_which,
    traffic_cargo,
    traffic_destination,
    traffic_first,
)
from videoespresso.theatre.questions.social import (
    behavior_act,
    behavior_trait,
    behavior_who,
    emotion_after,
    emotion_who,
    emotion_why,
    influence_how,
    influence_source,
    influence_who,
    interaction_giver,
    interaction_how,
    interaction_item,
)
from videoespresso.theatre.stories import Event, Story

__all__ = ["FAMILIES", "Family", "Question", "ask", "questions"]


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

_WHEN = (narrative_begin, narrative_end)
"""They ask when, not whether: a false option may be true of another moment."""


def ask(story: Story, family: Family, task: str, rng: random.Random) -> Question | None:
    """One question of a family, or None without material or with an answer that is too likely."""
    draft = family(story, rng)
    if draft is None:
        return None
    text, context, answer, proof, avoid, fixed, crossed = draft
    false: Sequence[str] | None = fixed
    if crossed:
        false = crossed_options(family.__name__, context, answer, rng)
    elif not fixed:
        texts = [e.text for e in story.events]
        own, true = (texts, ()) if family in _WHEN else ((), texts)
        false = false_options(family.__name__, context, answer, {*true, *avoid}, own, story, rng)
    if not false:
        return None
    steps = tuple((p.phase, p.text) if isinstance(p, Event) else p for p in proof)
    options = [answer, *false]
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
