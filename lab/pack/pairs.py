"""Lessons for dataset mode's roles: the theatre's captions, and what the teacher's rules reply.

The rules (`models/embedded/teacher`) read captions and need no training; the pack learns from them
to do the same as a model, so that there is one small model that can play every role.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from lab.pack.conversation import Lesson, lesson, talk
from videoespresso.agents import prompt_parts
from videoespresso.agents.distractor import WRONG
from videoespresso.agents.generator import MOST_PAIRS
from videoespresso.dataset.formats.conversations import Conversation, compact
from videoespresso.models.embedded.teacher.captions import IDLE, Film, film_of, the
from videoespresso.models.embedded.teacher.distractor import distract
from videoespresso.models.embedded.teacher.generator import generate
from videoespresso.models.embedded.teacher.verifier import annotate, verify
from videoespresso.theatre import Story

Caption = tuple[float, str]
Pair = tuple[str, str]
"""Question and answer."""
ROLES = ("generator", "verifier", "annotator", "distractor")
SHARES = (4, 3, 2, 2)
"""How often each is taught; a generator writes most."""
SMALLEST, LARGEST = 4, 20
"""Captions of a group: dataset mode's default is 15, and a short remainder joins the last one."""


def dataset_lesson(story: Story, other: Story, rng: random.Random, with_images: bool) -> Lesson:
    """One role's replies about a group of a story's captions. other: a story whose pairs, asked
    about this one, are hallucinations."""
    captions = _group(story, rng)
    film = _film(captions)
    made: Any = generate(film, MOST_PAIRS, str(rng.random()))
    role = rng.choices(ROLES, SHARES)[0] if made["pairs"] else "generator"
    if role == "generator":
        taught = [talk(role, (prompt_parts.generate_parts(captions), compact(made)))]
    elif role == "verifier":
        posed = list(_judged(film, made["pairs"], other, rng))
        cue = prompt_parts.VERIFY_CUE
        taught = [_about(role, captions, pair, cue, verify(film, *pair)) for pair in posed]
    elif role == "annotator":
        posed = [(p["question"], p["answer"]) for p in made["pairs"]]
        cue = prompt_parts.ANNOTATE_CUE
        taught = [_about(role, captions, pair, cue, annotate(film, *pair)) for pair in posed]
    else:
        pair = rng.choice(made["pairs"])
        taught = [_distracting(captions, (pair["question"], pair["answer"]), rng)]
    return lesson(taught, with_images)


def _distracting(captions: Sequence[Caption], pair: Pair, rng: random.Random) -> Conversation:
    """Wrong answers from the core captions alone, which is what the distractor is shown."""
    core: Any = annotate(_film(captions), *pair)["core"]
    kept = [next(c for c in captions if c[1] == text) for text in core]
    wrong = distract(_film(kept), *pair, WRONG, str(rng.random()))
    return _about("distractor", kept, pair, prompt_parts.DISTRACT_CUE.format(count=WRONG), wrong)


def _group(story: Story, rng: random.Random) -> list[Caption]:
    """Consecutive captions of a story, one a phase, as the semantic filter leaves them."""
    size = rng.randint(SMALLEST, LARGEST)
    first = rng.randrange(max(1, len(story.phases) - size + 1))
    return [(rng.uniform(p.t0, p.t1), p.caption) for p in story.phases[first : first + size]]


def _film(captions: Sequence[Caption]) -> Film:
    """The captions as the rules read them from a prompt."""
    return film_of([text for _, text in captions])


def _judged(
    film: Film, made: Sequence[dict[str, str]], other: Story, rng: random.Random
) -> Iterator[Pair]:
    """True pairs, wrong answers, another story's pairs, and questions that should not be asked."""
    for n, pair in enumerate(made):
        if n % 2 == 0:
            yield pair["question"], pair["answer"]
            continue
        wrong: Any = distract(film, pair["question"], pair["answer"], 1, str(rng.random()))["wrong"]
        yield from ((pair["question"], w["text"]) for w in wrong)
    strange: Any = generate(_film(_group(other, rng)), 1, str(rng.random()))["pairs"]
    yield from ((p["question"], p["answer"]) for p in strange)
    clauses = [c for shot in film.shots for c in shot.clauses if c.act not in IDLE]
    if clauses:
        one = rng.choice(clauses)
        yield rng.choice(
            (
                (f"What is {the(one.who)} doing?", f"{the(one.who).capitalize()} {one.act}."),
                (f"Would you like it that {one.text}?", f"Yes, because {one.text}."),
                (f"What might come of it that {one.text}?", f"Perhaps {one.text} again."),
            )
        )


def _about(
    role: str, captions: Sequence[Caption], pair: Pair, cue: str, reply: object
) -> Conversation:
    return talk(role, (prompt_parts.pair_parts(captions, *pair, cue), compact(reply)))
