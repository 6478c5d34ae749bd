"""The annotator's rules: which captions a pair stands on, and what of each is needed."""

import math
from collections.abc import Sequence

from videoespresso.models.embedded.teacher import words as w
from videoespresso.models.embedded.teacher.claims import Claim, held
from videoespresso.models.embedded.teacher.drafts import sentence
from videoespresso.models.embedded.teacher.reading import Clause, Film, stems, things
from videoespresso.models.embedded.teacher.verifier import take_apart

MOST_CORE = 4
"""Core captions of a pair; the paper's training data has four or fewer in 98 of 100 (TaYS)."""


def annotate(film: Film, question: str, answer: str) -> dict[str, object]:
    """Core captions in time order and evidence on them; the answer's own sentence comes last."""
    pair = take_apart(film, question, answer)
    asked = _placed(film, [c for c in pair.asked if c.full])
    told = _placed(film, [c for c in pair.told if c.full])
    found = [*asked, *(p for p in told if p not in asked)]
    if len({at for at, _ in found}) < 2:
        found += [p for p in _nearest(film, question, answer) if p[0] not in {a for a, _ in found}]
    kept = _kept(found, told)
    core = sorted({at for at, _ in kept})
    last = [p for p in kept if p in told] or kept[-1:]
    ordered = sorted(p for p in kept if p not in last) + sorted(last)
    return {
        "core": [film.shots[at].text for at in core],
        "evidence": [
            {"text": _text(film, at, c), "core": core.index(at) + 1, "items": _items(film, at, c)}
            for at, c in ordered
        ],
    }


Place = tuple[int, Clause | None]
"""A caption, by its position from 0, and the clause of it that counts."""


def _placed(film: Film, claims: Sequence[Claim]) -> list[Place]:
    """Where each claim starts to hold, with the caption's own clause."""
    found = [(h.start, h.clause) for claim in claims for h in held(claim, film)[:1]]
    return list(dict.fromkeys(found))


def _nearest(film: Film, question: str, answer: str) -> list[Place]:
    """The captions that share the rarest words with the pair, where no clause could be placed."""
    wanted = set(stems(f"{question} {answer}"))
    often = {s: sum(s in set(stems(shot.text)) for shot in film.shots) for s in wanted}

    def weight(at: int) -> float:
        # exact, for the order of a set changes from process to process and with it a rounded sum
        return math.fsum(1 / often[s] for s in wanted & set(stems(film.shots[at].text)))

    ranked = sorted(range(len(film.shots)), key=lambda at: (-weight(at), at))
    unlike = [at for k, at in enumerate(ranked) if film.shots[at].text not in
              {film.shots[r].text for r in ranked[:k]}]  # fmt: skip
    return [(at, None) for at in unlike[:2] if weight(at) > 0]


def _kept(found: Sequence[Place], told: Sequence[Place]) -> list[Place]:
    """At most MOST_CORE captions: the answer's first."""
    core: list[int] = []
    for at, _ in [*told, *found]:
        if at not in core and len(core) < MOST_CORE:
            core.append(at)
    return [p for p in dict.fromkeys(found) if p[0] in core]


def _text(film: Film, at: int, clause: Clause | None) -> str:
    return sentence(clause.text if clause else film.shots[at].text.rstrip(" ."))


def _items(film: Film, at: int, clause: Clause | None) -> list[str]:
    """Key items as the caption calls them: who it is about, and with what."""
    clauses = [clause] if clause else list(film.shots[at].clauses)
    named = [n for c in clauses for n in (c.who, *things(c.act))]
    return [
        n for n in dict.fromkeys(named) if n not in w.PRONOUNS and n in w.plain(film.shots[at].text)
    ]
