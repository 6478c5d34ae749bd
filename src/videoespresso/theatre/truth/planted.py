"""Pairs about a theatre story that are known to be true, or to be false in one way.

They are what a verifier is measured with, whoever plays it: the true ones are made from the story's
events, the false ones are true ones with one thing spoilt, and each names the criterion that it
violates. Wordings are this file's own.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from videoespresso.theatre.builder import (
    DISHES,
    INGREDIENTS,
    MOODS,
    PAINTS,
    ROLES,
    SHIRTS,
    Event,
)
from videoespresso.theatre.stories import Story


@dataclass(frozen=True)
class Planted:
    """A pair and what is wrong with it. criterion: the one violated, "" for a true pair.

    how: what was done to it: "actor", "order", "object", "mood", "cause", "opinion",
    "single frame", or "" for nothing.
    """

    question: str
    answer: str
    criterion: str = ""
    how: str = ""


def true_pairs(story: Story) -> Iterator[Planted]:
    """What comes after and before each event that happens once, three in order, and causes."""
    once = [e for e in story.events if sum(x.clause == e.clause for x in story.events) == 1]
    once = [e for e in once if _seen_once(story, e)]
    for a, b in pairwise(story.events):
        if a in once and b in once:
            yield Planted(f"What is seen to happen next after {a.text}?", _cap(b.text))
            yield Planted(f"What comes immediately before the moment when {b.text}?", _cap(a.text))
    for a, b, c in zip(once, once[1:], once[2:], strict=False):
        named = f"{c.text}, {a.text} and {b.text}"
        answer = f"{_cap(a.text)[:-1]}, then {b.text}, then {c.text}."
        yield Planted(f"How do these events follow each other: {named}?", answer)
    for e in once:
        if e.cause is not None and story.events[e.cause] in once:
            cause = story.events[e.cause]
            yield Planted(f"What is the reason why {e.text}?", _cap(cause.text))


def _seen_once(story: Story, e: Event) -> bool:
    """Whether the captions, too, tell of an event in one stretch of phases only."""
    if e.key == "rain":
        return True
    holds = [any(a.clause == e.clause for a in p.actors) for p in story.phases]
    return sum(h and not (k and holds[k - 1]) for k, h in enumerate(holds)) == 1


def _cap(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def false_pairs(story: Story, rng: random.Random) -> Iterator[Planted]:
    """Each true pair, spoilt in one of the ways that fit it, and questions that should not be."""
    for pair in true_pairs(story):
        if ways := spoilt(pair, story, rng):
            yield rng.choice(ways)
    yield from _needless(story, rng)


def spoilt(pair: Planted, story: Story, rng: random.Random) -> list[Planted]:
    """A true pair in each of the ways in which it can be made false, one a way."""
    return [made for spoil in _SPOILERS if (made := spoil(pair, story, rng)) is not None]


def _actor(pair: Planted, story: Story, rng: random.Random) -> Planted | None:
    """Somebody else, who is in the story but never does this."""
    for e in rng.sample(story.events, len(story.events)):
        if _cap(e.text) == pair.answer:
            doers = {a.phrase for p in story.phases for a in p.actors if a.clause.endswith(e.act)}
            others = {
                a.phrase
                for p in story.phases
                for a in p.actors
                if a.kind == "person" and a.phrase not in doers and a.phrase not in e.act
            }
            if others and e.key != "rain":
                answer = _cap(f"the {rng.choice(sorted(others))} {e.act}")
                return replace(pair, answer=answer, criterion="accuracy", how="actor")
    return None


def _order(pair: Planted, story: Story, rng: random.Random) -> Planted | None:
    """The events of an answer in another order, or "after" for "before"."""
    steps = pair.answer.rstrip(".").split(", then ")
    if len(steps) > 1:
        steps[0] = steps[0][:1].lower() + steps[0][1:]
        turned = ", then ".join([steps[-1], *steps[1:-1], steps[0]])
        return replace(pair, answer=_cap(turned), criterion="continuity", how="order")
    if " next after " in pair.question:
        changed = pair.question.replace("to happen next after", "to happen immediately before")
    elif "immediately before" in pair.question:
        changed = pair.question.replace("comes immediately before", "comes immediately after")
    else:
        return None
    return replace(pair, question=changed, criterion="continuity", how="order")


def _object(pair: Planted, story: Story, rng: random.Random) -> Planted | None:
    """A thing, person or vehicle that the story does not have."""
    captions = " ".join(p.caption for p in story.phases)
    for pool in _POOLS:
        named = [n for n in pool if re.search(rf"\b{n}\b", pair.answer)]
        unseen = [n for n in pool if not re.search(rf"\b{n}\b", captions)]
        if named and unseen:
            answer = re.sub(rf"\b{max(named, key=len)}\b", rng.choice(unseen), pair.answer, count=1)
            return replace(pair, answer=answer, criterion="hallucination", how="object")
    return None


def _state(pair: Planted, story: Story, rng: random.Random) -> Planted | None:
    """Another mood than the one that is seen."""
    captions = " ".join(p.caption for p in story.phases)
    match = re.search(rf"\bis ({'|'.join(MOODS)})\b", pair.answer)
    unseen = [m for m in MOODS if not re.search(rf"\b{m}\b", captions)]
    if not match or not unseen:
        return None
    answer = pair.answer[: match.start(1)] + rng.choice(unseen) + pair.answer[match.end(1) :]
    return replace(pair, answer=answer, criterion="hallucination", how="mood")


def _cause(pair: Planted, story: Story, rng: random.Random) -> Planted | None:
    """An event of the story that is not the cause, though it comes before."""
    effect = next((e for e in story.events if pair.question.endswith(f"why {e.text}?")), None)
    if effect is None:
        return None
    causes, at = set(), effect
    while at.cause is not None:
        at = story.events[at.cause]
        causes.add(at.text)
    others = [e.text for e in story.events[: effect.index] if e.text not in causes]
    if not others:
        return None
    return replace(pair, answer=_cap(rng.choice(others)), criterion="accuracy", how="cause")


_POOLS: tuple[tuple[str, ...], ...] = (
    tuple(f"{who} in {c}" for who in ("man", "woman", "boy", "girl") for c in SHIRTS),
    ROLES,
    tuple(f"{c} {v}" for c in PAINTS for v in ("car", "bus", "truck")),
    (*INGREDIENTS, *DISHES, "balloon", "ball", "book", "gift", "box", "guitar", "ladder"),
    ("dog", "cat", "bird", "horse"),
    ("vase", "lamp", "flower", "phone", "pan"),
)
_SPOILERS: tuple[Callable[[Planted, Story, random.Random], Planted | None], ...] = (
    _actor,
    _order,
    _object,
    _state,
    _cause,
)


def _needless(story: Story, rng: random.Random) -> Iterator[Planted]:
    """An opinion, and something that one frame shows."""
    if not story.events:
        return
    e = rng.choice(story.events)
    opinions = (
        Planted(f"Is it a nice moment when {e.text}?", f"Yes, it is beautiful when {e.text}."),
        Planted("Which part of the video is the most interesting?", _cap(e.text)),
        Planted(f"What would be the best thing to do when {e.text}?", "Perhaps one should help."),
    )
    yield replace(rng.choice(opinions), criterion="subjective", how="opinion")
    seen = [a for a in story.phases[e.phase].actors if a.act]
    if seen:
        a = rng.choice(seen)
        single = (
            Planted(f"What does the {a.phrase} do?", _cap(f"the {a.clause}")),
            Planted(f"Who or what is it that {a.act}?", _cap(f"the {a.phrase}")),
        )
        yield replace(rng.choice(single), criterion="single frame", how="single frame")
