"""The generator's rules: questions that take several captions, one family of drafts a function.

Each asks for an order, a change, what came before or after. An event that a question names happens
once in the group, so that "after it" means one thing.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, combinations, pairwise
from typing import NamedTuple

from videoespresso.models.embedded.teacher.captions import (
    Clause,
    Film,
    Happening,
    kind,
    the,
    things,
)
from videoespresso.tasks import Task
from videoespresso.theatre.builder import MOODS
from videoespresso.theatre.scene import TECHNIQUES

_MOOD = f"is (?:{'|'.join(MOODS)})"
_CAUSES = re.compile(
    rf"""
    (?:light is red|.+ crosses the road|.+ raises a hand) => .+ (?:car|bus|truck).* stops
    |it starts to rain => .+ (?:opens an umbrella|runs away)
    |phone rings => .+ answers the phone
    |.+ drops the box => .+ gives the box .*
    |.+ kicks the ball => (?:.+ runs after the ball|vase breaks|flower breaks|bird flies away)
    |.+ runs past => vase breaks
    |.+ waters the flower => flower blooms
    |lamp is off => .+ (?:lights a candle|falls asleep)
    |vase breaks => .+ sweeps the floor
    |.+ gives .+ to the (?P<y>.+) => (?P=y) {_MOOD}
    |(?P<z>.+) (?:answers the phone|runs away|drops the box|opens an umbrella) => (?P=z) {_MOOD}
    |(?:vase breaks|pan smokes) => .+ {_MOOD}""".replace("\n    ", "")
)
"""Which event is known to bring about which: deliberately little. Where no pattern fits, one thing
merely follows another."""


def leads_to(cause: Clause, effect: Clause) -> bool:
    """Whether the first is known to bring about the second when it comes just before it."""
    return bool(_CAUSES.fullmatch(f"{cause.who} {cause.act} => {effect.who} {effect.act}"))


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


def _one_by_one(clauses: Sequence[Clause]) -> str:
    """ "First the cat runs past, then the vase breaks, and at last the cook is sad." """
    *before, last = (c.text for c in clauses)
    return sentence(
        f"first {', then '.join(before)}, {'and at last' if before[1:] else 'then'} {last}"
    )


def steps(film: Film) -> list[Happening]:
    """Events that can be put in an order: each happens once, and alone starts where it does."""
    starts = [h.start for h in film.events]
    return [h for h in film.events if film.once(h.clause) and starts.count(h.start) == 1]


def neighbours(film: Film) -> list[tuple[Clause, Clause]]:
    """Steps of which one is the next thing that happens after the other."""
    known = steps(film)
    after = dict(pairwise(sorted({h.start for h in film.events})))
    return [(a.clause, b.clause) for a in known for b in known if after.get(a.start) == b.start]


def _two(task: Task, fits: Callable[[Clause, Clause], object], *forms: tuple[str, str]) -> Family:
    """A family about two neighbours. forms: questions with answers, of which one is drawn."""

    def drafts(film: Film, rng: random.Random) -> Iterator[Draft]:
        for a, b in neighbours(film):
            if fits(a, b):
                question, answer = rng.choice(forms) if forms[1:] else forms[0]
                texts = {"a": a.text, "b": b.text, "who": the(b.who), "why": _why(b)}
                answer = sentence(answer.format(**texts))
                yield Draft(task, question.format(**texts), answer, (a, b))

    return drafts


def _why(clause: Clause) -> str:
    """ "does the red car cross the road", "is the cook sad"."""
    if clause.state:
        return f"is {the(clause.who)} {clause.state}"
    verb, *rest = clause.act.split()
    verb = re.sub("ies$", "ys", verb)
    verb = re.sub("(?<=sh|ch|ss|.x)es$|s$", "", verb)
    return " ".join(("does", the(clause.who), verb, *rest))


def _narrative(film: Film, rng: random.Random) -> Iterator[Draft]:
    """Three events that are to be put in order; the question names them in another."""
    known = [h.clause for h in steps(film)]
    for at in range(len(known) - 2):
        chosen = known[at : at + 3]
        named = chosen[:]
        while named == chosen:
            rng.shuffle(named)
        start = rng.choice(
            ("In which order do these events happen", "What is the right order of these events")
        )
        question = f"{start}: {'; '.join(c.text for c in named)}?"
        yield Draft("Narrative Structuring", question, _one_by_one(chosen), tuple(chosen))


def _roles(film: Film, rng: random.Random) -> Iterator[Draft]:
    """Who does something before or after something else."""
    for a, b in neighbours(film):
        who, other, tie = (a, b, "before") if rng.random() < 0.5 else (b, a, "after")
        doers = {h.clause.who for h in film.happenings if h.clause.act == who.act}
        given_away = who.who == other.who or who.who in other.act
        if kind(who.who) == "person" and not who.mood and not given_away and len(doers) == 1:
            question = f"{rng.choice(('Who', 'Which person'))} {who.act} {tie} {other.text}?"
            yield Draft("Role Identification", question, sentence(the(who.who)), (a, b))


def _behavior(film: Film, rng: random.Random) -> Iterator[Draft]:
    """What one person does, one thing after the other."""
    for who in (s for s in film.subjects if kind(s) == "person"):
        own = [h for h in film.events if h.clause.who == who and not h.clause.mood]
        once = all(film.once(h.clause) for h in own) and len({h.start for h in own}) == len(own)
        if len(own) in (2, 3) and once:
            chosen = tuple(h.clause for h in own)
            forms = (
                "What does {} do, one thing after the other?",
                "Which things does {} do, and in which order?",
            )
            question = rng.choice(forms).format(the(who))
            yield Draft("Behavior Profiling", question, _one_by_one(chosen), chosen)


def _interaction(film: Film, rng: random.Random) -> Iterator[Draft]:
    """What one person does to another, before or after something else happens."""
    for a, b in neighbours(film):
        starts = {h.start for h in film.events if h.clause in (a, b)}
        for deed, other, tie in ((a, b, "before"), (b, a, "after")):
            to = [t for t in things(deed.act) if kind(t) == "person" and t in film.subjects]
            own = {h.start for h in film.events if h.clause.who == deed.who and h.clause != deed}
            if kind(deed.who) == "person" and to and not own & starts:
                form = rng.choice(("What does {} do to {}", "How does {} deal with {}"))
                question = f"{form.format(the(deed.who), the(to[-1]))} {tie} {other.text}?"
                yield Draft("Interaction Dynamics", question, sentence(deed.text), (a, b))


def _situation(film: Film, rng: random.Random) -> Iterator[Draft]:
    """How a thing changes from one state to another."""
    for thing in (s for s in film.subjects if kind(s) == "thing"):
        states = [h for h in film.happenings if h.clause.who == thing]
        if len(states) != 2 or states[0].end >= states[1].start:
            continue
        if film.shots[states[0].end].place == film.shots[states[1].start].place:
            forms = "What changes about {}?", "How does the state of {} change?"
            chosen = tuple(h.clause for h in states)
            question = rng.choice(forms).format(the(thing))
            yield Draft("Situational Awareness", question, _one_by_one(chosen), chosen)


def _context(film: Film, rng: random.Random) -> Iterator[Draft]:
    """How the weather or the place changes."""
    skies = [(s.place, s.weather) for s in film.shots if s.weather]
    turns = [(a, b) for a, b in pairwise(skies) if a != b]
    if len(turns) == 1 and turns[0][0][0] == turns[0][1][0]:
        (place, before), (_, after) = turns[0]
        forms = (
            "How does the weather in the {} change?",
            "What change of weather is there in the {}?",
        )
        question, answer = rng.choice(forms).format(place), f"From {before} to {after}."
        yield Draft("Contextual Interpretation", question, answer, ())
    moves = [(a, b) for a, b in pairwise(s.place for s in film.shots if s.place) if a != b]
    if len(moves) == 1:
        answer = f"First in the {moves[0][0]}, then in the {moves[0][1]}."
        yield Draft("Contextual Interpretation", "How does the place change?", answer, ())


def _threads(film: Film, rng: random.Random) -> Iterator[Draft]:
    """The object that links the deeds of two."""

    def objects(h: Happening) -> set[str]:
        named = {t for t in things(h.clause.act) if kind(t) == "thing"}
        return named - {"road", "floor", *film.subjects}

    for a, b in combinations(steps(film), 2):
        x, y = a.clause.who, b.clause.who
        links = objects(a) & objects(b)
        if x == y or len(links) != 1:
            continue
        forms = (
            "Which object links what {} does with what {} does?",
            "Which thing has to do both with what {} does and with what {} does?",
        )
        question = rng.choice(forms).format(the(x), the(y))
        deeds = [[h for h in film.events if h.clause.who == who] for who in (x, y)]
        if not any(objects(p) & objects(q) - links for p in deeds[0] for q in deeds[1]):
            answer = sentence(the(links.pop()))
            yield Draft("Thematic Insight", question, answer, (a.clause, b.clause))


def _cooks(film: Film) -> Iterator[tuple[str, list[Clause], list[Clause]]]:
    """Who cooks, the steps, and the serving, where it is seen."""
    for who in film.subjects:
        own = [h for h in film.events if h.clause.who == who]
        done = [h for h in own if h.clause.act.split()[0] in TECHNIQUES]
        serves = [h for h in own if h.clause.act.startswith("serves")]
        if len(done) > 1 and all(film.once(h.clause) for h in done):
            served = len(serves) == 1 and serves[0].start > done[-1].end
            yield who, [h.clause for h in done], [h.clause for h in serves if served]


def _cooking(film: Film, rng: random.Random) -> Iterator[Draft]:
    for who, done, served in _cooks(film):
        forms = (
            "In which order does {} prepare the food?",
            "Which steps of cooking does {} take, and in which order?",
        )
        chosen = (*done, *served)
        yield Draft(
            "Cooking Steps", rng.choice(forms).format(the(who)), _one_by_one(chosen), chosen
        )


def _ingredients(film: Film, rng: random.Random) -> Iterator[Draft]:
    """What is used before the dish is served, or after another ingredient."""
    for who, done, served in _cooks(film):
        foods = [things(c.act)[0] for c in done]
        items = list(dict.fromkeys(foods))
        if served and len(items) > 1:
            forms = "Which ingredients does {} prepare", "With which ingredients does {} work"
            question = f"{rng.choice(forms).format(the(who))} before {served[0].text}?"
            answer = ", ".join(map(the, items[:-1])) + f" and {the(items[-1])}"
            yield Draft("Ingredient Details", question, sentence(answer), (*done, *served))
        for (a, x), (b, y) in pairwise(zip(done, foods, strict=True)):
            if x != y and foods.count(x) == 1:
                question = f"Which ingredient does {the(who)} use right after {the(x)}?"
                yield Draft("Ingredient Details", question, sentence(the(y)), (a, b))


def _vehicles(film: Film, rng: random.Random) -> Iterator[Draft]:
    """The order of vehicles."""
    seen: dict[str, Happening] = {}
    for h in film.happenings:
        if kind(h.clause.who) == "vehicle":
            seen.setdefault(h.clause.who, h)
    if len(seen) in (2, 3, 4) and len({h.start for h in seen.values()}) == len(seen):
        question = rng.choice(
            ("In which order do the vehicles come?", "Which vehicles come, one after the other?")
        )
        answer = sentence(f"first {', then '.join(map(the, seen))}")
        yield Draft("Traffic Analysis", question, answer, tuple(h.clause for h in seen.values()))


_road = _two(
    "Traffic Analysis",
    lambda a, b: kind(b.who) == "vehicle",
    ("What happens on the road right after {a}?", "{b}"),
)
FAMILIES: tuple[Family, ...] = (
    _two(
        "Causal Inference",
        leads_to,
        ("Why {why}?", "because {a}"),
        ("What is the reason that {b}?", "because {a}"),
    ),
    _context,
    _two(
        "Event Process",
        lambda a, b: True,
        ("What happens right after {a}?", "{b}"),
        ("What is the next thing that happens after {a}?", "{b}"),
        ("What happens right before {b}?", "{a}"),
        ("What happens just before {b}?", "{a}"),
    ),
    _interaction,
    _behavior,
    _two(
        "Emotional Recognition",
        lambda a, b: b.mood and not a.mood,
        ("How does {who} feel right after {a}?", "{b}"),
        ("What is the mood of {who} right after {a}?", "{b}"),
    ),
    _two(
        "Influence Tracing",
        leads_to,
        ("What does it directly lead to that {a}?", "{b}"),
        ("What is the direct result when {a}?", "{b}"),
    ),
    *(_roles, _narrative, _threads, _situation, _cooking, _ingredients),
    lambda film, rng: chain(_vehicles(film, rng), _road(film, rng)),
)


def generate(film: Film, most: int, seed: str) -> dict[str, object]:
    """At most `most` pairs: a task comes again only after all others had their turn, and the same
    clauses are asked after only where there is nothing else. seed: decides the wording."""
    rng = random.Random(seed)
    families = rng.sample(FAMILIES, len(FAMILIES))
    piles = [rng.sample(pairs, len(pairs)) for f in families if (pairs := list(f(film, rng)))]
    chosen: list[Draft] = []
    while piles and len(chosen) < most:
        piles = [pile for pile in piles if pile]
        for pile in piles:
            if len(chosen) < most:
                draft = min(pile, key=lambda d: sum(len({*d.about} & {*c.about}) for c in chosen))
                pile.remove(draft)
                chosen += [] if draft.question in [c.question for c in chosen] else [draft]
    return {"pairs": [{"question": d.question, "answer": d.answer, "task": d.task} for d in chosen]}
