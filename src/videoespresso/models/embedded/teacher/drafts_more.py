"""Questions on the scene: changes of state and weather, threads, cooking, traffic."""

import random
from collections.abc import Iterator
from itertools import combinations, pairwise

from videoespresso.models.embedded.teacher import words as w
from videoespresso.models.embedded.teacher.drafts import (
    Draft,
    do,
    does,
    neighbours,
    one_by_one,
    sentence,
    steps,
)
from videoespresso.models.embedded.teacher.reading import Clause, Film, Happening, kind, the, things


def situation(film: Film, rng: random.Random) -> Iterator[Draft]:
    """How a thing changes from one state to another."""
    for thing in film.subjects:
        states = [h for h in film.happenings if h.clause.who == thing]
        if any(things(h.clause.act) or len(h.clause.act.split()) > 3 for h in states):
            continue
        if kind(thing) != "thing" or len(states) != 2 or states[0].end >= states[1].start:
            continue
        if film.shots[states[0].end].place != film.shots[states[1].start].place:
            continue
        before, after = (h.clause for h in states)
        question = rng.choice(
            (f"What changes about {the(thing)}?", f"How does the state of {the(thing)} change?")
        )
        answer = sentence(one_by_one([before, after]))
        yield Draft("Situational Awareness", question, answer, (before, after))


def context(film: Film, rng: random.Random) -> Iterator[Draft]:
    """How the weather or the place changes."""
    weathers = [(s.place, s.weather) for s in film.shots if s.weather]
    turns = [(a, b) for a, b in pairwise(weathers) if a != b]
    if len(turns) == 1 and turns[0][0][0] == turns[0][1][0]:
        (place, before), (_, after) = turns[0]
        where = f" in the {place}" if place else ""
        question = rng.choice(
            (f"How does the weather{where} change?", f"What change of weather is there{where}?")
        )
        yield Draft("Contextual Interpretation", question, f"From {before} to {after}.", ())
    places = [s.place for s in film.shots if s.place]
    moves = [(a, b) for a, b in pairwise(places) if a != b]
    if len(moves) == 1:
        before, after = moves[0]
        answer = f"First in the {before}, then in the {after}."
        yield Draft("Contextual Interpretation", "How does the place change?", answer, ())


def threads(film: Film, rng: random.Random) -> Iterator[Draft]:
    """The object that links the deeds of two."""
    known = steps(film)
    for a, b in combinations(known, 2):
        shared = set(_objects(film, a.clause)) & set(_objects(film, b.clause))
        if a.clause.who == b.clause.who or len(shared) != 1:
            continue
        question = rng.choice(
            (
                f"Which object links what {the(a.clause.who)} {do(a.clause.who)} with what "
                f"{the(b.clause.who)} {do(b.clause.who)}?",
                f"Which thing has to do both with what {the(a.clause.who)} {do(a.clause.who)} "
                f"and with what {the(b.clause.who)} {do(b.clause.who)}?",
            )
        )
        pairs = [
            (x, y)
            for x in film.events
            for y in film.events
            if (x.clause.who, y.clause.who) == (a.clause.who, b.clause.who)
            and set(_objects(film, x.clause)) & set(_objects(film, y.clause)) - shared
        ]
        if not pairs:
            answer = sentence(the(shared.pop()))
            yield Draft("Thematic Insight", question, answer, (a.clause, b.clause))


def _objects(film: Film, clause: Clause) -> list[str]:
    return [
        t
        for t in things(clause.act)
        if kind(t) == "thing" and t not in film.subjects and t not in w.SCENERY
    ]


def _cooks(film: Film) -> Iterator[tuple[str, list[Happening], Happening | None]]:
    """Who cooks, the steps, and the serving, where it is seen."""
    for who in film.subjects:
        own = [h for h in film.events if h.clause.who == who]
        done = [h for h in own if _deed(h) in w.COOKING and _item(h)]
        serves = [h for h in own if _deed(h) in w.SERVING]
        if len(done) > 1 and all(film.once(h.clause) for h in done):
            served = serves[0] if len(serves) == 1 and serves[0].start > done[-1].end else None
            yield who, done, served


def _deed(h: Happening) -> str:
    return h.clause.stems[0] if h.clause.stems else ""


def _item(h: Happening) -> str:
    """What is cooked: the words right behind the verb; "" for a pan and the like."""
    tokens = [t for t in h.clause.act.split() if t not in w.COPULAS][1:]
    item: list[str] = []
    for token in tokens:
        if token in w.PREPOSITIONS or token in ("and", "it", "them"):
            break
        item += [] if token in w.DETERMINERS else [token]
    return "" if not item or item[-1] in w.VESSELS else " ".join(item)


def cooking(film: Film, rng: random.Random) -> Iterator[Draft]:
    """In which order the food is prepared."""
    for who, done, served in _cooks(film):
        chosen = [h.clause for h in done] + ([served.clause] if served else [])
        question = rng.choice(
            (
                f"In which order {does(who)} prepare the food?",
                f"Which steps of cooking {does(who)} take, and in which order?",
            )
        )
        answer = sentence(one_by_one(chosen))
        yield Draft("Cooking Steps", question, answer, tuple(chosen))


def ingredients(film: Film, rng: random.Random) -> Iterator[Draft]:
    """What is used before the dish is served, or after another ingredient."""
    for who, done, served in _cooks(film):
        items = list(dict.fromkeys(_item(h) for h in done))
        if served and len(items) > 1:
            question = rng.choice(
                (
                    f"Which ingredients {does(who)} prepare before {served.clause.text}?",
                    f"With which ingredients {does(who)} work before {served.clause.text}?",
                )
            )
            listed = ", ".join(map(the, items[:-1])) + f" and {the(items[-1])}"
            chosen = (*(h.clause for h in done), served.clause)
            yield Draft("Ingredient Details", question, sentence(listed), chosen)
        for a, b in pairwise(done):
            x, y = _item(a), _item(b)
            if x != y and [_item(h) for h in done].count(x) == 1:
                question = f"Which ingredient {does(who)} use right after {the(x)}?"
                chosen = (a.clause, b.clause)
                yield Draft("Ingredient Details", question, sentence(the(y)), chosen)


def traffic(film: Film, rng: random.Random) -> Iterator[Draft]:
    """The order of vehicles, and what makes one stop."""
    seen: dict[str, int] = {}
    for h in film.happenings:
        if kind(h.clause.who) == "vehicle":
            seen.setdefault(h.clause.who, h.start)
    if len(seen) in (2, 3, 4) and len(set(seen.values())) == len(seen):
        order = sorted(seen, key=lambda who: seen[who])
        question = rng.choice(
            ("In which order do the vehicles come?", "Which vehicles come, one after the other?")
        )
        told = f"first {the(order[0])}" + "".join(f", then {the(who)}" for who in order[1:])
        about = tuple(
            next(h.clause for h in film.happenings if h.clause.who == who) for who in order
        )
        yield Draft("Traffic Analysis", question, sentence(told), about)
    for a, b in neighbours(film):
        if kind(b.clause.who) == "vehicle":
            question = f"What happens on the road right after {a.clause.text}?"
            yield Draft("Traffic Analysis", question, sentence(b.clause.text), (a.clause, b.clause))
