"""The generator's rules: some of the questions that captions carry, of as many tasks as can be."""

import random
from collections.abc import Sequence

from videoespresso.models.embedded.teacher import drafts, drafts_more
from videoespresso.models.embedded.teacher.drafts import Draft, Family
from videoespresso.models.embedded.teacher.reading import Film

FAMILIES: tuple[Family, ...] = (
    drafts.causal,
    drafts_more.context,
    drafts.event_process,
    drafts.interaction,
    drafts.behavior,
    drafts.emotional,
    drafts.influence,
    drafts.roles,
    drafts.narrative,
    drafts_more.threads,
    drafts_more.situation,
    drafts_more.cooking,
    drafts_more.ingredients,
    drafts_more.traffic,
)


def generate(film: Film, most: int, seed: str) -> dict[str, object]:
    """At most `most` pairs: a task comes again only after all others had their turn, and the same
    clauses are asked after only where there is nothing else. seed: decides the wording."""
    rng = random.Random(seed)
    families = rng.sample(FAMILIES, len(FAMILIES))
    piles = [rng.sample(found, len(found)) for f in families if (found := list(f(film, rng)))]
    chosen: list[Draft] = []
    while piles and len(chosen) < most:
        piles = [pile for pile in piles if pile]
        for pile in piles:
            if len(chosen) < most:
                draft = _freshest(pile, chosen)
                pile.remove(draft)
                chosen += [] if _asked(draft, chosen) else [draft]
    return {"pairs": [{"question": d.question, "answer": d.answer, "task": d.task} for d in chosen]}


def _freshest(pile: Sequence[Draft], chosen: Sequence[Draft]) -> Draft:
    """The draft that says least of what the chosen ones say; the first of several."""
    return min(pile, key=lambda d: sum(len(set(d.about) & set(c.about)) for c in chosen))


def _asked(draft: Draft, chosen: Sequence[Draft]) -> bool:
    return any(draft.question == c.question for c in chosen)
