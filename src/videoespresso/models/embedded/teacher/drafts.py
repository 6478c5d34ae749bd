"""The questions that captions carry, one family of drafts a function.

Each draft asks for what takes several captions: an order, a change, what came before or after. An
event that a question names happens once in the group, so that "after it" means one thing.
"""

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from videoespresso.models.embedded.teacher import words as w
from videoespresso.models.embedded.teacher.patterns import leads_to
from videoespresso.models.embedded.teacher.reading import Clause, Film, Happening, kind, the, things
from videoespresso.tasks import Task


class Draft(NamedTuple):
    """A question, its answer, its task, and the clauses it stands on."""

    task: Task
    question: str
    answer: str
    about: tuple[Clause, ...]


Family = Callable[[Film, random.Random], Iterator[Draft]]


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def do(who: str) -> str:
    """ "does" or, of several, "do"."""
    return "do" if w.is_plural(who) else "does"


def does(who: str) -> str:
    """ "does the dog", as a question has it."""
    return f"{do(who)} {the(who)}"


def one_by_one(clauses: list[Clause]) -> str:
    """ "first the dog barks, then the cat runs away, and at last the bird flies away"."""
    texts = [c.text for c in clauses]
    middle = "".join(f", then {text}" for text in texts[1:-1])
    last = f", and at last {texts[-1]}" if middle else f", then {texts[-1]}"
    return f"first {texts[0]}{middle}{last}"


def steps(film: Film) -> list[Happening]:
    """Events that can be told in an order: each happens once, and alone starts where it does."""
    starts = [h.start for h in film.events]
    return [
        h
        for h in film.events
        if film.once(h.clause)
        and starts.count(h.start) == 1
        and not {"it", "them", "him"} & set(h.clause.act.split())
    ]


def neighbours(film: Film) -> list[tuple[Happening, Happening]]:
    """Steps of which one is the next thing that happens after the other."""
    known = steps(film)
    starts = sorted({h.start for h in film.events})
    after = dict(pairwise(starts))
    return [(a, b) for a in known for b in known if after.get(a.start) == b.start]


def event_process(film: Film, rng: random.Random) -> Iterator[Draft]:
    """What comes right after, or right before."""
    for a, b in neighbours(film):
        x, y = a.clause.text, b.clause.text
        forward = (
            f"What happens right after {x}?",
            f"What is the next thing that happens after {x}?",
        )
        back = (f"What happens right before {y}?", f"What happens just before {y}?")
        question, answer = rng.choice([(q, y) for q in forward] + [(q, x) for q in back])
        yield Draft("Event Process", question, sentence(answer), (a.clause, b.clause))


def narrative(film: Film, rng: random.Random) -> Iterator[Draft]:
    """Three events that are to be put in order; the question names them in another."""
    known = steps(film)
    for at in range(len(known) - 2):
        chosen = [h.clause for h in known[at : at + 3]]
        named = chosen[:]
        while named == chosen:
            rng.shuffle(named)
        listed = "; ".join(c.text for c in named)
        question = rng.choice(
            (
                f"In which order do these events happen: {listed}?",
                f"What is the right order of these events: {listed}?",
            )
        )
        answer = sentence(one_by_one(chosen))
        yield Draft("Narrative Structuring", question, answer, tuple(chosen))


def causes(film: Film) -> list[tuple[Clause, Clause]]:
    """Neighbours of which the one is known to bring about the other."""
    return [(a.clause, b.clause) for a, b in neighbours(film) if leads_to(a.clause, b.clause)]


def why(clause: Clause) -> str:
    """ "Why does the red car stop"."""
    verb, _, rest = clause.act.partition(" ")
    if verb in w.COPULAS:
        return f"Why {verb} {the(clause.who)} {rest}"
    if w.base(clause.act) == clause.act:
        return f"Why do {the(clause.who)} {clause.act}"
    return f"Why does {the(clause.who)} {w.base(clause.act)}"


def causal(film: Film, rng: random.Random) -> Iterator[Draft]:
    """Why something happens, where a known pattern says so."""
    for a, b in causes(film):
        question = rng.choice((f"{why(b)}?", f"What is the reason that {b.text}?"))
        yield Draft("Causal Inference", question, f"Because {a.text}.", (a, b))


def influence(film: Film, rng: random.Random) -> Iterator[Draft]:
    """What something leads to."""
    for a, b in causes(film):
        question = rng.choice(
            (
                f"What does it directly lead to that {a.text}?",
                f"What is the direct result when {a.text}?",
            )
        )
        yield Draft("Influence Tracing", question, sentence(b.text), (a, b))


def emotional(film: Film, rng: random.Random) -> Iterator[Draft]:
    """How somebody feels after something, or how a mood turns into another."""
    for a, b in neighbours(film):
        if b.clause.mood and not a.clause.mood:
            question = rng.choice(
                (
                    f"How {does(b.clause.who)} feel right after {a.clause.text}?",
                    f"What is the mood of {the(b.clause.who)} right after {a.clause.text}?",
                )
            )
            yield Draft(
                "Emotional Recognition", question, sentence(b.clause.text), (a.clause, b.clause)
            )


def roles(film: Film, rng: random.Random) -> Iterator[Draft]:
    """Who does something before or after something else."""
    for a, b in neighbours(film):
        first = rng.random() < 0.5
        asked, other, word = (
            (a.clause, b.clause, "before") if first else (b.clause, a.clause, "after")
        )
        actors = {h.clause.who for h in film.happenings if h.clause.act == asked.act}
        same = asked.who == other.who or asked.who in other.act
        if kind(asked.who) != "person" or w.is_plural(asked.who) or asked.mood or same:
            continue
        if len(actors) > 1:
            continue
        question = rng.choice(
            (
                f"Who {asked.act} {word} {other.text}?",
                f"Which person {asked.act} {word} {other.text}?",
            )
        )
        yield Draft("Role Identification", question, sentence(the(asked.who)), (a.clause, b.clause))


def behavior(film: Film, rng: random.Random) -> Iterator[Draft]:
    """What one person does, one thing after the other."""
    for who in film.subjects:
        own = [h.clause for h in film.events if h.clause.who == who and not h.clause.mood]
        if kind(who) != "person" or len(own) not in (2, 3) or not all(map(film.once, own)):
            continue
        order = sorted((h.start, h.clause) for h in film.events if h.clause in own)
        if len({start for start, _ in order}) < len(order):
            continue
        question = rng.choice(
            (
                f"What {does(who)} do, one thing after the other?",
                f"Which things {does(who)} do, and in which order?",
            )
        )
        chosen = [c for _, c in order]
        yield Draft("Behavior Profiling", question, sentence(one_by_one(chosen)), tuple(chosen))


def interaction(film: Film, rng: random.Random) -> Iterator[Draft]:
    """What one person does to another, before or after something else happens."""
    people = [s for s in film.subjects if kind(s) == "person"]
    for a, b in neighbours(film):
        for deed, other, word in ((a.clause, b.clause, "before"), (b.clause, a.clause, "after")):
            to = [t for t in things(deed.act) if t in people and t != deed.who]
            own = [h for h in film.events if h.clause.who == deed.who and h.clause != deed]
            if (
                kind(deed.who) != "person"
                or not to
                or any(h.start in (a.start, b.start) for h in own)
            ):
                continue
            question = rng.choice(
                (
                    f"What {does(deed.who)} do to {the(to[-1])} {word} {other.text}?",
                    f"How {does(deed.who)} deal with {the(to[-1])} {word} {other.text}?",
                )
            )
            answer = sentence(deed.text)
            yield Draft("Interaction Dynamics", question, answer, (a.clause, b.clause))
